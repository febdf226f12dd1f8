"""Scores of predictions, on the host.

All are floats and none is in percent: shares and F1 lie in [0, 1], Matthews's and the
other correlations in [-1, 1]. A score that would be 0/0 is 0. `gold` and `predicted`
hold one label (or number) an example, in one order; ValueError where their lengths
differ or there is no example.
"""

import math
import warnings

import numpy as np
import scipy
from numpy.typing import ArrayLike

Z95 = 1.959963984540054  # two-sided 95 % of the normal distribution


def wilson(successes: float, n: float) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927); all of [0, 1] of no trials.

    Both are whole numbers, as far as a mean times its count is one.
    """
    if n == 0:
        return 0.0, 1.0
    test = scipy.stats.binomtest(round(successes), round(n))
    low, high = test.proportion_ci(method="wilson")
    return float(low), float(high)


def accuracy(gold: ArrayLike, predicted: ArrayLike) -> float:
    gold, predicted = _pair(gold, predicted)
    return float(np.mean(gold == predicted))


def majority_share(labels: ArrayLike) -> float:
    """The accuracy of always predicting the most frequent of these labels."""
    labels, _ = _pair(labels, labels)
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))


def f1(gold: ArrayLike, predicted: ArrayLike, positive: int | str) -> float:
    """F1 of one class; 0 where it is neither in gold nor predicted."""
    return micro_f1(gold, predicted, [positive])


def macro_f1(gold: ArrayLike, predicted: ArrayLike, classes: ArrayLike) -> float:
    """The mean F1 of those of `classes` that are in gold or predicted; 0 of none."""
    gold, predicted = _pair(gold, predicted)
    occurring = np.intersect1d(classes, np.union1d(gold, predicted))
    scores = [f1(gold, predicted, label) for label in occurring]
    return sum(scores) / len(scores) if scores else 0.0


def micro_f1(gold: ArrayLike, predicted: ArrayLike, classes: ArrayLike) -> float:
    """F1 of the summed counts of `classes`; of all classes it is the accuracy."""
    gold, predicted = _pair(gold, predicted)
    wanted, found = np.isin(gold, classes), np.isin(predicted, classes)
    correct = wanted & (gold == predicted)
    return f1_of_counts(int(correct.sum()), int(found.sum()), int(wanted.sum()))


def f1_of_counts(correct: int, predicted: int, gold: int) -> float:
    """The harmonic mean of precision and recall; 0 where nothing is correct."""
    return 2 * correct / (predicted + gold) if correct else 0.0


def matthews(gold: ArrayLike, predicted: ArrayLike) -> float:
    """Matthews correlation of any number of classes: R_K of Gorodkin 2004.

    For two classes it is the coefficient of Matthews 1975. 0 where gold or predicted
    is constant.
    """
    gold, predicted = _pair(gold, predicted)
    n, labels = len(gold), np.union1d(gold, predicted)
    # Python's integers: fourth powers of the number of examples overflow 64 bits.
    wanted = [int(np.sum(gold == label)) for label in labels]
    found = [int(np.sum(predicted == label)) for label in labels]
    together = n * int(np.sum(gold == predicted)) - _dot(wanted, found)
    spread = (n * n - _dot(wanted, wanted)) * (n * n - _dot(found, found))
    return together / math.sqrt(spread) if spread else 0.0


def pearson(gold: ArrayLike, predicted: ArrayLike) -> float:
    """Product-moment correlation of numbers.

    0 where gold or predicted is constant, so of one example too: what does not vary
    explains nothing. nan where a number is not finite, so that it is seen.
    """
    gold, predicted = both = _numbers(gold, predicted)
    if not np.isfinite(both).all():
        return math.nan
    if any((values == values[0]).all() for values in both):
        return 0.0
    with warnings.catch_warnings(action="ignore"):  # of numbers that hardly vary
        found = scipy.stats.pearsonr(_scaled(gold), _scaled(predicted))
    return float(found.statistic)  # pyright: ignore[reportAttributeAccessIssue]


def spearman(gold: ArrayLike, predicted: ArrayLike) -> float:
    """Pearson's of the ranks, equal numbers sharing the mean of theirs (Kendall 1945).

    0 and nan where Pearson's is.
    """
    gold, predicted = _numbers(gold, predicted)
    if not np.isfinite([gold, predicted]).all():
        return math.nan
    return pearson(scipy.stats.rankdata(gold), scipy.stats.rankdata(predicted))


def _pair(gold: ArrayLike, predicted: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    gold, predicted = np.asarray(gold), np.asarray(predicted)
    if gold.ndim != 1 or gold.shape != predicted.shape:
        raise ValueError(f"predicted {predicted.shape} of gold {gold.shape}: want (B,)")
    if not len(gold):
        raise ValueError("no examples to score")
    return gold, predicted


def _numbers(gold: ArrayLike, predicted: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    return _pair(np.asarray(gold, np.float64), np.asarray(predicted, np.float64))


def _dot(a: list[int], b: list[int]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _scaled(values: np.ndarray) -> np.ndarray:
    """The same shape with neither sums nor squares that overflow."""
    return values / np.abs(values).max()


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, float64."""
    logits = np.asarray(logits, np.float64)
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)
