"""Figures name what they show, and those of long texts stay small."""

import numpy as np
import pytest

from bert_jax.inspect.attention import maps
from bert_jax.inspect.draw.finding import Picture
from bert_jax.render import drawing


def svg(picture: Picture) -> str:
    return drawing.svg([picture.draw], [picture.height], picture.width)


def even(count: int) -> np.ndarray:
    return np.full((count, count), 1 / count)


def test_lines_are_the_weights_above_the_threshold():
    weights = np.array([[0.995, 0.005, 0], [0.5, 0.5, 0], [0.2, 0.3, 0.5]])
    picture = maps.lines("lines", weights, ["a", "<b>", "c"], "Layer 1")
    drawn = svg(picture)
    assert drawn.count("&lt;b&gt;") == 2
    assert "below 0.01" in picture.caption
    strokes = [line for line in drawn.splitlines() if "stroke-opacity" in line]
    assert len(strokes) == 6


@pytest.mark.parametrize("count, named", [(3, True), (100, False)])
def test_long_texts_have_numbers_for_names(count, named):
    tokens = [f"word{i}" for i in range(count)]
    picture = maps.large("map", even(count), tokens, 1, "Layer 1")
    drawn = svg(picture)
    assert ("word2" in drawn) == named
    assert ("count the tokens" in picture.caption) != named
    bars = maps.bars("bars", np.arange(count) / count, tokens, "A word.")
    shown = svg(bars).count(">word")
    assert shown == (count if named else maps.KEPT)


def test_the_overview_of_long_texts_keeps_largest_weights():
    weights = np.zeros((2, 3, 300, 300))
    weights[1, 2, 299, 150] = 1
    small = maps._shrunk(weights[1, 2])
    assert small.shape == (64, 64) and small[63].max() == 1 and small.sum() == 1
    picture = maps.overview("all", weights)
    assert "the largest of several" in picture.caption
    assert len(svg(picture)) < 60_000


def test_heads_have_their_numbers():
    values = np.array([[0.25, 1.5], [12.0, 3.25]])
    drawn = svg(maps.head_grid("heads", values, 12.0, "distance"))
    assert ">12.0<" in drawn and ">3.2<" in drawn
