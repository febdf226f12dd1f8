"""The statistics of a report once more: quantiles and powers by numerical integration,
flips and resamples one by one. No statistics package, and nothing of bert_jax."""

import functools
import itertools
import math

import numpy as np

RESAMPLES, TAIL, EXACT = 9_999, 250, 20


@functools.cache
def quantile(freedom: int, together: int = 1) -> float:
    """Of Student's t, for so many intervals at once: the density summed by Simpson's rule, the limit by halving."""
    log = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    scale = math.exp(log) / math.sqrt(freedom * math.pi)
    weights = np.array([1, *[4, 2] * 1999, 4, 1])

    def beyond(limit: float) -> float:
        at = np.linspace(0, limit, 4001)
        density = scale * (1 + at**2 / freedom) ** (-(freedom + 1) / 2)
        return 0.5 - float(density @ weights) * limit / 4000 / 3

    return halve(lambda limit: 0.025 / together - beyond(limit), 0, 60)


def halve(rising, low: float, high: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return low


@functools.cache
def far(freedom: int) -> float:
    """The noncentrality that is found four times in five."""
    limit = quantile(freedom)
    at = np.linspace(1e-9, 8, 4001)
    log = math.log(2) + freedom / 2 * math.log(freedom / 2) - math.lgamma(freedom / 2)
    density = np.exp(log + (freedom - 1) * np.log(at) - freedom * at**2 / 2)
    density /= density.sum()

    def normal(values) -> np.ndarray:
        return np.array([(1 + math.erf(v / math.sqrt(2))) / 2 for v in values])

    def power(away: float) -> float:
        found = normal(away - limit * at) + normal(-away - limit * at)
        return float(density @ found)

    return halve(lambda away: power(away) - 0.8, 0, 50)


def deviation(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))


def interval(gaps: list[float], together: int = 1) -> list[float]:
    half = quantile(len(gaps) - 1, together) * deviation(gaps) / math.sqrt(len(gaps))
    mean = sum(gaps) / len(gaps)
    return [mean - half, mean + half]


def bootstrap(gaps: list[float]) -> list[float]:
    count, values = len(gaps), np.array(gaps)
    error = values.std()
    times = np.random.default_rng(0).multinomial(
        count, [1 / count] * count, size=RESAMPLES
    )
    ratios = []
    for row in times:
        drawn = np.repeat(values, row)
        away = drawn.mean() - values.mean()
        if np.ptp(drawn):
            ratios.append(away / drawn.std())
        else:
            ratios.append(math.copysign(math.inf, away) if away else 0)
    ratios.sort()
    mean = values.mean()
    return [mean - ratios[-TAIL] * error, mean - ratios[TAIL - 1] * error]


def flips(gaps: list[float]) -> float:
    assert len(gaps) <= EXACT
    signs = np.array(list(itertools.product([-1, 1], repeat=len(gaps))))
    sums = np.abs(signs @ np.array(gaps))
    return float(np.mean(sums > abs(sum(gaps)) - 1e-9))


def holm(ps: dict[str, float]) -> dict[str, float]:
    adjusted, before = {}, 0.0
    for number, name in enumerate(sorted(ps, key=lambda name: ps[name])):
        before = max(before, min(1, ps[name] * (len(ps) - number)))
        adjusted[name] = before
    return adjusted
