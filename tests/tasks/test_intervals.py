"""Intervals, tests and power: small cases by hand, and what they hold in the long run."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bert_jax.tasks import intervals

floats = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))
several = st.lists(floats, min_size=2, max_size=8)


def test_half_the_t_interval_by_hand():
    """Deviation 1 of 1, 2, 3: the error is 1 / sqrt(3), t of two degrees 4.3027."""
    assert intervals.half([1, 2, 3]) == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)


def test_half_takes_many_sets_at_once():
    rows = np.arange(12.0).reshape(2, 2, 3) ** 2
    by_one = [[intervals.half(row) for row in block] for block in rows]
    np.testing.assert_allclose(intervals.half(rows), by_one)


@given(several)
def test_half_is_that_of_scipy(values):
    quantile = stats.t.ppf(0.975, len(values) - 1)
    expected = quantile * stats.sem(values)
    assert intervals.half(values) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("count", [5, 10])
def test_the_t_interval_covers_the_truth_95_times_in_100(count):
    """20,000 sets of seeds: a standard error of 0.15 in 100."""
    values = np.random.default_rng(count).normal(0.3, 2, (20_000, count))
    covered = np.abs(values.mean(axis=-1) - 0.3) <= intervals.half(values)
    assert 0.945 <= covered.mean() <= 0.955


def test_the_bootstrap_covers_the_truth_95_times_in_100():
    """2,000 sets of ten seeds: a standard error of 0.5 in 100."""
    covered = []
    for block in range(4):
        values = np.random.default_rng(block).normal(0.3, 2, (500, 10))
        low, high = intervals.bootstrap(values, block)
        covered += list((low <= 0.3) & (0.3 <= high))
    assert 0.935 <= np.mean(covered) <= 0.965


def test_the_bootstrap_by_its_definition():
    """Every resample drawn out as values, and its own error taken."""
    values = np.array([0.1, 0.5, 0.2, 0.9, 0.4, 0.3, 0.8, 0.2, 0.7, 0.6])
    times = np.random.default_rng(5).multinomial(10, [0.1] * 10, size=9_999)
    ratios = []
    for row in times:
        drawn = np.repeat(values, row)
        ratios.append((drawn.mean() - values.mean()) / drawn.std())
    ratios = np.sort(ratios)
    low, high = intervals.bootstrap(values, 5)
    assert low == pytest.approx(values.mean() - ratios[9749] * values.std())
    assert high == pytest.approx(values.mean() - ratios[249] * values.std())


def test_the_bootstrap_is_the_same_each_time_and_wider_on_the_long_side():
    values = np.exp(np.random.default_rng(0).normal(size=12))
    low, high = intervals.bootstrap(values, 0)
    assert (low, high) == intervals.bootstrap(values, 0)
    assert high - values.mean() > values.mean() - low


@pytest.mark.parametrize("value", [0.0, 0.1, -3.3])
def test_equal_values_have_an_interval_of_one_point(value):
    low, high = intervals.bootstrap([value] * 11, 0)
    assert low == high == pytest.approx(value)
    assert intervals.half([value] * 11) == pytest.approx(0, abs=1e-12)


def test_ties_without_spread_leave_an_end_open():
    """Of nine zeros and a one, a third of the resamples know no spread at all."""
    low, high = intervals.bootstrap([0.0] * 9 + [1.0], 0)
    assert math.isfinite(low)
    assert high == math.inf


def test_sign_flips_by_hand():
    """Of eight flips of 1, 2, 3 two reach 6; of 1, 2, -3 all reach 0."""
    assert intervals.sign_flip([1, 2, 3]) == 2 / 8
    assert intervals.sign_flip([1, 2, -3]) == 1
    assert intervals.sign_flip([3, 3, -1]) == 4 / 8  # 7 twice, and 5 twice
    assert intervals.sign_flip([0, 0, 0, 0]) == 1
    assert intervals.sign_flip([5]) == 1


@given(several)
def test_sign_flips_are_those_of_brute_force(values):
    numbers = [round(1000 * value) for value in values]  # whole: no rounding
    flips = itertools.product([-1, 1], repeat=len(numbers))
    sums = [abs(sum(s * v for s, v in zip(f, numbers, strict=True))) for f in flips]
    expected = sum(each >= abs(sum(numbers)) for each in sums) / len(sums)
    assert intervals.sign_flip(values) == expected
    assert expected >= intervals.least_p(len(values))


def test_ties_count_however_their_sum_is_rounded():
    """0.1 + 0.2 + 0.3 is not 0.6 to the last bit, nor is it in another order."""
    assert intervals.sign_flip([0.1, 0.2, 0.3, -0.6]) == 1
    assert intervals.sign_flip([0.1] * 6) == intervals.least_p(6) == 2 / 64


def test_many_values_are_flipped_by_chance_near_the_exact_p():
    """A normal sum, as 22 flips have: 99,999 of them tell its p within 0.004."""
    values = np.random.default_rng(0).normal(0.45, 1, 22)
    z = values.sum() / math.sqrt((values**2).sum())
    assert intervals.sign_flip(values) == pytest.approx(
        2 * stats.norm.sf(abs(z)), abs=0.006
    )
    assert intervals.sign_flip([1.0] * 30) == intervals.least_p(30) == 1e-5
    assert intervals.sign_flip([0.0] * 30) == 1


def test_holm_by_hand():
    """Sorted 0.01, 0.02, 0.03, 0.6 times 4, 3, 2, 1; none below the one before it."""
    adjusted = intervals.holm([0.03, 0.01, 0.6, 0.02])
    assert adjusted == pytest.approx([0.06, 0.04, 0.6, 0.06])
    assert intervals.holm([0.5, 0.5]) == [1, 1]
    assert intervals.holm([0.2]) == [0.2]
    assert intervals.holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_only_raises(ps):
    adjusted = intervals.holm(ps)
    pairs = list(zip(ps, adjusted, strict=True))
    assert all(p <= a <= 1 for p, a in pairs)
    assert [a for _, a in sorted(pairs)] == sorted(adjusted)


@pytest.mark.parametrize("count", [2, 3, 5, 10, 30])
def test_what_is_detectable_is_found_four_times_in_five(count):
    """20,000 sets of seeds: a standard error of 0.3 in 100."""
    truth = intervals.detectable(2.0, count)
    values = np.random.default_rng(count).normal(truth, 2, (20_000, count))
    found = np.abs(values.mean(axis=-1)) > intervals.half(values)
    assert 0.79 <= found.mean() <= 0.81


def test_what_is_detectable_by_the_noncentral_t():
    limit = stats.t.ppf(0.975, 9)
    away = intervals.detectable(1.0, 10) * math.sqrt(10)
    power = stats.nct.sf(limit, 9, away) + stats.nct.cdf(-limit, 9, away)
    assert power == pytest.approx(0.8, abs=1e-5)
    assert intervals.detectable(3.0, 10) == pytest.approx(
        3 * intervals.detectable(1.0, 10)
    )
    assert intervals.detectable(0.0, 10) == 0


def test_simultaneous_intervals_are_those_of_bonferroni():
    """Of 1, 2, 3, 6 the error is sqrt(14/3)/2, and t(1 - 0.025/4) of three degrees is
    5.3919, where Student's own form of the distribution gives that share."""
    scaled = 5.3919 / math.sqrt(3)
    share = 0.5 + (scaled / (1 + scaled**2) + math.atan(scaled)) / math.pi
    assert share == pytest.approx(1 - 0.05 / 8, abs=1e-6)
    error = math.sqrt(14 / 3) / 2
    found = intervals.simultaneous_half([1, 2, 3, 6], 4)
    assert found == pytest.approx(5.3919 * error, rel=1e-4)
    assert found == pytest.approx(stats.t.ppf(1 - 0.05 / 8, 3) * error)
    assert intervals.simultaneous_half([1, 2, 3, 6], 1) == intervals.half([1, 2, 3, 6])


def test_simultaneous_intervals_all_hold_at_once():
    """Of 2,000 families of four means, independent and each 0."""
    draws = np.random.default_rng(0).normal(size=(2000, 4, 6))
    held = np.abs(draws.mean(-1)) <= intervals.simultaneous_half(draws, 4)
    assert 0.94 < held.all(axis=1).mean() < 0.965
