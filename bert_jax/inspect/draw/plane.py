"""Vectors in the plane of their first two principal components."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D

from bert_jax.inspect.draw import projection
from bert_jax.render.drawing import COLOURS, GREY, INK, Draw

LETTER = (0.055, 0.11)  # width and height of a digit of a label, in inches
ROOM = 0.8  # approximate share of a figure's side that its panel takes
MARKS = "os^D"  # markers of classes, the next one once the colours are used up


class Plane(NamedTuple):
    """Projected vectors. points: (n, 2) float64. shares: of the variance, along each
    axis."""

    points: np.ndarray
    shares: tuple[float, float]


def project(vectors: np.ndarray) -> Plane:
    """Project vectors (n, D) on their principal components, as projection.pca does."""
    points, shares = projection.pca(vectors)
    return Plane(points, (float(shares[0]), float(shares[1])))


def classes(plane: Plane, numbers: np.ndarray, names: Sequence[str]) -> Draw:
    """Plot points coloured by class, rare classes on top, with a legend."""

    def draw(canvas: FigureBase) -> None:
        panel = _panel(canvas, plane)
        counts = np.bincount(numbers, minlength=len(names))
        for number in np.argsort(-counts, kind="stable"):
            members = plane.points[numbers == number]
            style = _mark(int(number))
            panel.plot(*members.T, ls="", ms=3.2, mew=0, alpha=0.75, **style)
        handles = [
            Line2D([], [], ls="", ms=5, mew=0, label=text, **_mark(number))
            for number, text in enumerate(names)
        ]
        columns = 1 if max(map(len, names)) > 30 else 2
        canvas.legend(
            handles=handles,
            loc="outside upper left",
            frameon=False,
            fontsize=7.5,
            ncols=columns,
            handletextpad=0.1,
        )

    return draw


def numbered(plane: Plane, size: tuple[float, float]) -> Draw:
    """Plot points with their numbers from 1, where there is room in a figure of `size`
    inches."""

    def draw(canvas: FigureBase) -> None:
        panel = _panel(canvas, plane)
        panel.plot(*plane.points.T, "o", ms=4, mew=0, color=INK)
        low, high = plane.points.min(axis=0), plane.points.max(axis=0)
        span = np.where(high > low, high - low, 1)
        inches = (plane.points - low) / span * np.array(size) * ROOM
        for number, side in enumerate(label_sides(inches), 1):
            if side:
                panel.annotate(
                    str(number),
                    plane.points[number - 1],
                    (6 * side[0], 6 * side[1]),
                    textcoords="offset points",
                    ha="center",
                    va="center",
                    fontsize=7.5,
                )

    return draw


def label_sides(inches: np.ndarray) -> list[tuple[int, int] | None]:
    """The side at which the number of each point (n, 2) is placed, None if none is
    free.

    The first of eight sides where it touches neither a point nor a placed number.
    """
    sides = [(1, 1), (1, 0), (1, -1), (0, 1), (0, -1), (-1, 1), (-1, 0), (-1, -1)]
    points = [(x, y, 0.03, 0.03) for x, y in inches]
    taken: list[tuple[float, float, float, float]] = []
    chosen: list[tuple[int, int] | None] = []
    for number, (x, y) in enumerate(inches, 1):
        half = LETTER[0] * len(str(number)) / 2, LETTER[1] / 2
        others = points[: number - 1] + points[number:] + taken
        for side in sides:
            box = (x + side[0] / 12, y + side[1] / 12, *half)
            if not any(_touch(box, other) for other in others):
                taken.append(box)
                chosen.append(side)
                break
        else:
            chosen.append(None)
    return chosen


def _touch(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    """Whether two boxes (x, y, half width, half height) touch."""
    return all(abs(one[i] - two[i]) < one[i + 2] + two[i + 2] for i in (0, 1))


def _panel(canvas: FigureBase, plane: Plane):
    panel = canvas.subplots()
    for axis, share, text in zip((panel.xaxis, panel.yaxis), plane.shares, "12"):
        axis.set_label_text(f"component {text}: {100 * share:.0f} % of the variance")
    panel.tick_params(labelsize=7, colors=GREY)
    panel.margins(0.06)
    return panel


def _mark(number: int) -> dict[str, Any]:
    colour = COLOURS[number % len(COLOURS)]
    return {
        "color": colour,
        "marker": MARKS[number // len(COLOURS) % len(MARKS)],
    }
