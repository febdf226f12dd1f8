"""Scores by step, and the panels that they are drawn in."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from bert_jax.inspect.draw import curves
from tests.inspect.test_output import finding


def shown(steps: list[int], names: list[str]):
    """Draw the only panel."""
    found = {"step": np.array(steps)}
    found |= {name: np.arange(len(steps)) * 1.0 for name in names}
    [picture] = curves.pictures(found)
    figure = Figure()
    picture.draw(figure)
    figure.canvas.draw()
    return picture, figure, figure.axes[0]


def test_a_missing_score_of_a_step_is_nan():
    found = curves.series({4: finding(a_x=1.0), 0: finding(a_x=2.0, a_y=3.0)})
    np.testing.assert_array_equal(found["step"], [0, 4])
    np.testing.assert_array_equal(found["a/x"], [2, 1])
    np.testing.assert_array_equal(found["a/y"], [3, np.nan])


def test_curves_of_one_first_part_share_a_panel():
    found = curves.series(
        {step: finding(fit_one=1, fit_two=2, loss_x=3) for step in (0, 1)}
    )
    names = [picture.name for picture in curves.pictures(found)]
    assert names == ["over_training_fit", "over_training_loss"]


@pytest.mark.parametrize(
    ("steps", "scale"), [([0, 1, 16_000], "symlog"), ([14_000, 16_000], "linear")]
)
def test_the_step_axis_is_logarithmic_over_wide_ranges(steps, scale):
    _, _, panel = shown(steps, ["a/x"])
    assert panel.get_xscale() == scale
    labels = [tick.get_text() for tick in panel.get_xticklabels()]
    assert {"symlog": "10k", "linear": "15k"}[scale] in labels


def test_deeper_layers_are_darker():
    _, figure, panel = shown([0, 1], [f"a/layer {k}" for k in range(12)])
    light = [sum(line.get_color()) for line in panel.lines]
    assert light == sorted(light, reverse=True)
    assert len(figure.legends[0].get_texts()) == 12


def test_too_many_curves_are_faint_beside_their_mean():
    picture, figure, panel = shown([0, 1], [f"d/test {k}" for k in range(30)])
    assert len(panel.lines) == 31
    assert not figure.legends
    assert picture.caption.endswith("bold: the mean of all 30")
