"""Association tests of two sets of targets with two sets of attributes.

X and Y are the targets (flowers, insects), A and B the attributes (pleasant,
unpleasant): are X nearer to A, and Y to B, than chance would have it? WEAT asks it of
words (Caliskan, Bryson & Narayanan 2017, "Methods"), SEAT of sentences (May et al.
2019, section 2).
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import stats

from bert_jax.inspect.measure.cosines import unit

COUNTED = 2**18  # sums of either half of the targets, up to which all are counted
BLOCK = 2**21  # random numbers drawn at once


class Chance(NamedTuple):
    """How often a partition of the targets does as well as theirs; each (C,).

    p: one-sided. low, high: the 95 % interval of the share that p estimates, p itself
    where all partitions are counted. partitions: how many were, or were drawn.
    """

    p: np.ndarray
    low: np.ndarray
    high: np.ndarray
    partitions: int
    exact: bool


class Association(NamedTuple):
    """scores: s(w, A, B) of X, then of Y, (|X| + |Y|, C). d: the effect size, (C,)."""

    scores: np.ndarray
    d: np.ndarray
    chance: Chance


def weat(
    x: np.ndarray,
    y: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    samples: int,
    seed: int,
) -> Association:
    """WEAT of vectors, each set (n, C, D): one test for each of the C layers.

    Of too many partitions `samples` are drawn. ValueError for an empty set.
    """
    if not all(map(len, (x, y, a, b))):
        raise ValueError("an association test of an empty set")
    scores = associations(np.concatenate([x, y]), a, b)
    return Association(
        scores, effect(scores, len(x)), chance(scores, len(x), samples, seed)
    )


def associations(w: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """s(w, A, B): the mean cosine with A minus that with B. (n, C, D) -> (n, C).

    The mean of cosines is the product with the mean of unit vectors. A vector of zeros
    has the cosine 0.
    """
    w, a, b = (unit(np.asarray(own, np.float64)) for own in (w, a, b))
    return np.einsum("ncd,cd->nc", w, a.mean(axis=0) - b.mean(axis=0))


def effect(scores: np.ndarray, count: int) -> np.ndarray:
    """d of scores (n, C), the first `count` of which are X's: (C,).

    (mean over X - mean over Y) / standard deviation over both, that of n - 1 as in the
    published code. 0 where all scores are equal.
    """
    gap = scores[:count].mean(axis=0) - scores[count:].mean(axis=0)
    spread = scores.std(axis=0, ddof=1)
    same = spread <= 1e-12 * np.abs(scores).max(axis=0)  # equal, but for rounding
    return np.where(same, 0, gap / np.where(same, 1, spread))


def chance(scores: np.ndarray, count: int, samples: int, seed: int) -> Chance:
    """p of scores (n, C), the first `count` of which are X's.

    The share of partitions into sets of these sizes whose X is at least as far above
    its Y, ties counted, and so the partition at hand. With the sizes fixed the sum over
    X decides. All are counted, or of too many `samples` drawn, and then p = (hits + 1)
    / (samples + 1) (Phipson & Smyth 2010) with the interval of Clopper & Pearson 1934.
    """
    away = scores - scores.mean(axis=0)
    if count > len(away) - count:  # the sum over Y is as good, and has fewer terms
        away, count = -away[::-1], len(away) - count
    # Sums in another order are rounded otherwise; equal scores differ by rounding.
    scale = np.abs(away).sum(axis=0) + 1e-3 * np.abs(scores).sum(axis=0)
    reach = away[:count].sum(axis=0) - 1e-9 * scale
    if countable(len(away), count):
        hits = [_counted(*column, count) for column in zip(away.T, reach)]
        number = math.comb(len(away), count)
        p = np.array(hits) / number
        return Chance(p, p, p, number, True)
    hits = sum(
        (members @ away >= reach).sum(axis=0)
        for members in _draws(len(away), count, samples, seed)
    )
    low, high = clopper_pearson(np.asarray(hits), samples)
    return Chance((np.asarray(hits) + 1) / (samples + 1), low, high, samples, False)


def countable(total: int, count: int) -> bool:
    """Whether all sets of `count` of `total` are counted, not drawn: always of 36."""
    half = total - total // 2
    return sum(math.comb(half, size) for size in range(count + 1)) <= COUNTED


def clopper_pearson(hits: np.ndarray, trials: int) -> tuple[np.ndarray, np.ndarray]:
    """The exact 95 % interval of a share (Clopper & Pearson 1934)."""
    tests = (stats.binomtest(int(count), trials) for count in hits)
    low, high = zip(*(test.proportion_ci(method="exact") for test in tests))
    return np.array(low), np.array(high)


def _counted(values: np.ndarray, reach: float, count: int) -> int:
    """How many sets of `count` values have a sum of at least `reach`.

    Each set is one of the first half of the values and one of the second, so that
    sorted sums of the halves are enough (Horowitz & Sahni 1974).
    """
    half = len(values) // 2
    first, second = _sums(values[:half], count), _sums(values[half:], count)
    hits = 0
    for size, sums in enumerate(first):
        if count - size < len(second):
            others = second[count - size]
            hits += sums.size * others.size
            hits -= int(np.searchsorted(others, reach - sums[::-1]).sum())
    return hits


def _sums(values: np.ndarray, most: int) -> list[np.ndarray]:
    """The sorted sums of all sets of 0, 1, ... `most` values, as far as there are."""
    sums = [np.zeros(1)]
    for value in values:
        longer = [np.zeros(0), *(own + value for own in sums)]
        shorter = [*sums, np.zeros(0)]
        sums = [np.concatenate(both) for both in zip(shorter, longer)][: most + 1]
    return [np.sort(own) for own in sums]


def _draws(total: int, count: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    """Random sets of `count` of `total`, in blocks (rows, total): 1 of its members."""
    draw = np.random.default_rng(seed)
    rows = max(1, BLOCK // total)
    for begin in range(0, samples, rows):
        keys = draw.random((min(rows, samples - begin), total))
        chosen = np.argpartition(keys, count - 1, axis=1)[:, :count]
        members = np.zeros(keys.shape)
        np.put_along_axis(members, chosen, 1.0, axis=1)
        yield members
