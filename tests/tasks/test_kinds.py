"""Scores of every kind of task from outputs made by hand, and what they must beat."""

import numpy as np
import pytest

from bert_jax.data import tokenizer
from bert_jax.data.vocabulary import SPECIALS
from bert_jax.run import rules
from bert_jax.run.config import UsageError
from bert_jax.tasks import kinds
from bert_jax.tasks.multilabel import Labels
from bert_jax.tasks.records import Choice, Question, Sentence, Tagged
from configs import base

PIECES = ["un", "##aff", "##able", "the", "cat", "##s", "what", ".", "king"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join([*SPECIALS, *PIECES]) + "\n")
    return tokenizer.load(path, True)


def config(kind: str, **changes):
    made = base.get_config()
    made.objective.kind = kind
    made.task.update(max_question=2, stride=1, **changes)
    return made


@pytest.fixture(scope="module")
def evaluate(small):
    """evaluate(config, records, labels, outputs): outputs in the order of the examples,
    None of those that were not evaluated."""

    def call(config, records, labels, outputs, length=16):
        task = kinds.of_config(config, labels)
        made = task.features(records, small, length)
        said = {
            number: np.array(output, np.float32)
            for number, output in enumerate(outputs)
            if output is not None
        }
        return kinds.evaluate(config, records, labels, made, said)

    return call


def sentences(*labels: str) -> list[Sentence]:
    return [Sentence(f"f, line {i}", "the cat", "", x) for i, x in enumerate(labels)]


# Classes, numbers, choices.


def test_two_classes_are_scored_with_the_second_as_positive(evaluate):
    """Said b b a b of gold a b a b: one wrong, of class a."""
    outputs = [[0, 1], [0, 2], [3, 0], [-1, 0]]
    scores = evaluate(config("classify"), sentences(*"abab"), ("a", "b"), outputs)
    assert scores == pytest.approx(
        {
            "accuracy": 3 / 4,
            "f1": 4 / 5,
            "macro_f1": (2 / 3 + 4 / 5) / 2,
            "matthews": 2 / np.sqrt(2 * 1 * 2 * 3),
            "baseline": 1 / 2,
        }
    )


def test_the_baseline_is_the_majority_in_the_metric_that_decides(evaluate):
    records, labels = sentences(*"aabc"), ("a", "b", "c")
    outputs = [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]
    scores = evaluate(config("classify"), records, labels, outputs)
    assert scores["accuracy"] == 3 / 4
    assert scores["baseline"] == 1 / 2
    assert "f1" not in scores
    macro = evaluate(config("classify", metric="macro_f1"), records, labels, outputs)
    assert macro["baseline"] == pytest.approx((2 / 3 + 0 + 0) / 3)
    matthews = config("classify", metric="matthews")
    assert evaluate(matthews, records, labels, outputs)["baseline"] == 0


def test_what_was_not_evaluated_does_not_count(evaluate):
    outputs = [[1, 0], None, None, [1, 0]]
    scores = evaluate(config("classify"), sentences(*"abab"), ("a", "b"), outputs)
    assert scores["accuracy"] == scores["baseline"] == 1 / 2


def test_numbers_are_correlated_and_a_constant_is_worth_nothing(evaluate):
    records = sentences("1", "2", "4")
    scores = evaluate(config("regress"), records, (), [[1.0], [3.0], [3.5]])
    expected = np.corrcoef([1, 2, 4], [1.0, 3.0, 3.5])[0, 1]
    assert scores == pytest.approx(
        {"pearson": expected, "spearman": 1.0, "baseline": 0.0}, rel=1e-6
    )


def test_choices_are_right_or_wrong(evaluate):
    records = [Choice("f", "the", ("cat", "king", "."), label) for label in "0221"]
    outputs = [[1, 0, 0], [0, 0, 1], [5, 4, 3], [0, 1, 0]]
    scores = evaluate(config("choose"), records, (), outputs)
    assert scores == {"accuracy": 3 / 4, "baseline": 1 / 2}


# Tags.

CHUNKS = ("B-A", "I-A", "O")


def row(*classes: int) -> np.ndarray:
    """Logits of a row of tokens whose largest are those of the classes."""
    return 4.0 * np.eye(3)[list(classes)]


def test_tags_are_scored_by_whole_entities_over_all_words(evaluate):
    """the cats king: gold A over the first two words, said over the first alone, but
    right in the second sentence."""
    records = [
        Tagged("f", ("the", "cats", "king"), ("B-A", "I-A", "O")),
        Tagged("f", ("king", "."), ("B-A", "O")),
    ]
    outputs = [row(2, 0, 2, 1, 2, 2), row(2, 0, 2, 2)]
    scores = evaluate(config("tag"), records, CHUNKS, outputs)
    assert scores == pytest.approx(
        {
            "accuracy": 4 / 5,
            "f1": 1 / 2,
            "precision": 1 / 2,
            "recall": 1 / 2,
            "baseline": 2 / 7,  # B-A for each of the five words: one is right
        }
    )


def test_words_without_a_piece_are_outside_and_still_scored(evaluate):
    records = [
        Tagged("f", ("the", "\u200b", "cat", "king"), ("B-A", "I-A", "O", "B-A"))
    ]
    outputs = [row(2, 0, 2, 2)]
    scores = evaluate(config("tag"), records, CHUNKS, outputs, length=4)
    assert scores["accuracy"] == 2 / 4
    assert scores["recall"] == 0


def test_the_probability_of_a_tag_is_that_of_its_first_piece(small):
    record = Tagged("f", ("unaffable", "\u200b"), ())
    task = kinds.kind("tag")(CHUNKS, None)
    made = task.features([record], small, 16)
    logits = {0: np.log([[1, 1, 1], [1, 6, 3], [8, 1, 1], [8, 1, 1], [1, 1, 1]])}
    (words,) = task.predictions([record], made, logits)
    assert words.tags.tolist() == [1, 2]
    assert words.probabilities == pytest.approx([0.6, 0.0])


def test_parts_of_speech_have_an_accuracy_alone(evaluate):
    records = [Tagged("f", ("the", "cat"), ("DT", "NN"))]
    outputs = [np.eye(2)[[0, 0, 0, 0]]]
    one = config("tag", metric="accuracy")
    scores = evaluate(one, records, ("DT", "NN"), outputs)
    assert scores == {"accuracy": 1 / 2, "baseline": 1 / 2}


# Spans.

CONTEXT = "the cats . unaffable king"


def question(*answers: tuple[int, str]) -> Question:
    return Question("f", "1", "what", CONTEXT, answers)


def spans(*pairs: tuple[int, int], width=16) -> list[np.ndarray]:
    """Logits (T, 2) of windows whose best starts and ends are these."""
    found = []
    for first, last in pairs:
        logits = np.zeros((width, 2), np.float32)
        logits[first, 0] = logits[last, 1] = 9
        found.append(logits)
    return found


# [CLS] what [SEP] the cat ##s . un ##aff ##able king [SEP]: the context is 3 to 10.
def test_answers_are_the_text_of_their_span(evaluate):
    records = [question((4, "cats")), question((11, "unaffable king"))]
    scores = evaluate(config("span"), records, (), spans((4, 5), (10, 10)))
    assert scores == pytest.approx(
        {"exact": 1 / 2, "f1": (1 + 2 / 3) / 2, "baseline": 0.0}
    )


def test_an_answer_may_be_in_any_window_and_all_of_them_are_one_question(evaluate):
    """Rows of nine leave five tokens: the cat ##s . un | un ##aff ##able king."""
    outputs = spans((0, 0), (6, 6), width=9)
    scores = evaluate(config("span"), [question((21, "king"))], (), outputs, length=9)
    assert scores["exact"] == 1


def test_questions_without_an_answer_are_scored_as_squad_2(evaluate):
    records = [question((4, "cats")), question(), question()]
    outputs = spans((4, 5), (0, 0), (4, 4))
    scores = evaluate(config("span", no_answer=True), records, (), outputs)
    assert scores == pytest.approx(
        {
            "exact": 2 / 3,
            "f1": 2 / 3,
            "has_answer_exact": 1,
            "has_answer_f1": 1,
            "no_answer_exact": 1 / 2,
            "no_answer_f1": 1 / 2,
            "baseline": 2 / 3,  # silence
        }
    )


def test_questions_that_were_not_evaluated_do_not_count(evaluate):
    records = [question((4, "cats")), question((11, "unaffable"))]
    scores = evaluate(config("span"), records, (), [None, *spans((7, 9))])
    assert scores["exact"] == 1


# Metrics that fit the labels.


def check_metric(config, labels):
    kinds.of_config(config, labels).check_metric(rules.metric(config))


def test_kinds_are_those_a_config_may_name():
    assert kinds.KINDS.keys() == rules.METRICS.keys() == rules.FORMATS.keys()
    for name in kinds.KINDS:
        assert set(kinds.kind(name).formats) == set(rules.FORMATS[name])


@pytest.mark.parametrize(
    ("kind", "metric", "labels", "said"),
    [
        ("tag", "", ("DT", "NN"), "a label is 'DT': set task.metric=accuracy"),
        ("classify", "f1", ("a", "b", "c"), "of two labels, not 3"),
    ],
)
def test_a_metric_that_the_labels_do_not_have_is_refused(kind, metric, labels, said):
    with pytest.raises(UsageError, match=said):
        check_metric(config(kind, metric=metric), labels)


def test_metrics_that_fit_are_let_through():
    check_metric(config("tag"), CHUNKS)
    check_metric(config("tag", metric="accuracy"), ("DT", "NN"))
    check_metric(config("classify", metric="f1"), ("a", "b"))


@pytest.mark.parametrize("kind", rules.METRICS)
def test_the_metrics_that_a_config_may_name_are_those_that_are_given(kind, evaluate):
    """Two records of each kind, evaluated perfectly: every metric is 1."""
    cases = {
        "classify": (sentences("a", "b"), ("a", "b"), [[1, 0], [0, 1]]),
        "multilabel": (
            [Labels("f", "the", "", ("a",)), Labels("f", "cat", "", ("b",))],
            ("a", "b"),
            [[9, -9], [-9, 9]],
        ),
        "regress": (sentences("1", "2"), (), [[1.0], [2.0]]),
        "tag": (
            [Tagged("f", ("the",), ("B-A",)), Tagged("f", ("cat",), ("O",))],
            CHUNKS,
            [row(2, 0, 2), row(2, 2, 2)],
        ),
        "span": (
            [question((4, "cats")), question((0, "the"))],
            (),
            spans((4, 5), (3, 3)),
        ),
        "choose": (
            [Choice("f", "the", ("cat", "king"), label) for label in "01"],
            (),
            [[1, 0], [0, 1]],
        ),
    }
    scores = evaluate(config(kind), *cases[kind])
    assert set(scores) >= {*rules.METRICS[kind], "baseline"}
    for metric in rules.METRICS[kind]:
        assert scores[metric] == pytest.approx(1 if kind != "span" else scores[metric])
    assert scores["baseline"] < 1


def test_words_are_counted_of_tags_and_records_else():
    words = [Tagged("f", ("the", "cat"), ()), Tagged("f", ("king",), ())]
    assert kinds.kind("tag")(CHUNKS, None).count(words) == 3
    assert kinds.kind("classify")((), None).count(sentences("a", "b")) == 2
    assert kinds.kind("span")((), None).output == "span_logits"
