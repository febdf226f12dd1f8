"""Texts drawn with their pieces shaded by probability."""

import warnings
from typing import NamedTuple

import numpy as np
from matplotlib.figure import FigureBase
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch
from matplotlib.textpath import text_to_path

from bert_jax.inspect.draw.finding import Picture
from bert_jax.inspect.score.likelihood import Likelihood
from bert_jax.render.drawing import GREY, INK, RULE, TEXT

WIDTH = 4.8  # inches
MARGIN, GAP, JOINT = 0.06, 0.07, 0.015  # at the sides, between words, inside them
LINE, BOX, FOOT = 0.43, 0.21, 0.34  # heights: of a line, of a box, of the scale
SIZE, SMALL = 9, 6.5  # points
LEAST = 4  # powers of ten that the shades span
NAMED = 24  # pieces that a course names


class Cell(NamedTuple):
    """A piece in its place, in inches from the top left corner."""

    text: str
    log: float
    x: float
    y: float
    width: float


def shaded(name: str, text: str, found: Likelihood, caption: str) -> Picture:
    """The text as it is written, the darker the less likely, its probabilities in
    percent below."""
    cells, height = laid_out(text, found)

    def draw(canvas: FigureBase) -> None:
        panel = canvas.add_axes((0, 0, 1, 1))
        panel.set_axis_off()
        panel.set_xlim(0, WIDTH)
        panel.set_ylim(height, 0)
        for cell in cells:
            _box(panel, cell.x, cell.y, cell.width, level(cell.log))
            shade = level(cell.log)
            colour = "white" if shade > 0.5 else TEXT
            middle = cell.x + cell.width / 2
            panel.text(
                middle,
                cell.y + BOX / 2,
                cell.text,
                size=SIZE,
                color=colour,
                ha="center",
                va="center_baseline",
            )
            panel.text(
                middle,
                cell.y + BOX + 0.03,
                percent(cell.log),
                size=SMALL,
                color=GREY,
                ha="center",
                va="top",
            )
        _scale(panel, height)

    return Picture(name, draw, WIDTH, height, caption)


def laid_out(text: str, found: Likelihood) -> tuple[list[Cell], float]:
    """The pieces in lines, those of a word together if it fits a line; the height."""
    cells, x, y = [], MARGIN, 0.08
    for word in _words(found):
        drawn = [text[slice(*found.offsets[i])] or found.pieces[i] for i in word]
        labels = [percent(found.logs[i]) for i in word]
        widths = [
            max(_wide(own, SIZE), _wide(label, SMALL)) + 0.08
            for own, label in zip(drawn, labels, strict=True)
        ]
        if x + sum(widths) + JOINT * len(word) > WIDTH - MARGIN and x > MARGIN:
            x, y = MARGIN, y + LINE
        for own, i, width in zip(drawn, word, widths, strict=True):
            if x + width > WIDTH - MARGIN and x > MARGIN:
                x, y = MARGIN, y + LINE
            cells.append(Cell(own, float(found.logs[i]), x, y, width))
            x += width + JOINT
        x += GAP
    return cells, y + LINE + FOOT


def _words(found: Likelihood) -> list[list[int]]:
    """The numbers of the pieces that touch: those of a word, and its full stop."""
    words: list[list[int]] = []
    for number, (start, _) in enumerate(found.offsets):
        if words and found.offsets[number - 1][1] == start:
            words[-1].append(number)
        else:
            words.append([number])
    return words


def _wide(text: str, size: float) -> float:
    """Inches."""
    font = FontProperties(size=size)
    with warnings.catch_warnings(action="ignore"):  # of glyphs that no font here has
        return text_to_path.get_text_width_height_descent(text, font, False)[0] / 72


def level(log: float) -> float:
    """0 of certainty to 1 of a probability of 10^-LEAST or less; nan stays."""
    return float(np.clip(-log / np.log(10) / LEAST, 0, 1))


def percent(log: float) -> str:
    """A probability in percent, of at most four characters."""
    if np.isnan(log):
        return "?"
    share = 100 * np.exp(log)
    if share < 0.005:
        return "0.00"
    return (
        f"{share:.0f}" if share >= 9.95 else f"{share:.{1 if share >= 0.995 else 2}f}"
    )


def _box(panel, x: float, y: float, width: float, shade: float) -> None:
    unknown = np.isnan(shade)
    ink = np.array([0x1F, 0x4E, 0x79]) / 255
    colour = (1, 1, 1) if unknown else tuple(1 - (1 - ink) * (0.04 + 0.96 * shade))
    panel.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            BOX,
            boxstyle="round,pad=0,rounding_size=0.03",
            facecolor=colour,
            edgecolor=GREY if unknown else RULE,
            linestyle=(0, (2, 2)) if unknown else "-",
            linewidth=0.5,
        )
    )


def _scale(panel, height: float) -> None:
    """Shades of the powers of ten, named."""
    names = ["100 %", "10", "1", "0.1", "0.01 or less"]
    x = MARGIN
    for power, name in enumerate(names):
        _box(panel, x, height - 0.24, 0.2, power / LEAST)
        panel.text(
            x + 0.25,
            height - 0.24 + BOX / 2,
            name,
            size=SMALL,
            color=GREY,
            va="center_baseline",
        )
        x += 0.36 + _wide(name, SMALL)


def course(name: str, found: Likelihood) -> Picture:
    """The log-probability of every piece, from the first to the last."""

    def draw(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        places = np.arange(1, len(found.logs) + 1)
        panel.vlines(places, found.logs, 0, color=INK, lw=1)
        panel.plot(places, found.logs, "o", ms=3.5, color=INK)
        panel.axhline(found.mean, color=GREY, lw=0.8, ls=(0, (4, 3)))
        panel.spines["bottom"].set_visible(False)
        panel.tick_params(axis="x", length=0)
        panel.set_ylim(top=0)
        panel.set_ylabel("log-probability, nats")
        if len(places) <= NAMED:
            panel.set_xticks(places, found.pieces, rotation=90)
        else:
            panel.set_xlabel("piece")

    caption = "The logarithm of each probability; dashed is their mean"
    return Picture(name, draw, WIDTH, 2.6, caption)
