"""Scores against cases by hand, and definitions by loops."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.tasks import metrics
from bert_jax.tasks.metrics import wilson

LABELS = st.integers(0, 3)
PAIRS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=30)
POINT = st.tuples(st.integers(-9, 9), st.integers(-9, 9))
POINTS = st.lists(POINT, min_size=2, max_size=30)
OF_LABELS = {
    "accuracy": metrics.accuracy,
    "f1": lambda gold, predicted: metrics.f1(gold, predicted, 1),
    "macro": lambda gold, predicted: metrics.macro_f1(gold, predicted, range(4)),
    "micro": lambda gold, predicted: metrics.micro_f1(gold, predicted, [0, 2]),
    "matthews": metrics.matthews,
}
OF_NUMBERS = {"pearson": metrics.pearson, "spearman": metrics.spearman}
ALL = OF_LABELS | OF_NUMBERS


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe 1998, table 1, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_published_intervals(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_of_one_success_in_two_by_hand():
    # z^2 = 3.8415: (0.5 + z^2/4 +- z sqrt(1/8 + z^2/16)) / (1 + z^2/2)
    half = 1.959964 * math.sqrt(1 / 8 + 3.841459 / 16) / (1 + 3.841459 / 2)
    assert wilson(1, 2) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)


@pytest.mark.parametrize("n", [1, 7, 263, 10**6])
def test_wilson_is_its_formula(n):
    for successes in {0, n // 3, n}:
        share, spread = successes / n, metrics.Z95**2 / n
        half = math.sqrt(spread * (share * (1 - share) + spread / 4))
        ends = [(share + spread / 2 + x) / (1 + spread) for x in (-half, half)]
        assert wilson(successes, n) == pytest.approx(ends, abs=1e-12)
        assert wilson(successes / n * n, float(n)) == wilson(successes, n)


def test_wilson_knows_nothing_of_no_trials():
    assert wilson(0, 0) == (0, 1)


@given(
    st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
)
def test_wilson_holds_the_share_and_mirrors(case):
    successes, n = case
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n + 1e-12
    assert successes / n - 1e-12 <= high <= 1
    mirrored = wilson(n - successes, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


# three of class 0, two of 1, one of 2; 1 and 2 are confused once, 0 is lost once to 2
GOLD = [0, 0, 0, 1, 1, 2]
PREDICTED = [0, 0, 2, 1, 2, 1]


def test_scores_of_labels_by_hand():
    assert metrics.accuracy(GOLD, PREDICTED) == 3 / 6
    assert metrics.majority_share(GOLD) == 3 / 6
    # precision 2/2 and recall 2/3; 1/2 and 1/2; 0/2 and 0/1
    by_class = [4 / 5, 1 / 2, 0]
    scores = [metrics.f1(GOLD, PREDICTED, label) for label in range(3)]
    assert scores == pytest.approx(by_class)
    assert metrics.macro_f1(GOLD, PREDICTED, range(3)) == pytest.approx(13 / 30)
    # 3 correct of 4 predicted and 5 wanted, 2 being left out
    assert metrics.micro_f1(GOLD, PREDICTED, [0, 1]) == pytest.approx(6 / 9)
    # (3 x 6 - (3x2 + 2x2 + 1x2)) / sqrt((36 - 14)(36 - 12))
    assert metrics.matthews(GOLD, PREDICTED) == pytest.approx(6 / math.sqrt(528))


def test_matthews_of_two_classes_is_the_formula_of_1975():
    # 6 true positives, 1 false, 2 false negatives, 3 true
    gold = [1] * 6 + [0] + [1] * 2 + [0] * 3
    predicted = [1] * 7 + [0] * 5
    want = (6 * 3 - 1 * 2) / math.sqrt(7 * 8 * 4 * 5)
    assert metrics.matthews(gold, predicted) == pytest.approx(want)
    flipped = [1 - label for label in predicted]
    assert metrics.matthews(gold, flipped) == pytest.approx(-want)


def test_matthews_counts_millions():
    gold = np.arange(4_000_000) % 2
    assert metrics.matthews(gold, gold) == 1
    assert metrics.matthews(gold, 1 - gold) == -1


@pytest.mark.parametrize(
    ("gold", "predicted", "f1", "macro"),
    [
        ([0, 0], [0, 0], 0, 1),  # class 1 is nowhere and no part of the mean
        ([1, 1], [1, 1], 1, 1),
        ([0, 1], [0, 0], 0, 1 / 3),  # constant predictions
        ([0, 0], [1, 1], 0, 0),
    ],
)
def test_labels_of_one_class(gold, predicted, f1, macro):
    assert metrics.f1(gold, predicted, 1) == f1
    assert metrics.macro_f1(gold, predicted, [0, 1]) == pytest.approx(macro)
    assert metrics.matthews(gold, predicted) == 0


def test_f1_of_classes_that_never_occur_is_nothing():
    assert metrics.macro_f1(GOLD, PREDICTED, [7]) == 0
    assert metrics.micro_f1(GOLD, PREDICTED, [7]) == 0


def test_labels_may_be_names():
    names = np.array(["hardware", "software", "billing"])
    gold, predicted = names[GOLD], names[PREDICTED]
    assert metrics.f1(gold, predicted, "hardware") == pytest.approx(4 / 5)
    assert metrics.macro_f1(gold, predicted, names) == pytest.approx(13 / 30)
    assert metrics.matthews(gold, predicted) == metrics.matthews(GOLD, PREDICTED)


def test_correlations_by_hand():
    # deviations -2 0 2 and -1 -1 2: 6 / sqrt(8 x 6)
    assert metrics.pearson([1, 3, 5], [2, 2, 5]) == pytest.approx(6 / math.sqrt(48))
    # ranks 1 2.5 2.5 4 and 4 3 1.5 1.5; deviations -1.5 0 0 1.5 and 1.5 .5 -1 -1
    ties = metrics.spearman([10, 20, 20, 90], [0.4, 0.3, 0.1, 0.1])
    assert ties == pytest.approx(-3.75 / math.sqrt(4.5 * 4.5))


def test_rank_correlation_sees_order_alone():
    assert metrics.spearman([1, 2, 3], [-1, 0, 1e300]) == pytest.approx(1)
    assert metrics.spearman([1, 2, 3], [1e-300, 0, -8]) == pytest.approx(-1)


@pytest.mark.parametrize("correlation", OF_NUMBERS.values(), ids=OF_NUMBERS)
def test_what_does_not_vary_correlates_with_nothing(correlation):
    constant = [0.1, 0.1, 0.1]  # its computed mean is another number
    assert correlation(constant, [1, 2, 3]) == 0
    assert correlation([1, 2, 3], constant) == 0
    assert correlation([5], [5]) == 0


@pytest.mark.parametrize("correlation", OF_NUMBERS.values(), ids=OF_NUMBERS)
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_seen(correlation, number):
    assert math.isnan(correlation([1, 2, 3], [1, number, 3]))
    assert math.isnan(correlation([number, 2, 3], [1, 1, 1]))


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e200, 4e307])
def test_correlation_of_extreme_numbers(scale):
    numbers = np.array([1.0, 2.0, 4.0]) * scale
    small = metrics.pearson([1, 2, 4], [3, 1, 1])
    assert metrics.pearson(numbers, [3, 1, 1]) == pytest.approx(small, rel=1e-3)


@pytest.mark.parametrize("score", ALL.values(), ids=ALL)
def test_no_examples_and_other_lengths_are_refused(score):
    with pytest.raises(ValueError, match="no examples"):
        score([], [])
    with pytest.raises(ValueError, match=r"predicted \(2,\) of gold \(3,\)"):
        score([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match=r"\(2, 1\)"):
        score([[1], [2]], [[1], [2]])


def test_no_labels_have_no_majority():
    with pytest.raises(ValueError, match="no examples"):
        metrics.majority_share([])


@pytest.mark.parametrize("score", ALL.values(), ids=ALL)
@given(case=PAIRS, seed=st.integers(0, 99))
def test_order_of_examples_changes_nothing(score, case, seed):
    shuffled = random.Random(seed).sample(case, len(case))
    want = score(*zip(*case, strict=True))
    assert score(*zip(*shuffled, strict=True)) == pytest.approx(want)


@pytest.mark.parametrize("score", ALL.values(), ids=ALL)
@given(case=PAIRS)
def test_gold_and_predicted_may_change_places(score, case):
    gold, predicted = zip(*case, strict=True)
    assert score(gold, predicted) == pytest.approx(score(predicted, gold))


@pytest.mark.parametrize("score", ALL.values(), ids=ALL)
@given(case=PAIRS)
def test_scores_stay_in_their_range(score, case):
    value = score(*zip(*case, strict=True))
    assert isinstance(value, float)
    lowest = -1 if score in (*OF_NUMBERS.values(), metrics.matthews) else 0
    assert lowest <= value <= 1


@given(st.lists(LABELS, min_size=1))
def test_perfect_predictions_score_one(gold):
    varies = float(len(set(gold)) > 1)
    assert metrics.accuracy(gold, gold) == 1
    assert metrics.macro_f1(gold, gold, range(4)) == 1
    assert metrics.f1(gold, gold, gold[0]) == 1
    assert metrics.matthews(gold, gold) == varies
    assert metrics.pearson(gold, gold) == pytest.approx(varies)
    assert metrics.spearman(gold, gold) == pytest.approx(varies)


@given(PAIRS)
def test_labels_agree_with_counts_by_loops(case):
    gold, predicted = zip(*case, strict=True)
    scores, correct, found, wanted = [], 0, 0, 0
    for label in range(4):
        true = sum(g == p == label for g, p in case)
        false = sum(p == label != g for g, p in case)
        missed = sum(g == label != p for g, p in case)
        precision = true / (true + false) if true else 0
        recall = true / (true + missed) if true else 0
        score = 2 * precision * recall / (precision + recall) if true else 0
        assert metrics.f1(gold, predicted, label) == pytest.approx(score)
        if true + false + missed:
            scores.append(score)
        if label in (0, 2):
            correct, found, wanted = (
                correct + true,
                found + true + false,
                wanted + true + missed,
            )
    macro = metrics.macro_f1(gold, predicted, range(4))
    assert macro == pytest.approx(sum(scores) / len(scores))
    micro = 2 * correct / (found + wanted) if correct else 0
    assert metrics.micro_f1(gold, predicted, [0, 2]) == pytest.approx(micro)
    accuracy = sum(g == p for g, p in case) / len(case)
    assert metrics.accuracy(gold, predicted) == pytest.approx(accuracy)
    assert metrics.micro_f1(gold, predicted, range(4)) == pytest.approx(accuracy)
    share = max(gold.count(label) for label in gold) / len(gold)
    assert metrics.majority_share(gold) == share


@given(PAIRS)
def test_matthews_agrees_with_its_sum_over_triples(case):
    # Gorodkin 2004's R_K, written with the confusion matrix
    matrix = [[case.count((g, p)) for p in range(4)] for g in range(4)]
    columns = [list(column) for column in zip(*matrix, strict=True)]
    together = sum(
        matrix[k][k] * matrix[m][n] - matrix[n][k] * matrix[k][m]
        for k in range(4)
        for m in range(4)
        for n in range(4)
    )
    spreads = [
        sum(
            sum(lines[k]) * sum(sum(lines[other]) for other in range(4) if other != k)
            for k in range(4)
        )
        for lines in (matrix, columns)
    ]
    want = together / math.sqrt(spreads[0] * spreads[1]) if all(spreads) else 0
    assert metrics.matthews(*zip(*case, strict=True)) == pytest.approx(want)


def cosine_of_deviations(gold, predicted) -> float:
    """Pearson's by its definition; 0 where one does not vary."""
    if len(set(gold)) == 1 or len(set(predicted)) == 1:
        return 0
    deviations = [np.array(each) - np.mean(each) for each in (gold, predicted)]
    first, second = (each / np.linalg.norm(each) for each in deviations)
    return float(first @ second)


def ranks(values) -> list[float]:
    """From 1; equal values share the mean of theirs."""
    return [
        np.sum(np.less(values, value)) + (np.sum(np.equal(values, value)) + 1) / 2
        for value in values
    ]


@given(POINTS)
def test_correlations_agree_with_their_definitions(points):
    gold, predicted = zip(*points, strict=True)
    pearson = cosine_of_deviations(gold, predicted)
    spearman = cosine_of_deviations(ranks(gold), ranks(predicted))
    assert metrics.pearson(gold, predicted) == pytest.approx(pearson, abs=1e-12)
    assert metrics.spearman(gold, predicted) == pytest.approx(spearman, abs=1e-12)


def test_correlations_of_many_numbers_agree_with_their_definitions():
    draw = np.random.default_rng(0)
    gold = draw.normal(size=2000)
    predicted = (gold + draw.normal(size=2000)).round(1)  # with ties
    pearson = cosine_of_deviations(gold, predicted)
    spearman = cosine_of_deviations(ranks(gold), ranks(predicted))
    assert metrics.pearson(gold, predicted) == pytest.approx(pearson, abs=1e-12)
    assert metrics.spearman(gold, predicted) == pytest.approx(spearman, abs=1e-12)
