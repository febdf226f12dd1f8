"""Curves over training: the scores of findings by step."""

from collections import defaultdict
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bert_jax.inspect.draw.finding import Finding, Picture
from bert_jax.render.drawing import COLOURS, FAINT, INK, Draw

STEP = "step"
WIDE = 10  # ratio of last to first step after 0 from which the axis is logarithmic
LIGHT, DARK = np.array([0.70, 0.80, 0.90]), np.array([0.07, 0.19, 0.35])  # layers
COLUMN = 8  # names in a column of a legend

Series = dict[str, np.ndarray]


def series(findings: dict[int, Finding]) -> Series:
    """The steps under `step`, and each score by step; nan where a step lacks it."""
    steps = sorted(findings)
    names = dict.fromkeys(name for step in steps for name in findings[step].scores)
    values = {
        name: np.array([findings[step].scores.get(name, np.nan) for step in steps])
        for name in names
    }
    return {STEP: np.array(steps), **values}


def pictures(scores: Series) -> list[Picture]:
    """A panel for the first part of each score's name, with a curve for each second
    part."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in scores:
        if name != STEP:
            groups[name.partition("/")[0]].append(name)
    scale = ", logarithmic from the first after 0" if _is_wide(scores[STEP]) else ""
    return [
        Picture(
            f"over_training_{_file(label)}",
            _draw(scores, label, names),
            4.8,
            3.0,
            f"{label}, by training step{scale}{_bold(names)}",
        )
        for label, names in groups.items()
    ]


def _draw(scores: Series, label: str, names: list[str]) -> Draw:
    def draw(canvas: FigureBase) -> None:
        panel, steps = canvas.subplots(), scores[STEP]
        for name, colour in zip(names, _colours(names), strict=True):
            curve_label = name.partition("/")[2]
            panel.plot(
                steps,
                scores[name],
                "o-",
                ms=2.5,
                lw=1.1,
                color=colour,
                label=curve_label,
            )
        if not _are_distinguishable(names):
            mean = np.mean([scores[name] for name in names], axis=0)
            panel.plot(steps, mean, color=INK, lw=2)
        elif len(names) > 1:
            columns = -(-len(names) // (2 * COLUMN))
            where = "outside right upper"
            canvas.legend(loc=where, frameon=False, fontsize=7, ncols=columns)
        _scale(panel, steps)
        panel.set_ylabel(label)
        panel.yaxis.set_major_locator(MaxNLocator(5))

    return draw


def _scale(panel: Axes, steps: np.ndarray) -> None:
    if _is_wide(steps):
        panel.set_xscale("symlog", linthresh=_first(steps))
        panel.set_xlim(left=0)
    else:
        panel.xaxis.set_major_locator(MaxNLocator(4))
    panel.xaxis.set_major_formatter(FuncFormatter(_short))
    panel.set_xlabel(STEP)


def _short(step: float, _: int) -> str:
    return f"{step / 1000:g}k" if step >= 1000 else f"{step:g}"


def _is_wide(steps: np.ndarray) -> bool:
    return WIDE * _first(steps) <= max(steps)


def _first(steps: np.ndarray) -> int:
    """The first step after 0."""
    return int(min((step for step in steps if step > 0), default=1))


def _colours(names: list[str]) -> list[Any]:
    """Colours of curves: deeper layers are darker; others have distinct colours."""
    if _are_layers(names):
        shares = np.linspace(0, 1, len(names))
        return [tuple(LIGHT + share * (DARK - LIGHT)) for share in shares]
    return (
        list(COLOURS[: len(names)])
        if _are_distinguishable(names)
        else [FAINT] * len(names)
    )


def _are_layers(names: list[str]) -> bool:
    return len(names) > 1 and all("/layer " in name for name in names)


def _are_distinguishable(names: list[str]) -> bool:
    return _are_layers(names) or len(names) <= len(COLOURS)


def _bold(names: list[str]) -> str:
    return (
        "" if _are_distinguishable(names) else f"; bold: the mean of all {len(names)}"
    )


def _file(label: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in label.lower())
