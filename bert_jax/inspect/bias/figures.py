"""The figures of associations: by layer, by word, with and without a direction."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator

from bert_jax.inspect.bias.measures import Measured
from bert_jax.inspect.draw.finding import Picture
from bert_jax.render.drawing import BASELINE, COLOURS, FAINT, GREY, INK, RULE, TEXT

WIDTH, WIDE = 4.8, 9.6  # inches of one of two figures, and of one alone
ROW = 0.21  # inches of a row of text
MARGIN = 0.75  # inches above and below rows
LEVEL = 0.05
READABLE = 13  # layers up to which a heat map shows its numbers
ENDS = 15  # words at either end, at most
MAP = LinearSegmentedColormap.from_list("signed", [BASELINE, "#ffffff", INK])
EXTREME = 2.0  # bound on |d| of equally large sets
OTHER = COLOURS[1]


def heat(measured: Sequence[Measured], layers: Sequence[str]) -> Picture:
    """Plot d of each test in each layer as a heat map."""

    def draw(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        values = np.array([one.association.d for one in measured])
        shown = np.clip(values, -EXTREME, EXTREME)
        panel.pcolormesh(
            shown, cmap=MAP, vmin=-EXTREME, vmax=EXTREME, edgecolor="white", lw=0.6
        )
        if len(layers) <= READABLE:
            _numbers(panel, measured)
        ticks = _ticks(len(layers))
        panel.set_xticks([i + 0.5 for i in ticks], [_short(layers[i]) for i in ticks])
        panel.set_xlabel("layer")
        labels = [_row(one.test.name, one.test.targets) for one in measured]
        panel.set_yticks(np.arange(len(labels)) + 0.5, labels, fontsize=7)
        panel.invert_yaxis()
        panel.tick_params(length=0)
        for side in panel.spines.values():
            side.set_visible(False)

    text = "The effect size d by layer: blue where the first targets go with the first"
    text += " attributes, red the other way round"
    if len(layers) <= READABLE:
        text += f"; bold where p is below {LEVEL}, of each cell by itself"
    return Picture("d_by_layer", draw, WIDTH, _height(len(measured)), f"{text}.")


def dots(
    measured: Sequence[Measured], layer: int, holm: Sequence[float], width: float
) -> Picture:
    """Plot d of each test in one layer."""

    def draw(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        panel.axvline(0, color=GREY, lw=0.8)
        for row, (one, p) in enumerate(zip(measured, holm, strict=True)):
            d = one.association.d[layer]
            colour = INK if p < LEVEL else GREY
            panel.plot([0, d], [row, row], lw=1, color=RULE, zorder=0)
            panel.plot(d, row, "o", ms=5, color=colour)
        labels = [_row(one.test.name, one.test.attributes) for one in measured]
        _rows(panel, labels)
        panel.set_xlabel("d")

    text = "d at the layer of the table, with the attributes of each test; blue where"
    text += f" Holm's p is below {LEVEL}."
    return Picture("d", draw, width, _height(len(measured)), text)


def change(measured: Sequence[Measured], layer: int) -> Picture:
    """Plot d of each test in one layer, with the direction and without it."""

    def draw(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        panel.axvline(0, color=GREY, lw=0.8)
        for row, one in enumerate(measured):
            if one.removed is not None:
                before, after = one.association.d[layer], one.removed.d[layer]
                panel.plot([before, after], [row, row], lw=1.4, color=FAINT, zorder=0)
                panel.plot(before, row, "o", ms=5, color=INK)
                panel.plot(
                    after, row, "o", ms=5, mfc="white", mec=BASELINE, mew=1.3, zorder=3
                )
        _rows(panel, [_row(one.test.name, one.test.targets) for one in measured])
        panel.set_xlabel("d")

    text = "d with the direction (blue) and without it (hollow red)."
    return Picture("d_without", draw, WIDTH, _height(len(measured)), text)


def course(one: Measured, layers: Sequence[str], layer: int) -> Picture:
    """Plot d of one test by layer, with the direction and without it."""

    def draw(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        places = np.arange(len(layers))
        panel.axhline(0, color=GREY, lw=0.8)
        panel.axvline(layer, color=RULE, lw=4, zorder=0)
        lines = [(one.association, INK, "as it is")]
        if one.removed is not None:
            lines.append((one.removed, BASELINE, "without the direction"))
        for association, colour, label in lines:
            panel.plot(places, association.d, "-", lw=1.2, color=colour, label=label)
            sure = association.chance.p < LEVEL
            for shown, face in ((sure, colour), (~sure, "white")):
                panel.plot(
                    places[shown], association.d[shown], "o", ms=4, mfc=face, mec=colour
                )
        ticks = _ticks(len(layers))
        panel.set_xticks(ticks, [_short(layers[i]) for i in ticks])
        panel.set_xlabel("layer")
        panel.set_ylabel("d")
        if len(lines) > 1:
            canvas.legend(
                loc="outside upper right", frameon=False, fontsize=7.5, ncols=2
            )

    text = f"`{one.test.name}`: {one.test.targets} with {one.test.attributes}, by layer"
    text += f"; filled where p is below {LEVEL}, and the table's layer shaded."
    return Picture(f"d_by_layer_{one.test.name}", draw, WIDTH, 2.6, text)


def targets(one: Measured, layer: int, width: float) -> Picture:
    """Plot s(w, A, B) of each target of one test, in one layer."""

    def draw(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        panel.axvline(0, color=GREY, lw=0.8)
        scores, count = one.association.scores[:, layer], len(one.sets[0])
        for row, (values, words, colour) in enumerate(
            (
                (scores[:count], one.sets[0], INK),
                (scores[count:], one.sets[1], OTHER),
            )
        ):
            panel.plot(
                values, np.full(len(values), row), "o", ms=4.5, color=colour, alpha=0.45
            )
            panel.plot(values.mean(), row, "|", ms=22, mew=2, color=colour)
            _ends(panel, values, words, row)
        panel.set_yticks([0, 1], [_cut(name, 22) for name in one.test.categories[:2]])
        panel.set_ylim(1.6, -0.6)
        panel.margins(x=0.12)
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
        panel.xaxis.set_major_locator(MaxNLocator(5))
        first, second = (_cut(name, 20) for name in one.test.categories[2:])
        panel.set_xlabel(f"nearer to {second}  ←  s(w, A, B)  →  nearer to {first}")

    text = f"`{one.test.name}`: the mean cosine with {one.test.categories[2]} less that"
    text += f" with {one.test.categories[3]}, of each target at the layer of the table;"
    text += " the bars are the means, and those furthest out are named."
    return Picture(f"targets_{one.test.name}", draw, width, 2.6, text)


def ripa(words: Sequence[str], values: np.ndarray, ends: int, width: float) -> Picture:
    """Plot the `ends` words with the largest and with the smallest RIPA."""
    order = [int(i) for i in np.argsort(-values, kind="stable")]
    if len(order) > 2 * ends:
        order = order[:ends] + order[-ends:]

    def draw(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        panel.axvline(0, color=GREY, lw=0.8)
        for row, value in enumerate(values[order]):
            panel.plot([0, value], [row, row], lw=1, color=RULE, zorder=0)
            panel.plot(value, row, "o", ms=4.5, color=INK if value > 0 else BASELINE)
        if len(values) > 2 * ends:
            panel.axhline(ends - 0.5, color=GREY, lw=0.6, ls=(0, (4, 4)))
        _rows(panel, [_cut(words[i], 30) for i in order])
        panel.set_xlabel("RIPA ⟨w, b⟩")

    text = "The product of each word's vector with the direction"
    if len(values) > 2 * ends:
        text += f": the {ends} highest and the {ends} lowest of {len(values)}"
    return Picture("ripa", draw, width, _height(len(order)), f"{text}.")


def _numbers(panel: Axes, measured: Sequence[Measured]) -> None:
    for row, one in enumerate(measured):
        for column, (d, p) in enumerate(
            zip(one.association.d, one.association.chance.p)
        ):
            panel.text(
                column + 0.5,
                row + 0.5,
                f"{d:z.1f}".replace("-", "−"),
                ha="center",
                va="center",
                fontsize=6.5,
                fontweight="bold" if p < LEVEL else "normal",
                color="white" if abs(d) > 1.1 else TEXT,
            )


def _ends(panel: Axes, values: np.ndarray, words: Sequence[str], row: int) -> None:
    """Label the two outermost points of a row."""
    for place in dict.fromkeys([int(values.argmin()), int(values.argmax())]):
        panel.annotate(
            _cut(words[place], 18),
            (values[place], row),
            xytext=(0, -13),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=7,
            color=GREY,
        )


def _rows(panel: Axes, labels: Sequence[str]) -> None:
    """Label the rows of a plot, the first on top."""
    panel.set_yticks(range(len(labels)), labels, fontsize=7)
    panel.set_ylim(len(labels) - 0.4, -0.6)
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    panel.xaxis.set_major_locator(MaxNLocator(5))


def _row(name: str, sets: str) -> str:
    first, _, second = sets.partition(" / ")
    return f"{_cut(first, 16)} / {_cut(second, 16)} · {_cut(name, 14)}"


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _short(layer: str) -> str:
    return "emb" if layer == "embeddings" else layer


def _ticks(count: int) -> list[int]:
    """The numbers of at most about 13 layers, the last included."""
    step = -(-count // READABLE)
    return list(range((count - 1) % step, count, step))


def _height(rows: int) -> float:
    return MARGIN + ROW * max(rows, 5)
