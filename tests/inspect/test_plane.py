"""Principal components, and figures of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from bert_jax.inspect.draw import plane


def test_the_first_axis_is_the_longest():
    points = np.array([[3.0, 0, 1], [-3, 0, 1], [0, 1, 1], [0, -1, 1]])
    found = plane.project(points)
    np.testing.assert_allclose(found.points, points[:, :2], atol=1e-12)
    assert found.shares == pytest.approx((0.9, 0.1))


@given(st.integers(0, 99))
def test_distances_in_a_plane_stay(seed):
    draw = np.random.default_rng(seed)
    flat = draw.normal(size=(6, 2)) @ np.linalg.qr(draw.normal(size=(4, 2)))[0].T
    found = plane.project(flat + 7).points
    for i in range(6):
        np.testing.assert_allclose(
            np.linalg.norm(found - found[i], axis=1),
            np.linalg.norm(flat - flat[i], axis=1),
            atol=1e-9,
        )
    assert sum(plane.project(flat).shares) == pytest.approx(1)


def test_vectors_that_are_all_equal():
    found = plane.project(np.ones((3, 4)))
    assert found.shares == (0, 0) and not found.points.any()


def test_a_figure_of_more_classes_than_colours():
    flat = plane.project(np.random.default_rng(0).normal(size=(40, 3)))
    names = [f"sense {number}" for number in range(10)]
    plane.classes(flat, np.arange(40) % 10, names)(
        figure := Figure(layout="constrained")
    )
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == names
    marks = {(line.get_color(), line.get_marker()) for line in legend.legend_handles}
    assert len(marks) == 10


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), max_size=12))
def test_numbers_do_not_overlap(points):
    found = plane.label_sides(np.array(points).reshape(-1, 2))
    boxes = [
        (x + side[0] / 12, y + side[1] / 12, plane.LETTER[0] * len(str(i)) / 2)
        for i, ((x, y), side) in enumerate(zip(points, found, strict=True), 1)
        if side
    ]
    for i, (x, y, half) in enumerate(boxes):
        for other_x, other_y, other in boxes[:i]:
            apart = abs(x - other_x) >= half + other - 1e-9
            assert apart or abs(y - other_y) >= plane.LETTER[1] - 1e-9


def test_points_with_room_have_their_number():
    flat = plane.project(np.array([[0.0, 0], [5, 1], [1, 9]]))
    plane.numbered(flat, (4.8, 3.6))(figure := Figure())
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "2", "3"]
