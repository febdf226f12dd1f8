"""Drawings of texts, their tokens shaded by probability."""

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
MARGIN, GAP, JOINT = 0.06, 0.07, 0.015  # widths: page margin, between words, in words
LINE, BOX, FOOT = 0.43, 0.21, 0.34  # heights: of a line, of a box, of the scale
SIZE, SMALL = 9, 6.5  # points
LEAST = 4  # powers of ten that the shades span
NAMED = 24  # tokens up to which the axis of `course` names each


class Cell(NamedTuple):
    """A token and its position, in inches from the top left corner."""

    text: str
    log: float
    x: float
    y: float
    width: float


def shaded_text(name: str, text: str, likelihood: Likelihood, caption: str) -> Picture:
    """Draw a text in shades, darker for less likely tokens, with percentages below."""
    cells, height = layout(text, likelihood)

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


def layout(text: str, likelihood: Likelihood) -> tuple[list[Cell], float]:
    """Lay out tokens in lines, words unbroken if they fit a line; also the height."""
    cells, x, y = [], MARGIN, 0.08
    for word in _words(likelihood):
        tokens = [
            text[slice(*likelihood.offsets[i])] or likelihood.pieces[i] for i in word
        ]
        labels = [percent(likelihood.logs[i]) for i in word]
        widths = [
            max(_wide(token, SIZE), _wide(label, SMALL)) + 0.08
            for token, label in zip(tokens, labels, strict=True)
        ]
        if x + sum(widths) + JOINT * len(word) > WIDTH - MARGIN and x > MARGIN:
            x, y = MARGIN, y + LINE
        for token, i, width in zip(tokens, word, widths, strict=True):
            if x + width > WIDTH - MARGIN and x > MARGIN:
                x, y = MARGIN, y + LINE
            cells.append(Cell(token, float(likelihood.logs[i]), x, y, width))
            x += width + JOINT
        x += GAP
    return cells, y + LINE + FOOT


def _words(likelihood: Likelihood) -> list[list[int]]:
    """The numbers of adjoining tokens: those of a word, and its full stop."""
    words: list[list[int]] = []
    for number, (start, _) in enumerate(likelihood.offsets):
        if words and likelihood.offsets[number - 1][1] == start:
            words[-1].append(number)
        else:
            words.append([number])
    return words


def _wide(text: str, size: float) -> float:
    """The width of a text in inches."""
    font = FontProperties(size=size)
    with warnings.catch_warnings(action="ignore"):  # of missing glyphs
        return text_to_path.get_text_width_height_descent(text, font, False)[0] / 72


def level(log: float) -> float:
    """The shade of a log-probability: 0 for certainty, 1 for 10^-LEAST or less; nan
    stays nan."""
    return float(np.clip(-log / np.log(10) / LEAST, 0, 1))


def percent(log: float) -> str:
    """Format a probability in percent, in at most four characters."""
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
    """Draw the legend of the shades, by powers of ten."""
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


def course(name: str, likelihood: Likelihood) -> Picture:
    """Plot the log-probability of each token, from first to last."""

    def draw(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        places = np.arange(1, len(likelihood.logs) + 1)
        panel.vlines(places, likelihood.logs, 0, color=INK, lw=1)
        panel.plot(places, likelihood.logs, "o", ms=3.5, color=INK)
        panel.axhline(likelihood.mean, color=GREY, lw=0.8, ls=(0, (4, 3)))
        panel.spines["bottom"].set_visible(False)
        panel.tick_params(axis="x", length=0)
        panel.set_ylim(top=0)
        panel.set_ylabel("log-probability, nats")
        if len(places) <= NAMED:
            panel.set_xticks(places, likelihood.pieces, rotation=90)
        else:
            panel.set_xlabel("token")

    caption = "The logarithm of each probability; dashed is their mean"
    return Picture(name, draw, WIDTH, 2.6, caption)
