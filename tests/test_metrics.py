import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.metrics import wilson


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
