"""Answers against a search over every span of all windows."""

import math

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bert_jax.data import tokenizer, train_tokenizer
from bert_jax.data.vocabulary import SPECIALS
from bert_jax.tasks import metrics, squad
from bert_jax.tasks.windows import Answer, question_windows
from bert_jax.tasks.windows import answer as answer_of

CONTEXT = "The cats. Unaffable cat, the café."
PIECES = ["un", "##aff", "##able", "the", "cat", "##s", "what", ".", "cafe", ","]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join([*SPECIALS, *PIECES]) + "\n")
    return tokenizer.load(path, True)


@pytest.fixture(scope="module")
def trained():
    return train_tokenizer.train(
        ["the cat sat on a mat, the cats sit é"] * 9 + ["한국"], 90, True
    )


def windows(words, question, context, max_length, stride):
    (found,) = question_windows(words, [question], [context], max_length, stride, 2)
    return found


def flat(found):
    """Logits of 0, to be changed."""
    return [np.zeros((len(window.ids), 2), np.float32) for window in found]


# Probabilities.


def test_softmax_by_hand():
    odds = np.array([[1, 2, 5], [3, 3, 2]])
    found = metrics.softmax(np.log(odds).astype(np.float32))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, odds / 8, rtol=1e-6)


NUMBERS = arrays.arrays(np.float32, st.tuples(st.integers(0, 3), st.integers(1, 5)))


@given(NUMBERS.map(np.nan_to_num))  # infinity to the largest number
def test_softmax_of_any_numbers_is_probabilities(logits):
    found = metrics.softmax(logits)
    np.testing.assert_allclose(found, scipy.special.softmax(logits.astype(float), -1))
    np.testing.assert_allclose(found.sum(-1), 1)


# Answers.
# the 0-3, cat 4-7, ##s 7-8, . 8-9, un 10-12, ##aff 12-15, ##able 15-19, cat 20-23,
# "," 23-24, the 25-28, cafe 29-33, . 33-34; [CLS] what [SEP] before them


def test_an_answer_by_hand(small):
    found = windows(small, "what", CONTEXT, 64, 8)
    logits = np.zeros((64, 2), np.float32)
    logits[7, 0], logits[10, 1], logits[0] = 3, 2, (1, -2)
    answer = answer_of(CONTEXT, found, [logits], 30, True)
    assert (answer.text, answer.start, answer.end) == ("Unaffable cat", 10, 23)
    # of the 78 spans of 12 tokens 7 more start with the fifth, 7 more end with the eighth
    spans = math.exp(5) + 7 * math.exp(3) + 7 * math.exp(2) + 63
    assert answer.probability == pytest.approx(
        math.exp(5) / (spans + math.exp(-1)), rel=1e-9
    )
    assert answer.no_answer == pytest.approx(1 / (1 + math.exp(5 - -1)), rel=1e-9)
    always = answer_of(CONTEXT, found, [logits], 30, False)
    assert always == answer._replace(
        probability=pytest.approx(math.exp(5) / spans), no_answer=0
    )
    assert type(answer.start) is int
    assert type(answer.no_answer) is type(answer.probability) is float


def test_the_question_the_specials_and_the_padding_are_no_answer(small):
    found = windows(small, "what", CONTEXT, 64, 8)
    logits = np.full((64, 2), 9, np.float32)
    logits[found[0].begin : found[0].end] = 0
    logits[found[0].begin + 1] = 1
    alone = answer_of(CONTEXT, found, [logits], 30, True)
    assert alone.text == "cat"
    assert alone == answer_of(CONTEXT, found, [logits[: len(found[0].ids)]], 30, True)


@pytest.mark.parametrize(
    ("max_answer", "text"),
    [(1, "cat"), (3, "cat"), (4, "Unaffable cat"), (10**9, "Unaffable cat")],
)
def test_an_answer_is_at_most_so_long(small, max_answer, text):
    found = windows(small, "what", CONTEXT, 64, 8)
    logits = flat(found)
    logits[0][7, 0], logits[0][10] = 3, (2, 2)
    assert answer_of(CONTEXT, found, logits, max_answer, False).text == text


def test_an_answer_does_not_end_before_it_starts(small):
    found = windows(small, "what", CONTEXT, 64, 8)
    logits = flat(found)
    logits[0][10, 0], logits[0][7, 1] = 3, 2
    assert answer_of(CONTEXT, found, logits, 30, False).text == "cat"


def test_of_equal_spans_the_first_is_taken_and_of_its_ends_the_shortest(small):
    found = windows(small, "what", CONTEXT, 12, 4)
    assert len(found) == 2
    assert answer_of(CONTEXT, found, flat(found), 30, False).text == "The"
    logits = flat(found)
    for window, row in zip(found, logits, strict=True):
        row[np.flatnonzero(window.best)[2:4]] = 1
    first = answer_of(CONTEXT, found, logits, 30, False)
    assert (first.text, first.start) == ("s", 7)


def test_a_piece_starts_an_answer_only_where_it_has_most_context(small):
    first, second = found = windows(small, "what", CONTEXT, 12, 4)
    shared = first.end - 1
    assert not first.best[shared]
    logits = flat(found)
    logits[0][shared] = 9
    answer = answer_of(CONTEXT, found, logits, 30, False)
    assert answer.start < first.offsets[shared, 0]
    assert answer.end == first.offsets[shared, 1]  # it may end there
    again = second.begin + 3
    assert second.best[again]
    assert (second.offsets[again] == first.offsets[shared]).all()
    logits[1][again] = 9
    assert answer_of(CONTEXT, found, logits, 30, False).text == "cat"


def test_the_null_score_is_the_least_of_all_windows(small):
    found = windows(small, "what", CONTEXT, 12, 4)
    logits = flat(found)
    logits[0][0], logits[1][0], logits[1][8] = (4, 3), (1, 1), (2, 1)
    answer = answer_of(CONTEXT, found, logits, 30, True)
    assert answer.no_answer == pytest.approx(1 / (1 + math.exp(3 - 2)))


@pytest.mark.parametrize("difference", [-1e30, -1e3, -36, -1, 0, 1, 36, 1e3, 1e30])
def test_no_answer_is_a_probability_whatever_the_scores(small, difference):
    found = windows(small, "what", "cat", 12, 4)
    logits = flat(found)
    logits[0][0, 0] = difference
    answer = answer_of("cat", found, logits, 30, True)
    assert answer.text == "cat"  # however improbable
    assert answer.no_answer == pytest.approx(scipy.special.expit(difference))
    assert answer.probability == pytest.approx(1 - answer.no_answer)
    squad.squad_v2([["cat"]], [answer.text], [answer.no_answer], 0.5)


def test_a_context_without_pieces_has_no_answer(small):
    found = windows(small, "what", "\u200b\x07", 12, 4)
    nothing = Answer("", -1, -1, 0, 0)
    assert answer_of("\u200b\x07", found, flat(found), 30, False) == nothing
    assert answer_of("", [], [], 30, False) == nothing
    assert answer_of("", [], [], 30, True) == nothing._replace(no_answer=1)


def test_unusable_logits_are_refused(small):
    found = windows(small, "what", CONTEXT, 64, 8)
    for shape in [(15, 2), (16,), (16, 3), (1, 16, 2)]:
        with pytest.raises(ValueError, match=r"logits \(.* of 16 tokens: want \(T, 2"):
            answer_of(CONTEXT, found, [np.zeros(shape)], 30, False)
    with pytest.raises(ValueError, match="shorter"):
        answer_of(CONTEXT, found, [], 30, False)
    with pytest.raises(ValueError, match="max_answer=0"):
        answer_of(CONTEXT, found, flat(found), 0, False)


LETTERS = [*"thecatson, .", "é", "한", "\u200b", "\x07", "\ufe0f"]
CASES = st.tuples(
    st.text(LETTERS, max_size=80), st.integers(7, 30), st.integers(0, 9)
).filter(lambda case: case[2] < case[1] - 5)


def spans(found, logits, max_answer):
    """Every span as (score, start and end character), in the order of preference."""
    for window, row in zip(found, logits, strict=True):
        for i in range(window.begin, window.end):
            for j in range(i, min(i + max_answer, window.end)):
                if window.best[i]:
                    score = float(row[i, 0]) + float(row[j, 1])
                    yield score, window.offsets[i, 0], window.offsets[j, 1]


@given(
    CASES,
    st.integers(1, 30),
    st.booleans(),
    st.sampled_from([0, 1, 30]),  # all equal, many equal, few
    st.integers(0, 99),
)
def test_answers_agree_with_a_search_over_every_span(
    trained, case, max_answer, may_be_none, scale, seed
):
    context, max_length, stride = case
    found = windows(trained, "the", context, max_length, stride)
    draw = np.random.default_rng(seed)
    logits = [
        (scale * draw.normal(size=(max_length + 2, 2))).round().astype(np.float32)
        for _ in found
    ]
    answer = answer_of(context, found, logits, max_answer, may_be_none)
    every = list(spans(found, logits, max_answer))
    assert answer.text == context[max(answer.start, 0) : max(answer.end, 0)]
    if not every:
        assert answer == Answer("", -1, -1, 0, may_be_none)
        return
    best = max(every, key=lambda span: span[0])
    assert (answer.start, answer.end) == best[1:]
    null = min(float(row[0, 0]) + float(row[0, 1]) for row in logits)
    scores = [score for score, _, _ in every] + [null] * may_be_none
    chances = scipy.special.softmax(scores)
    assert answer.probability == pytest.approx(chances[scores.index(best[0])])
    odds = scipy.special.expit(null - best[0]) if may_be_none else 0
    assert answer.no_answer == pytest.approx(odds)
    assert answer.probability + answer.no_answer <= 1 + 1e-9
