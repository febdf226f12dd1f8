"""Windows of a context against run_squad.py's, and answers as spans of them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.data import tokenizer as tokenizers
from bert_jax.data import train_tokenizer
from bert_jax.data.vocabulary import SPECIALS
from bert_jax.run.config import UsageError
from bert_jax.tasks.windows import (
    answer_span,
    question_windows,
    text_of_span,
)

PIECES = ["un", "##aff", "##able", "the", "cat", "##s", "what", ".", "cafe", "'"]
VOCABULARY = [*SPECIALS, *PIECES]  # "un" is 5, "the" 8, "cat" 9, "what" 11
PAD, UNK, CLS, SEP, MASK, UN, AFF, ABLE, THE, CAT, S, WHAT, STOP, CAFE, QUOTE = range(
    15
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n")
    return tokenizers.load(path, True)


@pytest.fixture(scope="module")
def trained():
    return train_tokenizer.train(
        ["the cat sat on a mat, the cats sit é"] * 9 + ["한국"], 90, True
    )


# Words.


LETTERS = [*"thecatson, .", "é", "한", "\u200b", "\x07", "\ufe0f"]
CONTEXT = "The cats. Unaffable cat, the café."
# the 0-3, cat 4-7, ##s 7-8, . 8-9, un 10-12, ##aff 12-15, ##able 15-19, cat 20-23,
# "," 23-24 (unknown), the 25-28, cafe 29-33, . 33-34


def windows(tokenizer, question, context, max_length, stride, max_question):
    (found,) = question_windows(
        tokenizer, [question], [context], max_length, stride, max_question
    )
    return found


def test_windows_are_rows_with_offsets_into_the_context(small):
    first, second, third, last = windows(small, "What cat?", CONTEXT, 10, 2, 2)
    assert first.ids.tolist() == [CLS, WHAT, CAT, SEP, THE, CAT, S, STOP, UN, SEP]
    assert second.ids.tolist() == [CLS, WHAT, CAT, SEP, STOP, UN, AFF, ABLE, CAT, SEP]
    assert third.ids.tolist() == [CLS, WHAT, CAT, SEP, ABLE, CAT, UNK, THE, CAFE, SEP]
    assert last.ids.tolist() == [CLS, WHAT, CAT, SEP, THE, CAFE, STOP, SEP]


def test_a_last_window_is_as_short_as_what_is_left(small):
    first, second = windows(small, "What?", CONTEXT, 13, 1, 2)
    assert first.ids.tolist()[4:] == [THE, CAT, S, STOP, UN, AFF, ABLE, CAT, SEP]
    assert second.ids.tolist()[4:] == [CAT, UNK, THE, CAFE, STOP, SEP]
    assert second.types.tolist() == [0] * 4 + [1] * 6
    assert second.offsets.tolist() == [
        *[[0, 0]] * 4,
        *[[20, 23], [23, 24], [25, 28], [29, 33], [33, 34], [0, 0]],
    ]
    assert (second.begin, second.end) == (4, 9)
    assert (first.covers, second.covers) == ((0, 23), (19, 34))


def test_a_piece_belongs_to_the_window_with_most_context(small):
    """Positions 0 to 7 and 4 to 11: the smaller side of 4 and 5 is 3, 2 and 0, 1."""
    first, second = windows(small, "What?", CONTEXT, 13, 4, 2)
    assert first.best.tolist() == [False] * 4 + [True] * 6 + [False] * 3
    assert second.best.tolist() == [False] * 4 + [False] * 2 + [True] * 6 + [False]


def test_a_short_context_has_one_window(small):
    (window,) = windows(small, "What cat?", "the cat", 64, 8, 16)
    assert window.ids.tolist() == [CLS, WHAT, CAT, UNK, SEP, THE, CAT, SEP]
    assert window.best.tolist() == [False] * 5 + [True, True, False]
    assert window.covers == (0, 7)


def test_a_context_without_pieces_has_a_window_without_answer(small):
    (window,) = windows(small, "What?", "\u200b\x07", 64, 8, 16)
    assert window.ids.tolist() == [CLS, WHAT, UNK, SEP, SEP]
    assert window.begin == window.end == 4
    assert answer_span(window, 0, "\u200b") is None


@pytest.mark.parametrize(
    ("max_length", "stride", "max_question"),
    [(10, 3, 4), (10, -1, 2), (10, 1, 0), (10, 0, 7)],
)
def test_windows_that_do_not_move_on_are_refused(
    small, max_length, stride, max_question
):
    with pytest.raises(UsageError, match=f"max_length={max_length} leaves .*={stride}"):
        windows(small, "What?", CONTEXT, max_length, stride, max_question)


def test_questions_share_contexts_and_keep_their_order(small):
    questions = [f"what {'the ' * (n % 4)}" for n in range(600)]
    contexts = [CONTEXT * (1 + n // 3 % 3) for n in range(600)]
    together = list(question_windows(small, questions, contexts, 16, 3, 8))
    assert len(together) == 600
    for number in (0, 1, 5, 255, 256, 257, 599):
        alone = windows(small, questions[number], contexts[number], 16, 3, 8)
        assert [w.ids.tolist() for w in alone] == [
            w.ids.tolist() for w in together[number]
        ]


# Answers.


@pytest.mark.parametrize(
    ("answer", "span", "text"),
    [
        ("The cats", (4, 6), "The cats"),
        ("affable", (9, 10), "affable"),
        ("naffabl", (8, 10), "Unaffable"),  # the tokens that cover it
        (" cat,", (11, 12), "cat,"),  # space lies in no token
        (CONTEXT, (4, 15), CONTEXT),
    ],
)
def test_an_answer_is_the_fewest_pieces_that_cover_it(small, answer, span, text):
    (window,) = windows(small, "What?", CONTEXT, 64, 8, 2)
    assert answer_span(window, CONTEXT.index(answer), answer) == span
    assert text_of_span(CONTEXT, window, *span) == text


def test_an_answer_must_be_wholly_inside(small):
    first, second = windows(small, "What?", CONTEXT, 13, 1, 2)
    assert answer_span(first, 10, "Unaffable cat") == (8, 11)
    assert answer_span(second, 10, "Unaffable cat") is None
    assert answer_span(second, 20, "cat, the") == (4, 6)
    assert answer_span(first, 20, "cat, the") is None
    assert answer_span(second, 19, " cat") == (4, 4)  # no token holds the space
    assert answer_span(second, 18, "e cat") is None


def test_no_answer_is_no_text(small):
    (window,) = windows(small, "What?", CONTEXT, 64, 8, 2)
    assert text_of_span(CONTEXT, window, 0, 0) == ""
    assert answer_span(window, 9, " ") is None


def test_a_character_of_many_pieces_is_not_parted(trained):
    pieces = trained.encode("한국 한국").offsets
    assert pieces.count((0, 1)) > 1  # Hangul is decomposed into its letters
    found = windows(trained, "a", "한국 한국", 8, 1, 2)
    assert len(found) > 1
    assert all(
        text_of_span("한국 한국", window, *span) == "국"
        for window in found
        if (span := answer_span(window, 1, "국"))
    )
    (whole,) = windows(trained, "a", "한국 한국", 64, 1, 2)
    assert text_of_span("한국 한국", whole, *answer_span(whole, 1, "국")) == "국"


cases = st.tuples(
    st.text(LETTERS),
    st.text(LETTERS, max_size=80),
    st.integers(6, 30),
    st.integers(0, 9),
).filter(lambda case: case[3] < case[2] - 5)


def official(length, room, stride):
    """The windows of run_squad.py, and for each token its one of most context."""
    spans, start = [], 0
    while start < length:
        size = min(length - start, room)
        spans.append((start, size))
        if start + size == length:
            break
        start += min(size, room - stride)
    best = []
    for position in range(length):
        scores = [
            min(position - start, start + size - 1 - position) + 0.01 * size
            if start <= position < start + size
            else -1
            for start, size in spans
        ]
        best.append(scores.index(max(scores)))
    return spans, best


@given(cases)
def test_windows_are_those_of_run_squad(trained, case):
    question, context, max_length, stride = case
    found = windows(trained, question, context, max_length, stride, 2)
    whole = trained.encode(context)
    room = max_length - 3 - min(len(trained.encode(question).ids), 2)
    spans, best = official(len(whole.ids), room, stride)
    spans = spans or [(0, 0)]  # of no token: there is a window still
    assert len(found) == len(spans)
    for number, (window, (start, size)) in enumerate(zip(found, spans, strict=True)):
        inside = slice(window.begin, window.end)
        assert len(window.ids) <= max_length
        assert window.ids[inside].tolist() == whole.ids[start : start + size]
        assert list(map(tuple, window.offsets[inside])) == whole.offsets[start:][:size]
        owned = [place == number for place in best[start : start + size]]
        assert window.best[inside].tolist() == owned
        assert window.best.sum() == sum(owned)


@given(cases)
def test_every_piece_is_in_a_window_and_best_in_one(trained, case):
    question, context, max_length, stride = case
    found = windows(trained, question, context, max_length, stride, 2)
    sizes = [window.end - window.begin for window in found]
    assert sum(sizes) - stride * (len(found) - 1) == len(trained.encode(context).ids)
    assert sum(window.best.sum() for window in found) == len(
        trained.encode(context).ids
    )
    assert all(window.ids[window.end] == trained.sep_id for window in found)
    for left, right in pairwise(found):  # they share `stride` tokens
        shared = left.offsets[left.end - stride : left.end]
        np.testing.assert_array_equal(
            shared, right.offsets[right.begin : right.begin + stride]
        )


@given(cases, st.data())
def test_an_answer_of_whole_pieces_comes_back(trained, case, data):
    question, context, max_length, stride = case
    offsets = trained.encode(context).offsets
    if not offsets:
        return
    first = data.draw(st.integers(0, len(offsets) - 1))
    last = data.draw(st.integers(first, len(offsets) - 1))
    start, stop = offsets[first][0], offsets[last][1]
    answer = context[start:stop]
    (whole,) = windows(trained, question, context, 500, 9, 2)
    span = answer_span(whole, start, answer)
    assert text_of_span(context, whole, *span) == answer
    room = max_length - 3 - min(len(trained.encode(question).ids), 2)
    spans, _ = official(len(offsets), room, stride)
    held = [i for i, (a, b) in enumerate(offsets) if b > start and a < stop]
    found = windows(trained, question, context, max_length, stride, 2)
    for window, (begin, size) in zip(found, spans, strict=True):
        span = answer_span(window, start, answer)
        if begin <= held[0] and held[-1] < begin + size:
            assert span == (
                window.begin + held[0] - begin,
                window.begin + held[-1] - begin,
            )
            assert text_of_span(context, window, *span) == answer
        else:
            assert span is None
