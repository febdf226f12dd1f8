"""How scores by layer read and are drawn."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from bert_jax.inspect.draw import layers
from bert_jax.inspect.draw.layers import Curve, Level


def test_numbers_read():
    assert layers.percent(0.98765) == "98.8"
    assert layers.interval(0.5, 1.0) == "50.0–100.0"
    assert [layers.points(x) for x in (0.0125, -0.5)] == ["+1.2", "−50.0"]
    assert [layers.name(x) for x in ("embeddings", "3")] == ["embeddings", "layer 3"]


@given(st.lists(st.floats(-100, 100), max_size=8), st.floats(0.1, 20))
def test_labels_keep_their_order_distance_and_mean(places, gap):
    found = layers.spread(places, gap)
    order = sorted(range(len(places)), key=lambda i: (places[i], i))
    for one, two in pairwise(order):
        assert found[two] - found[one] >= gap * (1 - 1e-9)
    assert abs(sum(found) - sum(places)) < 1e-6
    if all(places[b] - places[a] > gap for a, b in pairwise(order)):
        assert found == places


def test_curves_and_levels_are_named_at_the_right():
    draw = layers.curves(
        [Curve("one", [1, 2, 3], [(0, 2), (1, 3), (2, 4)], "red")],
        [Level("flat", 2.5, "grey", "--")],
        "score",
    )
    draw(figure := Figure())
    [panel] = figure.axes
    assert [text.get_text() for text in panel.texts] == ["one", "flat"]
    assert panel.get_ylabel() == "score"
    assert len(panel.lines) == 2
