"""A direction of pairs, products with it, its removal, and what is left."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_jax.inspect.bias import direction


def vectors(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def test_one_pair_gives_its_difference_of_length_1():
    x, y = np.array([[[3.0, 1.0]]]), np.array([[[0.0, 5.0]]])
    b, share = direction.pair_direction(x, y)
    np.testing.assert_allclose(b, [[0.6, -0.8]])
    assert share[0] == pytest.approx(1)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_the_direction_is_the_first_eigenvector_of_differences(seed, count):
    x, y = vectors(seed, 2, count, 3, 4)
    b, share = direction.pair_direction(x, y)
    for layer in range(3):
        differences = x[:, layer] - y[:, layer]
        values, turned = np.linalg.eigh(differences.T @ differences)
        np.testing.assert_allclose(abs(b[layer] @ turned[:, -1]), 1, atol=1e-9)
        assert share[layer] == pytest.approx(values[-1] / values.sum())
        assert differences.mean(axis=0) @ b[layer] >= 0


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_ripa_is_the_product_and_removal_leaves_none(seed):
    x, y, words = vectors(seed, 3, 4, 2, 5)
    b, _ = direction.pair_direction(x, y)
    by_hand = [[sum(w * c) for w, c in zip(word, b, strict=True)] for word in words]
    np.testing.assert_allclose(direction.ripa(words, b), by_hand, atol=1e-9)
    left = direction.remove(words, b)
    np.testing.assert_allclose(direction.ripa(left, b), 0, atol=1e-9)
    np.testing.assert_allclose(direction.remove(left, b), left, atol=1e-9)
    # What is at right angles to it stays.
    np.testing.assert_allclose(words - left, by_hand_times(by_hand, b), atol=1e-9)


def by_hand_times(products, b):
    return np.array(products)[:, :, None] * b


def test_pairs_that_do_not_differ_have_no_direction():
    x = vectors(0, 3, 2, 4).astype(np.float32)
    y = x.copy()
    y[:, 1] += 1
    y[0, 0] = np.nextafter(x[0, 0], np.float32(2))  # as a device may round
    b, share = direction.pair_direction(x, y)
    np.testing.assert_array_equal(b[0], 0)
    np.testing.assert_allclose(share, [0, 1])
    with pytest.raises(ValueError, match="no pair"):
        direction.pair_direction(x[:0], y[:0])


def test_separate_sides_are_predicted_and_noise_is_not():
    side = np.arange(60) < 30
    noise = vectors(1, 60, 6)
    apart = noise + 8 * side[:, None]
    assert direction.correct_sides(apart, side, 0).all()
    assert direction.correct_sides(noise, side, 0).mean() < 0.75
    clusters = direction.two_clusters(apart)
    assert (clusters == side).all() or (clusters == ~side).all()


def test_without_its_direction_a_cluster_may_stay():
    """The published finding: two sets that differ in two ways lose one of them."""
    side = np.arange(60) < 30
    both = vectors(2, 60, 6)
    both[:, :2] += 8 * side[:, None]
    left = direction.remove(both[:, None], np.eye(6)[:1])[:, 0]
    assert direction.correct_sides(left, side, 0).all()


def test_sides_of_fewer_than_the_parts_are_refused():
    with pytest.raises(ValueError, match="fewer than 5"):
        direction.correct_sides(vectors(0, 9, 2), np.arange(9) < 4, 0)


def test_equal_vectors_are_one_cluster():
    assert not direction.two_clusters(np.ones((4, 3))).any()
