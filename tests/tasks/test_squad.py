"""Answers against the definitions of the SQuAD scripts, and cases by hand."""

import collections
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.tasks import squad

WORDS = [
    "",
    "The",
    "a",
    "cat",
    "Cat!",
    "red cat",
    "the red cat",
    "dog",
    "...",
    "cat cat",
]
TEXT = st.sampled_from(WORDS)
QUESTION = st.tuples(
    st.lists(TEXT, max_size=3), TEXT, st.integers(0, 8).map(lambda n: n / 8)
)
QUESTIONS = st.lists(QUESTION, min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("The  Cat,\tsat.\n", "cat sat"),
        ("a An THE", ""),
        ("another theatre", "another theatre"),
        ("the-end", "theend"),  # the hyphen goes first, and with it the article
        ("A.N. Other", "other"),
        ("U.S.A.", "usa"),
        ("$3.50", "350"),
        ("“the” ¿qué? — l’an", "“ ” ¿qué — l’"),  # of punctuation only ASCII's goes
        ("a\u00a0b", "b"),
        ("ÉCOLE", "école"),
        ("!?.", ""),
        ("", ""),
    ],
)
def test_normalise(text, want):
    assert squad.normalise(text) == want


@given(st.text())
def test_normalised_text_has_no_upper_case_ascii_punctuation_or_double_space(text):
    clean = squad.normalise(text)
    assert clean == " ".join(clean.split())
    assert not set(clean) & set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ABCXYZ")


@pytest.mark.parametrize(
    ("answer", "predicted", "exact", "f1"),
    [
        ("the Norman Conquest", "Norman conquest.", 1, 1),
        ("Norman Conquest", "the conquest of Normandy", 0, 2 / 5),
        (
            "to be or not to be",
            "to be to",
            0,
            2 * 3 / 9,
        ),  # a bag: `to` twice, `be` once
        ("1066", "1067", 0, 0),
        ("1066", "", 0, 0),
        ("", "1066", 0, 0),
    ],
)
def test_an_answer_by_hand(answer, predicted, exact, f1):
    assert squad.exact(answer, predicted) == exact
    assert squad.f1_v1(answer, predicted) == pytest.approx(f1)
    assert squad.f1_v2(answer, predicted) == pytest.approx(f1)


@pytest.mark.parametrize("answer", ["", "the", "?!"])
@pytest.mark.parametrize("predicted", ["", "a", "..."])
def test_the_versions_differ_where_nothing_is_left(answer, predicted):
    assert squad.exact(answer, predicted) == 1
    assert squad.f1_v1(answer, predicted) == 0
    assert squad.f1_v2(answer, predicted) == 1


def test_the_best_answer_counts_for_each_score():
    gold = [["red cat", "the cat sat down"], ["dog"]]
    predicted = ["cat sat", "A dog"]
    # F1 1/2 and 4/5 of the first
    assert squad.squad_v1(gold, predicted) == pytest.approx(
        {"exact": 1 / 2, "f1": (4 / 5 + 1) / 2}
    )


def test_1_1_knows_no_question_without_answers():
    with pytest.raises(ValueError, match="question 2 has no answer"):
        squad.squad_v1([["x"], []], ["x", ""])


def test_2_0_by_hand():
    gold = [["red cat"], [], [], ["dog", "big dog"]]
    predicted = ["cat", "", "cat", "big dog"]
    scores = squad.squad_v2(gold, predicted, [0, 0, 0, 0], 1)
    assert scores == pytest.approx(
        {
            "exact": 2 / 4,
            "f1": (2 / 3 + 1 + 0 + 1) / 4,
            "has_answer_exact": 1 / 2,
            "has_answer_f1": (2 / 3 + 1) / 2,
            "no_answer_exact": 1 / 2,
            "no_answer_f1": 1 / 2,
        }
    )


def test_2_0_above_the_threshold_nothing_is_answered():
    gold, predicted = [["cat"], [], ["dog"]], ["cat", "cat", "dog"]
    no_answer = [0.2, 0.9, 0.5]
    for threshold, exact in [
        (1, 2 / 3),
        (0.9, 2 / 3),
        (0.5, 1),
        (0.4, 2 / 3),
        (0, 1 / 3),
    ]:
        scores = squad.squad_v2(gold, predicted, no_answer, threshold)
        assert scores["exact"] == scores["f1"] == pytest.approx(exact)


def test_2_0_of_one_kind_of_question_has_no_scores_of_the_other():
    assert squad.squad_v2([["x"]], ["x"], [0], 1).keys() == {
        "exact", "has_answer_exact", "f1", "has_answer_f1"
    }  # fmt: skip
    assert squad.squad_v2([[]], ["x"], [0], 1) == {
        "exact": 0, "no_answer_exact": 0, "f1": 0, "no_answer_f1": 0
    }  # fmt: skip


def test_2_0_a_gold_answer_of_which_nothing_is_left_does_not_count():
    exact, f1 = squad.scores_v2([["the", "cat"], ["the"], ["the"]], ["", "", "cat"])
    assert exact.tolist() == f1.tolist() == [0, 1, 0]
    scores = squad.squad_v2([["the"]], [""], [0], 1)
    assert scores["has_answer_exact"] == 1  # answerable all the same


def test_best_threshold_by_hand():
    gold, predicted = [["cat"], [], ["dog"], ["owl"]], ["cat", "bee", "fly", "owl"]
    no_answer = [0.1, 0.7, 0.3, 0.5]
    exact, _ = squad.scores_v2(gold, predicted)
    # of four: 1 answering none; 2, 2, 3 and 2 as 0.1, 0.3, 0.5 and 0.7 are answered
    assert squad.best_threshold(exact, gold, predicted, no_answer) == (3 / 4, 0.5)


def test_best_threshold_is_zero_where_silence_is_best():
    gold, predicted = [[], ["cat"]], ["dog", "dog"]
    exact, _ = squad.scores_v2(gold, predicted)
    assert squad.best_threshold(exact, gold, predicted, [0.5, 0.5]) == (1 / 2, 0)


def test_best_threshold_differs_from_the_threshold_s_score_as_the_script_does():
    gold, predicted = [["cat"], []], ["cat", "dog"]
    exact, _ = squad.scores_v2(gold, predicted)
    # of equal probability: one after the other
    assert squad.best_threshold(exact, gold, predicted, [0.5, 0.5]) == (1, 0.5)
    attained = squad.with_threshold(exact, gold, [0.5, 0.5], 0.5)
    assert attained.mean() == 1 / 2
    # nothing is left of this answer, and still it counts as one
    gold, predicted = [[], ["cat"]], ["The", "cat"]
    exact, _ = squad.scores_v2(gold, predicted)
    assert squad.best_threshold(exact, gold, predicted, [0.1, 0.2]) == (1 / 2, 0)
    assert squad.with_threshold(exact, gold, [0.1, 0.2], 0.2).mean() == 1


def test_unusable_input_is_refused():
    with pytest.raises(ValueError, match="1 answers predicted of 2 questions"):
        squad.squad_v1([["x"], ["y"]], ["x"])
    with pytest.raises(ValueError, match="no questions"):
        squad.squad_v1([], [])
    with pytest.raises(ValueError, match="no questions"):
        squad.squad_v2([], [], [], 1)
    with pytest.raises(ValueError, match=r"no_answer \(1,\) of 2 questions"):
        squad.squad_v2([["x"], []], ["x", ""], [0], 1)
    for number in (float("nan"), -0.1, 3):
        with pytest.raises(ValueError, match="want probabilities"):
            squad.squad_v2([["x"]], ["x"], [number], 1)


def tokens(text: str) -> list[str]:
    return squad.normalise(text).split()


def f1_by_definition(answer: str, predicted: str, version: int) -> float:
    """The scripts' own steps: precision and recall of shared words."""
    words, found = tokens(answer), tokens(predicted)
    if version == 2 and (not words or not found):
        return float(words == found)
    shared = sum(min(words.count(w), found.count(w)) for w in set(words))
    if shared == 0:
        return 0.0
    precision, recall = shared / len(found), shared / len(words)
    return 2 * precision * recall / (precision + recall)


@given(TEXT, TEXT)
def test_f1_agrees_with_precision_and_recall_and_is_symmetric(answer, predicted):
    for version, f1 in enumerate((squad.f1_v1, squad.f1_v2), 1):
        want = f1_by_definition(answer, predicted, version)
        assert f1(answer, predicted) == pytest.approx(want)
        assert f1(answer, predicted) == f1(predicted, answer)


@given(QUESTIONS)
def test_2_0_agrees_with_its_definition_by_loops(case):
    gold, predicted, no_answer = map(list, zip(*case, strict=True))
    sums = collections.defaultdict(list)
    for texts, text, probability in case:
        wanted = [answer for answer in texts if tokens(answer)] or [""]
        exact = float(any(tokens(answer) == tokens(text) for answer in wanted))
        f1 = max(f1_by_definition(answer, text, 2) for answer in wanted)
        if probability > 0.5:
            exact = f1 = 0.0 if texts else 1.0
        group = "has_answer" if texts else "no_answer"
        for name, value in (("exact", exact), ("f1", f1)):
            sums[name].append(value)
            sums[f"{group}_{name}"].append(value)
    want = {name: sum(values) / len(values) for name, values in sums.items()}
    assert squad.squad_v2(gold, predicted, no_answer, 0.5) == pytest.approx(want)


@given(QUESTIONS)
def test_best_threshold_agrees_with_the_search_step_by_step(case):
    gold, predicted, no_answer = map(list, zip(*case, strict=True))
    for scores in squad.scores_v2(gold, predicted):
        running = sum(not texts for texts in gold)
        best, threshold = running, 0.0
        for place in sorted(range(len(case)), key=lambda place: no_answer[place]):
            if gold[place]:
                running += scores[place]
            elif predicted[place]:
                running -= 1
            if running > best:
                best, threshold = running, no_answer[place]
        found = squad.best_threshold(scores, gold, predicted, no_answer)
        assert found == (pytest.approx(best / len(case)), threshold)


@given(QUESTIONS, st.integers(0, 99))
def test_best_threshold_attains_its_score_and_no_other_does_better(case, seed):
    # Where probabilities differ and something is left of every prediction but "".
    gold = [texts for texts, _, _ in case]
    predicted = [text if tokens(text) else "" for _, text, _ in case]
    no_answer = np.random.default_rng(seed).permutation(len(case)) / len(case)
    exact, _ = squad.scores_v2(gold, predicted)
    best, threshold = squad.best_threshold(exact, gold, predicted, no_answer)

    def mean(limit: float) -> float:
        return float(squad.with_threshold(exact, gold, no_answer, limit).mean())

    if best > sum(not texts for texts in gold) / len(gold):
        assert mean(threshold) == pytest.approx(best)
    assert max(map(mean, no_answer)) <= best + 1e-9


@given(QUESTIONS, st.integers(0, 99))
def test_order_of_questions_and_of_answers_changes_nothing(case, seed):
    draw = random.Random(seed)
    shuffled = [
        (draw.sample(texts, len(texts)), text, probability)
        for texts, text, probability in draw.sample(case, len(case))
    ]
    want = squad.squad_v2(*zip(*case, strict=True), 0.5)
    assert squad.squad_v2(*zip(*shuffled, strict=True), 0.5) == pytest.approx(want)


@given(st.lists(st.lists(TEXT, min_size=1, max_size=3), min_size=1))
def test_perfect_predictions_score_one(gold):
    spoken = [[answer for answer in texts if tokens(answer)] or ["x"] for texts in gold]
    predicted = [texts[-1] for texts in spoken]
    assert squad.squad_v1(spoken, predicted) == {"exact": 1, "f1": 1}
    silent = [*spoken, []]
    scores = squad.squad_v2(silent, [*predicted, ""], [0.0] * len(silent), 1)
    assert set(scores.values()) == {1}
