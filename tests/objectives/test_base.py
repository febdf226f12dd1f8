"""Losses and means against plain numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.objectives import base

LOGITS = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [5.0, -5.0, 0.0]], np.float32)
TARGETS = np.array([2, 0, 1])
WEIGHTS = np.array([1.0, 0.5, 0.0], np.float32)


def test_cross_entropy_is_a_weighted_total_and_the_total_weight():
    total, count = base.weighted_cross_entropy(
        jnp.array(LOGITS), jnp.array(TARGETS), jnp.array(WEIGHTS)
    )
    first = -np.log(np.exp(3) / (np.exp(1) + np.exp(2) + np.exp(3)))
    np.testing.assert_allclose(total, first + 0.5 * np.log(3), rtol=1e-6)
    assert count == 1.5


def test_cross_entropy_survives_huge_logits():
    logits = jnp.array([[1e4, -1e4], [-3e38, 0.0]])
    for target, expected in ([0, 1], 0.0), ([1, 1], 2e4):
        total, _ = base.weighted_cross_entropy(logits, jnp.array(target), jnp.ones(2))
        np.testing.assert_allclose(total, expected, atol=1e-6)


def test_cross_entropy_of_half_precision_logits_is_computed_in_float32():
    logits = jnp.array(np.linspace(-3, 3, 1000)[None], jnp.bfloat16)
    total, _ = base.weighted_cross_entropy(logits, jnp.array([7]), jnp.ones(1))
    exact = np.asarray(logits, np.float64)[0]
    expected = np.log(np.exp(exact).sum()) - exact[7]
    assert total.dtype == jnp.float32
    np.testing.assert_allclose(total, expected, rtol=1e-6)


def test_the_gradient_of_cross_entropy_is_softmax_less_one_hot():
    gradient = jax.grad(
        lambda logits: base.weighted_cross_entropy(
            logits, jnp.array(TARGETS), jnp.array(WEIGHTS)
        )[0]
    )(jnp.array(LOGITS))
    softmax = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    expected = WEIGHTS[:, None] * (softmax - np.eye(3)[TARGETS])
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_accuracy_counts_the_weight_of_the_targets_on_top():
    total, count = base.weighted_accuracy(
        jnp.array(LOGITS), jnp.array([2, 1, 0]), jnp.array(WEIGHTS)
    )
    assert (total, count) == (1.0, 1.5)


def test_means_divide_last_and_leave_out_what_counted_nothing():
    left = {"a": (np.float32(3), np.float32(2)), "b": (np.float32(0), np.float32(0))}
    right = {"a": (np.float32(5), np.float32(6)), "b": (np.float32(0), np.float32(0))}
    assert base.means(base.add_sums(left, right)) == {"a": 1.0}


@pytest.mark.parametrize("array", [np.float32, jnp.float32])
def test_sums_add_on_the_host_and_on_the_device(array):
    added = base.add_sums({"a": (array(1), array(2))}, {"a": (array(3), array(4))})
    assert added == {"a": (4, 6)}
    assert isinstance(added["a"][0], type(array(1)))


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=8), st.data())
def test_parts_of_a_batch_with_the_whole_counts_add_up_to_the_whole(weights, data):
    cut = data.draw(st.integers(1, len(weights) - 1))
    losses, weights = np.arange(1.0, len(weights) + 1), np.array(weights)
    counts = {"mlm": jnp.float32(weights.sum())}

    def part(rows):
        total = jnp.float32((losses * weights)[rows].sum())
        return base.global_mean(
            {"mlm_loss": (total, counts["mlm"])}, counts, {"mlm": 1.0}
        )

    whole = part(slice(None))
    halves = part(slice(cut)) + part(slice(cut, None))
    np.testing.assert_allclose(halves, whole, rtol=1e-6)


def test_each_loss_is_divided_by_its_own_count_and_weighed():
    sums = {
        "mlm_loss": (jnp.float32(6), jnp.float32(1)),
        "mlm_accuracy": (jnp.float32(100), jnp.float32(1)),
        "pair_loss": (jnp.float32(2), jnp.float32(1)),
    }
    counts = {"mlm": jnp.float32(3), "pair": jnp.float32(0.5)}
    assert base.global_mean(sums, counts, {"mlm": 1.0, "pair": 2.0}) == 10


def test_a_count_of_nothing_gives_zero_and_not_nan():
    nothing = jnp.float32(0)
    sums = {"mlm_loss": (nothing, nothing)}
    assert base.global_mean(sums, {"mlm": nothing}, {"mlm": 1.0}) == 0
