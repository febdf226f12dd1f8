"""Maps of vectors: their first two principal components, with labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.transforms import Bbox

from bert_jax.render.drawing import FAINT, GREY, INK, TEXT, Draw

SIZE, SMALL = 8.5, 7.5  # font sizes of labels of dark dots, and of others, in points
LONGEST = 30  # characters of a label
LABELS = 200  # number of labels that are tried at most
MANY = 200  # number of dots above which they are drawn smaller
NEAR = "#5f8ab5"  # a colour between INK and FAINT
GAP = 4.5  # points from a label to its dot
ROOM = 1.06  # factor on the width of a label: the reader's font may be wider
# Sides of a dot for its label, as (right, up), the preferred ones first.
SIDES = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)]


def pca(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of (n, D): points (n, 2) float64 and shares of the variance
    (2,).

    They come from the singular values of the centred vectors (Pearson 1901). As the
    sign of a direction is arbitrary, its largest component is made positive. Zeros
    where there are fewer than two directions.
    """
    centred = np.asarray(vectors, np.float64)
    centred = centred - centred.mean(0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    count = min(2, len(sizes))
    directions = directions[:count]
    largest = np.abs(directions).argmax(1)
    directions = directions * np.sign(directions[np.arange(count), largest])[:, None]
    points, shares = np.zeros((len(centred), 2)), np.zeros(2)
    points[:, :count] = centred @ directions.T
    if total := float((sizes**2).sum()):
        shares[:count] = sizes[:count] ** 2 / total
    return points, shares


def chart(
    points: np.ndarray,
    shares: np.ndarray,
    labels: Sequence[str],
    strong: int,
    named: int,
) -> Draw:
    """Plot points of `pca` with labels: the first `strong` dark, those up to `named`
    labelled where there is room, the others only on free ground.

    A label covers no other label and no dark dot, and as few dots as possible; it is
    left out where that is impossible. Both axes have one scale.
    """

    def draw(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        small = 2.5 if len(points) <= MANY else 1.5
        panel.plot(*points[named:].T, "o", ms=small, color=FAINT)
        panel.plot(*points[strong:named].T, "o", ms=3, color=NEAR)
        panel.plot(*points[:strong].T, "o", ms=4.5, color=INK)
        panel.set_aspect("equal", adjustable="datalim")
        panel.margins(0.12)
        panel.locator_params(nbins=5)
        panel.set_xlabel(f"first direction, {100 * shares[0]:.0f} % of the variance")
        panel.set_ylabel(f"second, {100 * shares[1]:.0f} %")
        figure: Any = panel.figure
        figure.get_figure(root=True).draw_without_rendering()  # fixes the positions
        _place(panel, points, labels[:LABELS], strong, named)

    return draw


def _place(
    panel: Axes, points: np.ndarray, labels: Sequence[str], strong: int, named: int
) -> None:
    """Put each label at the best of its free sides, or leave it out."""
    figure: Any = panel.figure
    scale = figure.get_figure(root=True).dpi / 72
    dots = panel.transData.transform(points)
    taken = [_around(dot, 3.5 * scale) for dot in dots[:strong]]
    frame = panel.get_window_extent().padded(-GAP * scale)
    for number, label in enumerate(labels):
        text = _text(panel, shortened(label), number < strong)
        size = text.get_window_extent()
        boxes = [_beside(size, dots[number], side, GAP * scale) for side in SIDES]
        free = [
            (_count(box, dots), order)
            for order, box in enumerate(boxes)
            if _within(box, frame) and not box.count_overlaps(taken)
        ]
        covered, best = min(free, default=(0, -1))
        if best < 0 or (covered and number >= named):
            text.remove()
        else:
            taken.append(boxes[best])
            _settle(panel, text, boxes[best], SIDES[best][0])


def _text(panel: Axes, label: str, dark: bool) -> Any:
    """A label without a position yet, on a translucent background."""
    text = panel.text(
        0,
        0,
        label,
        size=SIZE if dark else SMALL,
        color=TEXT if dark else GREY,
        transform=None,
        ha="center",
        va="center",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.2},
    )
    text.set_in_layout(False)
    return text


def _within(box: Bbox, frame: Bbox) -> bool:
    across = frame.x0 < box.x0 and box.x1 < frame.x1
    return across and frame.y0 < box.y0 and box.y1 < frame.y1


def _count(box: Bbox, dots: np.ndarray) -> int:
    """The number of dots under a box."""
    return int(((dots > box.min) & (dots < box.max)).all(1).sum())


def _beside(box: Bbox, dot: np.ndarray, side: tuple[int, int], gap: float) -> Bbox:
    """A box of the size of `box` at one side of a dot."""
    right, up = side
    near = gap if 0 in side else 0.6 * gap
    x = dot[0] + right * (box.width / 2 + near)
    y = dot[1] + up * (box.height / 2 + near)
    return Bbox.from_bounds(
        x - box.width / 2, y - box.height / 2, box.width, box.height
    )


def _settle(panel: Axes, text: Any, box: Bbox, right: int) -> None:
    """Fix a label at its position in data coordinates, so that it stays at any
    resolution.

    It is aligned towards its dot, as the reader's font may be wider.
    """
    x = (box.x0, (box.x0 + box.x1) / 2, box.x1)[1 - right]
    text.set_horizontalalignment(("left", "center", "right")[1 - right])
    text.set_transform(panel.transData)
    place = panel.transData.inverted().transform((x, (box.y0 + box.y1) / 2))
    text.set_position(place)


def _around(dot: np.ndarray, reach: float) -> Bbox:
    return Bbox.from_bounds(dot[0] - reach, dot[1] - reach, 2 * reach, 2 * reach)


def shortened(label: str) -> str:
    """A label cut to LONGEST characters."""
    return label if len(label) <= LONGEST else label[: LONGEST - 1].rstrip() + "…"
