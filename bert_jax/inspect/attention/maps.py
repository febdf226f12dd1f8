"""Figures of attention: maps of all heads, one large map, its lines, the weights of a
token, and statistics of heads.

Weights run from white, 0, to dark blue, 1, on a square-root scale, so that small ones
stay visible.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, PowerNorm, to_rgb
from matplotlib.figure import FigureBase

from bert_jax.inspect.draw.finding import Picture
from bert_jax.render.drawing import FAINT, GREY, INK, TEXT

NARROW, WIDE = 4.8, 9.8  # inches of a figure with a neighbour, and of one alone
ROOM, LARGEST = 7.6, 1.6  # inches of the maps of all heads, and of one at most
FEW = 24  # tokens up to which a map is narrow
NAMED = 64  # tokens up to which each is named
KEPT = 24  # tokens shown of a longer text
SMALL = 64  # cells of a side of the maps of all heads
LONGEST = 14  # characters of a token
FAINTEST, MOST = 0.01, 800  # least weight of a drawn line, and number of lines
SQUARE = 0.93  # height of a map divided by its width, labels and scale included
LINE = 0.19  # inches of a line of text
SHADES = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#6f9cc6", "#12304f"])
SCALE = partial(PowerNorm, 0.5, 0, 1)
Map = Float[np.ndarray, "T T"]


def overview(name: str, weights: Float[np.ndarray, "L N T T"]) -> Picture:
    """Draw the maps of every head: a row for each layer, a column for each head."""
    layers, heads = weights.shape[:2]
    small = np.array([[_shrunk(each) for each in layer] for layer in weights])
    size = small.shape[-1]
    tiled = small.transpose(0, 2, 1, 3).reshape(layers * size, heads * size)

    def draw(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        panel.set_anchor("W")
        _image(panel, tiled, "equal")
        for edge in range(layers + 1):
            panel.axhline(edge * size - 0.5, color=GREY, lw=0.6, clip_on=False)
        for edge in range(heads + 1):
            panel.axvline(edge * size - 0.5, color=GREY, lw=0.6, clip_on=False)
        _numbered(panel, layers, heads, size)
        panel.spines[:].set_visible(False)

    side = min(LARGEST, (ROOM - 0.5) / heads)
    note = "" if size == weights.shape[-1] else " Each cell is the largest of several."
    return Picture(
        name,
        draw,
        ROOM,
        0.5 + side * layers,
        f"Every head of every layer ({weights.shape[-1]} tokens a side): the line of a "
        "map is the token that attends, its column the one attended to. Darker is "
        f"more; the shade follows the square root of the weight.{note}",
    )


def large(
    name: str, weights: Map, tokens: Sequence[str], border: int, what: str
) -> Picture:
    """Draw one map with its tokens; `border` is the first token of a pair, 0 if there
    is none."""
    wide = NARROW if len(tokens) <= FEW else WIDE

    def draw(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        image = _image(panel, weights, "equal")
        panel.set_ylabel("attends")
        panel.set_xlabel("attended to", labelpad=8)
        panel.xaxis.set_label_position("top")
        panel.xaxis.tick_top()
        panel.spines[:].set_visible(True)
        if len(tokens) <= NAMED:
            _tokens(panel, tokens, "x", 90)
            _tokens(panel, tokens, "y", 0)
        if border:
            for line in (panel.axhline, panel.axvline):
                line(border - 0.5, color=GREY, lw=0.7)
        bar = canvas.colorbar(image, ax=panel, shrink=0.5, aspect=24, pad=0.03)
        bar.set_ticks([0, 0.05, 0.2, 0.5, 1], labels=["0", ".05", ".2", ".5", "1"])
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        bar.ax.tick_params(length=0, labelsize=7)

    unnamed = "" if len(tokens) <= NAMED else " The axes count the tokens from 0."
    caption = f"{what}: weights of each token (line) on each (column).{unnamed}"
    return Picture(name, draw, wide, wide * SQUARE, caption)


def lines(name: str, weights: Map, tokens: Sequence[str], what: str) -> Picture:
    """Draw lines from each query token, at the left, to the attended tokens, at the
    right."""
    count = len(tokens)
    order = np.argsort(-weights, axis=None, kind="stable")[:MOST]
    strong = [i for i in order if weights.flat[i] >= FAINTEST][::-1]
    drawn = [(int(i) // count, int(i) % count) for i in strong]
    values = np.array([weights[pair] for pair in drawn], float)
    height = min(max(LINE * count + 0.5, NARROW * SQUARE), 12.0)

    def draw(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        shade = np.tile([*to_rgb(INK), 1.0], (len(values), 1))
        shade[:, 3] = values**0.8
        ends = [[(0, query), (1, key)] for query, key in drawn]
        wide = 0.4 + 3.6 * values
        panel.add_collection(LineCollection(ends, colors=shade, linewidths=wide))
        panel.set_ylim(count - 0.4, -0.6)
        panel.set_xlim(-0.02, 1.02)
        panel.set_xticks([0, 1], ["attends", "attended to"])
        panel.xaxis.tick_top()
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
        if count <= NAMED:
            _tokens(panel, tokens, "y", 0)
            right = panel.secondary_yaxis("right")
            right.set_yticks(range(count), [_short(token) for token in tokens])
            right.tick_params(length=0, labelsize=_size(count))
            right.spines[:].set_visible(False)
        else:
            panel.set_ylabel("token, from 0")

    left_out = f"those below {FAINTEST} are left out"
    if len(drawn) == MOST:
        left_out = f"the {MOST} strongest are drawn"
    caption = f"{what}: lines are wider and darker by weight; {left_out}."
    return Picture(name, draw, NARROW if count <= FEW else WIDE, height, caption)


def bars(
    name: str, values: Float[np.ndarray, "T"], tokens: Sequence[str], caption: str
) -> Picture:
    """Draw the weights of one token in the order of the text; of a long text the
    largest."""
    kept = _kept(values)

    def draw(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        space = 0.01 * values.max()
        best = values[kept] >= np.sort(values[kept])[-3:][0]
        colours = [INK if is_best else FAINT for is_best in best]
        panel.barh(range(len(kept)), values[kept], 0.72, color=colours)
        for row, value in enumerate(values[kept]):
            if value >= 0.005:
                panel.text(value + space, row, f"{value:.2f}", va="center", fontsize=7)
        panel.set_ylim(len(kept) - 0.4, -0.6)
        panel.set_xlim(0, 1.12 * max(values.max(), 1e-3))
        panel.set_xlabel("weight")
        panel.spines["left"].set_visible(False)
        _tokens(panel, [tokens[int(i)] for i in kept], "y", 0)

    height = 0.6 + LINE * max(len(kept), 6)
    return Picture(name, draw, NARROW, height, caption + _left_out(kept, tokens))


def layer_map(
    name: str, values: Float[np.ndarray, "L T"], tokens: Sequence[str], caption: str
) -> Picture:
    """Draw the weights of one token in each layer; of a long text the largest."""
    kept = _kept(values.max(0))

    def draw(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        _image(panel, values[:, kept].T, "auto")
        layers = len(values)
        panel.set_xticks(range(layers), [str(layer + 1) for layer in range(layers)])
        panel.set_xlabel("layer")
        panel.tick_params(length=0)
        panel.spines[:].set_visible(True)
        _tokens(panel, [tokens[int(i)] for i in kept], "y", 0)
        if layers <= 12:
            _values(panel, values[:, kept].T, "{:.2f}", 0.3)

    height = 0.6 + LINE * max(len(kept), 6)
    return Picture(name, draw, NARROW, height, caption + _left_out(kept, tokens))


def head_grid(
    name: str, values: Float[np.ndarray, "L N"], top: float, caption: str
) -> Picture:
    """Draw a number for every head; `top` is the darkest value."""
    layers, count = values.shape

    def draw(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        panel.imshow(values, SHADES, vmin=0, vmax=top, aspect="auto")
        panel.set_xticks(range(count), [str(head + 1) for head in range(count)])
        panel.set_yticks(range(layers), [str(layer + 1) for layer in range(layers)])
        panel.tick_params(length=0, labelsize=8 if count <= 16 else 6)
        panel.set_xlabel("head")
        panel.set_ylabel("layer")
        panel.spines[:].set_visible(False)
        if count <= 16:
            form = "{:.2f}" if values.max() < 10 else "{:.1f}"
            _values(panel, values, form, top / 2)

    return Picture(name, draw, NARROW, 0.6 + 0.27 * max(layers, 4), caption)


def _shrunk(weights: Map) -> np.ndarray:
    """Reduce a map to at most SMALL cells a side, each the maximum of its block."""
    size = len(weights)
    if size <= SMALL:
        return weights
    edges = np.arange(SMALL) * size // SMALL
    return np.maximum.reduceat(np.maximum.reduceat(weights, edges, 0), edges, 1)


def _kept(values: Float[np.ndarray, "T"]) -> list[int]:
    """The numbers of all tokens, or of a long text those with the most weight, in
    order."""
    most = len(values) if len(values) <= NAMED else KEPT
    return np.sort(np.argsort(-values, kind="stable")[:most]).tolist()


def _left_out(kept: list[int], tokens: Sequence[str]) -> str:
    few = len(kept) < len(tokens)
    return f" The {len(kept)} tokens with the most weight." if few else ""


def _image(panel: Axes, values: np.ndarray, aspect: Literal["equal", "auto"]):
    # Without interpolation the SVG keeps sharp cells.
    return panel.imshow(values, SHADES, SCALE(), interpolation="none", aspect=aspect)


def _numbered(panel: Axes, layers: int, heads: int, size: int) -> None:
    panel.set_xticks(
        (np.arange(heads) + 0.5) * size - 0.5, [str(n + 1) for n in range(heads)]
    )
    panel.set_yticks(
        (np.arange(layers) + 0.5) * size - 0.5, [str(n + 1) for n in range(layers)]
    )
    panel.xaxis.tick_top()
    panel.xaxis.set_label_position("top")
    panel.set_xlabel("head")
    panel.set_ylabel("layer")
    panel.tick_params(length=0)


def _tokens(
    panel: Axes, tokens: Sequence[str], axis: Literal["x", "y"], rotation: int
) -> None:
    ticks = panel.set_xticks if axis == "x" else panel.set_yticks
    ticks(range(len(tokens)), [_short(token) for token in tokens])
    panel.tick_params(
        axis=axis, length=0, labelsize=_size(len(tokens)), labelrotation=rotation
    )


def _values(panel: Axes, values: np.ndarray, form: str, dark: float) -> None:
    """Write the numbers in their cells, in white above `dark`."""
    for (row, column), value in np.ndenumerate(values):
        colour = "#ffffff" if value > dark else TEXT
        style = {"ha": "center", "va": "center", "fontsize": 6.5, "color": colour}
        panel.text(column, row, form.format(value), **style)


def _size(tokens: int) -> float:
    """The font size of token names, in points: smaller if there are many."""
    return 8.5 if tokens <= 20 else 7.5


def _short(token: str) -> str:
    return token if len(token) <= LONGEST else token[: LONGEST - 1] + "…"
