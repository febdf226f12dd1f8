"""Scores by layer: formatting of their numbers, and their curves."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator

from bert_jax.render.drawing import Draw

APART = 0.062  # least distance of labels, as a share of a panel's height


class Curve(NamedTuple):
    """A score by layer. values: a number for each layer. intervals: the ends of each,
    or ()."""

    name: str
    values: Sequence[float]
    intervals: Sequence[tuple[float, float]]
    colour: str


class Level(NamedTuple):
    """A baseline: a number that does not depend on the layer."""

    name: str
    value: float
    colour: str
    style: str  # of the line


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def interval(low: float, high: float) -> str:
    return f"{percent(low)}–{percent(high)}"


def points(change: float) -> str:
    """Format a difference in percentage points, with its sign."""
    return f"{100 * change:+.1f}".replace("-", "−")


def name(layer: str) -> str:
    """The name of a layer of states.names in a score: "layer 3"."""
    return f"layer {layer}" if layer.isdigit() else layer


def curves(shown: Sequence[Curve], levels: Sequence[Level], label: str) -> Draw:
    """Plot curves over the layers and horizontal levels, labelled at the right."""

    def draw(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        last = len(shown[0].values) - 1
        for curve in shown:
            panel.plot(curve.values, "o-", ms=3, lw=1.3, color=curve.colour, zorder=3)
            if len(curve.intervals):
                ends = np.array(curve.intervals).T
                panel.fill_between(
                    range(last + 1), *ends, color=curve.colour, alpha=0.15, lw=0
                )
        for level in levels:
            panel.axhline(level.value, color=level.colour, lw=0.9, ls=level.style)
        low, high = panel.get_ylim()
        panel.set_ylim(low, high)
        panel.set_xlim(-0.2, last + 0.2)
        named = [(each.name, each.values[-1], each.colour) for each in shown]
        named += [(each.name, each.value, each.colour) for each in levels]
        heights = spread([each[1] for each in named], APART * (high - low))
        for (text, _, colour), height in zip(named, heights, strict=True):
            panel.annotate(
                text,
                (last + 0.2, height),
                (5, 0),
                textcoords="offset points",
                color=colour,
                fontsize=7.5,
                va="center",
                annotation_clip=False,
            )
        panel.set_xlabel("layer (0: the embeddings)")
        panel.set_ylabel(label)
        panel.xaxis.set_major_locator(MaxNLocator(min(last, 12) or 1, integer=True))
        panel.yaxis.set_major_locator(MaxNLocator(5))

    return draw


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Shift positions as little as possible, so that any two are at least `gap` apart.

    Groups that would touch are spaced about their mean (pooled adjacent violators).
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    groups: list[tuple[float, int]] = []  # the middle and the size of each
    for i in order:
        middle, count = float(places[i]), 1
        while groups and middle - groups[-1][0] < gap * (count + groups[-1][1]) / 2:
            before, more = groups.pop()
            middle = (before * more + middle * count) / (count + more)
            count += more
        groups.append((middle, count))
    moved = [
        middle + gap * (k - (count - 1) / 2)
        for middle, count in groups
        for k in range(count)
    ]
    spaced = [0.0] * len(places)
    for i, place in zip(order, moved, strict=True):
        spaced[i] = place
    return spaced
