"""Statistics over seeds: intervals, an exact test, and detectable differences.

The values are those of seeds, or differences of two runs of one seed. They are taken to
be independent; an interval or a test without a word on the level is at 95 % or 5 %.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

TAIL = 0.025  # left out at either end of an interval
RESAMPLES = 9_999  # of a bootstrap: a share TAIL of one more is a whole number
MANY = 10  # values from which a bootstrap is worth its name
EXACT = 20  # values up to which every flip is counted
FLIPS = 99_999  # drawn, of more values than that
POWER = 0.8


def half(values: ArrayLike) -> NDArray[np.float64]:
    """Half the interval of the mean by Student's t (1908): (..., n) -> (...), n > 1."""
    return simultaneous_half(values, 1)


def simultaneous_half(values: ArrayLike, intervals: int) -> NDArray[np.float64]:
    """Half of one of several intervals that hold their means all at once.

    Each of the m intervals has the level 1 - 0.05/m, so that whatever their dependence
    the chance of any miss is at most 5 % (Bonferroni; Dunn 1961).
    """
    values = np.asarray(values, float)
    count = values.shape[-1]
    error = values.std(axis=-1, ddof=1) / math.sqrt(count)
    return np.asarray(stats.t.isf(TAIL / intervals, count - 1) * error)


def bootstrap(
    values: ArrayLike, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The studentised bootstrap interval of the mean: (..., n) -> its ends, (...).

    Efron & Tibshirani 1993, section 12.5: Student's quantiles are replaced by those of
    (mean of a resample - mean) / (standard error of that resample). A resample of equal
    values has no error, and counts as infinitely far: where many values are ties, an
    end may be infinite. One seed draws the same resamples every time.
    """
    values = np.asarray(values, float)
    count = values.shape[-1]
    times = np.random.default_rng(seed).multinomial(
        count, np.full(count, 1 / count), size=RESAMPLES
    )
    mean = values.mean(axis=-1, keepdims=True)
    away = np.where(np.isclose(values, mean, rtol=1e-12, atol=0), 0, values - mean)
    shift = away @ times.T / count
    square = away**2 @ times.T / count
    variance = square - shift**2
    variance[variance < 1e-9 * square] = 0  # of equal values, but for rounding
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = shift / np.sqrt(variance)
    ratio[np.isnan(ratio)] = 0
    rank = round(TAIL * (RESAMPLES + 1))
    ratio = np.partition(ratio, [rank - 1, RESAMPLES - rank], axis=-1)
    smallest, largest = ratio[..., rank - 1], ratio[..., RESAMPLES - rank]
    error, mean = np.sqrt(np.mean(away**2, axis=-1)), mean[..., 0]
    return mean - largest * error, mean - smallest * error


def sign_flip(values: ArrayLike) -> float:
    """Two-sided p of values that could as well each have had the other sign: (n,) -> p.

    The share of flips whose sum is at least as far from 0, ties counted (Fisher 1935,
    section 21): of all 2^n up to EXACT values; of FLIPS drawn ones and the one at hand
    with more (Phipson & Smyth 2010).
    """
    values = np.asarray(values, float)
    size, sums = np.abs(values).sum(), values.sum()
    reach = abs(sums) - 1e-9 * size  # sums in another order are rounded otherwise
    if len(values) > EXACT:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (FLIPS, len(values)))
        sums = np.append(signs @ values, sums)
    else:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
    return float(np.mean(np.abs(sums) >= reach))


def least_p(count: int) -> float:
    """The smallest p that `sign_flip` can give so many values."""
    return 2 / 2**count if count <= EXACT else 1 / (FLIPS + 1)


def holm(ps: Sequence[float]) -> list[float]:
    """The p of several tests, adjusted so that the chance of any false one stays below
    the level (Holm 1979): the smallest times their number, and so on down."""
    order = np.argsort(ps, kind="stable")
    steps = np.asarray(ps, float)[order] * np.arange(len(ps), 0, -1)
    adjusted = np.empty(len(ps))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted.tolist()


def detectable(deviation: float, count: int) -> float:
    """The true mean that a two-sided t test of so many values finds with 80 % power,
    where one value has that standard deviation (Cohen 1988, chapter 2).

    delta such that P(|T| > t(0.975, n - 1)) = POWER for the noncentral T = (Z + delta
    sqrt(n) / deviation) / S, with S^2 a chi-squared over its n - 1 degrees of freedom:
    the mean over quantiles of S, as scipy's nct is nan for few degrees.
    """
    freedom = count - 1
    shares = (np.arange(10_000) + 0.5) / 10_000
    limits = np.sqrt(stats.chi2.ppf(shares, freedom) / freedom)
    limits *= stats.t.isf(TAIL, freedom)

    def lack(away: float) -> float:
        found = special.ndtr(away - limits) + special.ndtr(-away - limits)
        return float(found.mean()) - POWER

    away = optimize.root_scalar(lack, bracket=(0, 100)).root
    return away * deviation / math.sqrt(count)
