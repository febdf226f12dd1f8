"""Cosines and what is nearest, by hand and by loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_jax.inspect.measure import cosines


def cloud(seed: int, count: int, size: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_zeros_have_no_direction():
    units = cosines.unit(np.array([[3.0, 4.0], [0, 0]]))
    np.testing.assert_allclose(units, [[0.6, 0.8], [0, 0]])


@given(seed=st.integers(0, 99), count=st.integers(2, 7))
@settings(max_examples=20)
def test_tables_and_means_are_those_of_a_loop(seed, count):
    vectors = cloud(seed, count, 3)
    table = [[cosine(a, b) for b in vectors] for a in vectors]
    np.testing.assert_allclose(cosines.table(vectors), table, atol=1e-12)
    others = [table[i][j] for i in range(count) for j in range(count) if i != j]
    assert cosines.mean(vectors) == pytest.approx(np.mean(others))
    layers = np.stack([vectors, vectors + 1], 1)
    assert cosines.mean(layers)[1] == pytest.approx(cosines.mean(vectors + 1))


def test_one_vector_has_no_mean_cosine():
    assert cosines.mean(np.ones((1, 4))) == 0


@given(
    seed=st.integers(0, 99), top=st.integers(1, 9), without=st.sets(st.integers(0, 5))
)
@settings(max_examples=20)
def test_the_nearest_are_those_of_a_loop(seed, top, without):
    vectors, query = cloud(seed, 6, 3), cloud(seed + 1, 1, 3)[0]
    near = cosines.nearest(query, cosines.unit(vectors), top, without)
    allowed = [row for row in range(6) if row not in without]
    wanted = sorted(allowed, key=lambda row: -cosine(query, vectors[row]))
    assert near.rows.tolist() == wanted[:top]
    np.testing.assert_allclose(
        near.cosines, [cosine(query, vectors[row]) for row in wanted[:top]]
    )
    mean = np.mean([cosine(query, vectors[row]) for row in allowed] or [0])
    assert near.mean == pytest.approx(mean)


def test_of_equal_cosines_the_first_is_nearer():
    matrix = cosines.unit(np.array([[0.0, 1], [1, 0], [2, 0], [1, 0]]))
    near = cosines.nearest(np.array([5.0, 0]), matrix, 3, [3])
    assert near.rows.tolist() == [1, 2, 0]


def test_an_analogy_is_a_sum_of_unit_vectors():
    """Levy & Goldberg 2014, equation 1: the answer has the largest sum of cosines."""
    man, king, woman, *others = cloud(5, 9, 4)
    query = cosines.analogy(man, 3 * king, woman / 7)
    matrix = cosines.unit(np.array(others))
    near = cosines.nearest(query, matrix, 1, ())
    sums = [cosine(x, king) - cosine(x, man) + cosine(x, woman) for x in others]
    assert near.rows[0] == int(np.argmax(sums))


def test_some_are_spread_evenly():
    assert cosines.spread(list("abcdef"), 3) == ["a", "c", "e"]
    assert cosines.spread(list("ab"), 9) == ["a", "b"]
    assert cosines.spread([], 3) == []
