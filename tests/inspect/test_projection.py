"""Maps: principal components against their definition, labels that stand apart."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from bert_jax.inspect.draw import projection


def cloud(seed: int, count: int, size: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size))


@given(seed=st.integers(0, 99), count=st.integers(3, 9), size=st.integers(2, 6))
@settings(max_examples=20)
def test_points_are_those_of_the_covariance(seed, count, size):
    vectors = cloud(seed, count, size)
    points, shares = projection.pca(vectors)
    centred = vectors - vectors.mean(0)
    variances, directions = np.linalg.eigh(centred.T @ centred)
    wanted = centred @ directions[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(points), np.abs(wanted), atol=1e-9)
    np.testing.assert_allclose(shares, variances[::-1][:2] / variances.sum(), atol=1e-9)


def test_shifted_vectors_give_equal_points():
    vectors = cloud(0, 6, 4)
    points, _ = projection.pca(vectors)
    moved, _ = projection.pca(vectors + 7)
    np.testing.assert_allclose(points, moved, atol=1e-9)


def test_the_largest_number_of_a_direction_is_positive():
    points, shares = projection.pca(np.array([[0.0, 0], [3, 0], [0, -1], [3, -1]]))
    np.testing.assert_allclose(points[:, 0], [-1.5, 1.5, -1.5, 1.5])
    np.testing.assert_allclose(points[:, 1], [0.5, 0.5, -0.5, -0.5])
    np.testing.assert_allclose(shares, [0.9, 0.1])


@pytest.mark.parametrize("vectors", [np.ones((1, 3)), np.ones((4, 3)), np.ones((3, 1))])
def test_what_does_not_differ_lies_at_one_place(vectors):
    points, shares = projection.pca(vectors)
    assert points.shape == (len(vectors), 2)
    assert not points.any() and not shares.any()


def drawn(points: np.ndarray, labels: list[str], strong: int, named: int) -> Figure:
    figure = Figure(figsize=(5, 4), layout="constrained")
    projection.chart(points, np.array([0.5, 0.2]), labels, strong, named)(figure)
    return figure


def boxes(figure: Figure) -> dict:
    (panel,) = figure.axes
    return {text.get_text(): text.get_window_extent() for text in panel.texts}


def test_no_label_covers_another_or_leaves_the_frame():
    points = cloud(1, 120, 2)
    figure = drawn(points, [f"word number {i}" for i in range(120)], 3, 60)
    placed = boxes(figure)
    assert {"word number 0", "word number 1", "word number 2"} <= placed.keys()
    assert 10 < len(placed) < 120
    assert not any(a.overlaps(b) for a, b in itertools.combinations(placed.values(), 2))
    frame = figure.axes[0].get_window_extent()
    assert all(frame.x0 < box.x0 and box.x1 < frame.x1 for box in placed.values())


def test_an_optional_label_covers_no_dot():
    points = cloud(2, 150, 2)
    labels = [f"text {i}" for i in range(150)]
    figure = drawn(points, labels, 0, 0)
    dots = figure.axes[0].transData.transform(points)
    for box in boxes(figure).values():
        assert not ((dots > box.min) & (dots < box.max)).all(1).any()


def test_long_labels_are_cut():
    assert projection.shortened("a" * 30) == "a" * 30
    assert projection.shortened("a" * 31) == "a" * 29 + "…"
    assert drawn(cloud(3, 2, 2), ["x" * 99, "y"], 1, 2)
