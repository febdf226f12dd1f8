"""Association tests of two sets of targets with two sets of attributes.

X and Y are the targets (flowers, insects), A and B the attributes (pleasant,
unpleasant). The test asks whether X are nearer to A, and Y to B, than by chance. WEAT
is the test of words (Caliskan, Bryson & Narayanan 2017, "Methods"), SEAT of sentences
(May et al. 2019, section 2).
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import stats

from bert_jax.inspect.measure.cosines import unit

COUNTED = 2**18  # sums of one half of the targets up to which all sets are counted
BLOCK = 2**21  # random numbers drawn at once


class Chance(NamedTuple):
    """The p-value of a test: the share of partitions of the targets with at least as
    large an effect. Each array is (C,).

    p: one-sided. low, high: its 95 % interval, equal to p where all partitions are
    counted. partitions: the number that were counted or drawn.
    """

    p: np.ndarray
    low: np.ndarray
    high: np.ndarray
    partitions: int
    exact: bool


class Association(NamedTuple):
    """The result of a test. scores: s(w, A, B) of X, then of Y, (|X| + |Y|, C). d: the
    effect size, (C,)."""

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

    `samples` partitions are drawn where they are too many to count. ValueError for an
    empty set.
    """
    if not all(map(len, (x, y, a, b))):
        raise ValueError("an association test of an empty set")
    scores = associations(np.concatenate([x, y]), a, b)
    return Association(
        scores, effect(scores, len(x)), chance(scores, len(x), samples, seed)
    )


def associations(w: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The scores s(w, A, B), mean cosine with A minus that with B: (n, C, D) -> (n, C).

    The mean of cosines is the product with the mean of unit vectors. A zero vector has
    the cosine 0.
    """
    w, a, b = (unit(np.asarray(vectors, np.float64)) for vectors in (w, a, b))
    return np.einsum("ncd,cd->nc", w, a.mean(axis=0) - b.mean(axis=0))


def effect(scores: np.ndarray, count: int) -> np.ndarray:
    """The effect size d (C,) of scores (n, C), of which the first `count` are X's.

    (mean over X - mean over Y) / standard deviation over both, that of n - 1 as in the
    published code. 0 where all scores are equal.
    """
    gap = scores[:count].mean(axis=0) - scores[count:].mean(axis=0)
    spread = scores.std(axis=0, ddof=1)
    are_equal = spread <= 1e-12 * np.abs(scores).max(axis=0)  # up to rounding
    return np.where(are_equal, 0, gap / np.where(are_equal, 1, spread))


def chance(scores: np.ndarray, count: int, samples: int, seed: int) -> Chance:
    """The p-value of scores (n, C), of which the first `count` are X's.

    It is the share of partitions into sets of these sizes whose X exceeds its Y by at
    least as much; ties count, and so does the given partition. As the sizes are fixed,
    the sum over X decides. All partitions are counted, or `samples` drawn if there are
    too many; then p = (hits + 1) / (samples + 1) (Phipson & Smyth 2010) with the
    interval of Clopper & Pearson 1934.
    """
    away = scores - scores.mean(axis=0)
    if count > len(away) - count:  # the sum over Y is equivalent, with fewer terms
        away, count = -away[::-1], len(away) - count
    # A margin for rounding, as the order of terms differs.
    scale = np.abs(away).sum(axis=0) + 1e-3 * np.abs(scores).sum(axis=0)
    reach = away[:count].sum(axis=0) - 1e-9 * scale
    if countable(len(away), count):
        hits = [_count_sets(*column, count) for column in zip(away.T, reach)]
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


def _count_sets(values: np.ndarray, reach: float, count: int) -> int:
    """Count the sets of `count` values whose sum is at least `reach`.

    Each set joins one of the first half of the values and one of the second, so that
    sorted sums of the halves suffice (Horowitz & Sahni 1974).
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
    """The sorted sums of all sets of 0, 1, ... `most` values, up to the number of
    values."""
    sums = [np.zeros(1)]
    for value in values:
        longer = [np.zeros(0), *(shorter_sums + value for shorter_sums in sums)]
        shorter = [*sums, np.zeros(0)]
        sums = [np.concatenate(both) for both in zip(shorter, longer)][: most + 1]
    return [np.sort(each) for each in sums]


def _draws(total: int, count: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield random sets of `count` of `total` as blocks (rows, total) of 0 and 1."""
    draw = np.random.default_rng(seed)
    rows = max(1, BLOCK // total)
    for begin in range(0, samples, rows):
        keys = draw.random((min(rows, samples - begin), total))
        chosen = np.argpartition(keys, count - 1, axis=1)[:, :count]
        members = np.zeros(keys.shape)
        np.put_along_axis(members, chosen, 1.0, axis=1)
        yield members
