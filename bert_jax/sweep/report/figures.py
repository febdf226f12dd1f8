"""Figures of a report: differences, learning curves, scores.

The baseline is grey, an arm blue.
"""

import math
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator

from bert_jax.render.drawing import FAINT, GREY, INK, Draw, svg
from bert_jax.sweep.experiment import lower_is_better
from bert_jax.sweep.report.comparison import Arm, ComparisonTable
from bert_jax.sweep.report.formatting import unit
from bert_jax.sweep.report.results import RunResult
from bert_jax.tasks import intervals

WIDTH = 4.8  # inches of one figure; two stand side by side
LONGEST, NARROW = 26, 16  # characters of a name; of a narrow panel's title
EARLY = 0.5  # fraction of steps that does not set the scale
STEPS = (1, 2, 2.5, 5, 10)  # of ticks
Curve = dict[int, list[float]]  # step -> the values of the seeds


def pair(table: ComparisonTable, runs: list[RunResult]) -> tuple[str, str]:
    """Draw two figures of one height: differences, and learning curves or scores.

    The first has every difference of a pair of runs, with mean and interval, by arm;
    the second the metric by step if it was recorded, else the scores.
    """
    forest, course = _draws(table, runs)
    height = _height(table, runs)
    return svg([forest], [height], WIDTH), svg([course], [height], WIDTH)


def overview(tables: list[ComparisonTable], runs: list[RunResult]) -> str:
    """Draw both figures side by side, a row for each comparable metric; "" if none."""
    shown = [table for table in tables if not table.mismatch]
    draws = [draw for table in shown for draw in _draws(table, runs)]
    heights = [_height(table, runs) for table in shown]
    return svg(draws, heights, WIDTH) if shown else ""


def has_curves(table: ComparisonTable, runs: list[RunResult]) -> bool:
    return any(len(curve) > 1 for curve in _curves(table, runs).values())


def _draws(table: ComparisonTable, runs: list[RunResult]) -> tuple[Draw, Draw]:
    def forest(canvas: FigureBase) -> None:
        _forest(canvas, table)

    def course(canvas: FigureBase) -> None:
        if has_curves(table, runs):
            _learning(canvas, table, _curves(table, runs))
        else:
            _scores(canvas, table)

    return forest, course


def _height(table: ComparisonTable, runs: list[RunResult]) -> float:
    rows = _grid(len(table.others))[1] if has_curves(table, runs) else 0
    return max(0.8 + 0.38 * len(table.arms), 2.2, 0.5 + 1.2 * rows)


def _forest(canvas: FigureBase, table: ComparisonTable) -> None:
    panel, kind = canvas.subplots(), unit(table.metric)
    panel.axvline(0, color=GREY, lw=0.8)
    for row, arm in enumerate(table.others):
        colour = INK if arm.sign else GREY
        seeds = kind.factor * np.array(list(arm.differences.values()))
        low, high = kind.factor * np.array(arm.interval)
        panel.plot(seeds, np.full(len(seeds), row + 0.2), "o", ms=3, color=FAINT)
        panel.plot(
            kind.factor * np.array(arm.simultaneous), [row, row], lw=0.7, color=colour
        )
        panel.plot([low, high], [row, row], lw=2, color=colour)
        panel.plot(kind.factor * arm.difference, row, "D", ms=5, color=colour)
    better = "left" if lower_is_better(table.metric) else "right"
    panel.set_xlabel(
        f"{table.metric}, {kind.step}: {better} is better\n"
        f"arm − {_label(table.baseline)}"
    )
    _rows(panel, table.others)


def _rows(panel: Axes, arms: list[Arm]) -> None:
    """Label a line for each arm, the first on top."""
    panel.set_yticks(range(len(arms)), [_label(arm.name) for arm in arms])
    panel.set_ylim(len(arms) - 0.4, -0.6)
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    panel.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))


def _label(name: str) -> str:
    return _cut(name, LONGEST)


def _cut(name: str, room: int) -> str:
    return name if len(name) <= room else name[: room - 1] + "…"


def _grid(panels: int) -> tuple[int, int]:
    """Number of columns and rows of panels."""
    columns = 1 if panels < 2 else 2 if panels < 9 else 3
    return columns, max(1, math.ceil(panels / columns))


def _curves(table: ComparisonTable, runs: list[RunResult]) -> dict[str, Curve]:
    """Learning curves of every arm, over its finished runs."""
    curves: dict[str, Curve] = {arm.name: defaultdict(list) for arm in table.arms}
    for run in runs:
        if run.done and run.planned.stage == table.stage:
            steps, values = run.log.series(table.key)
            for step, value in zip(steps.tolist(), values.tolist(), strict=True):
                if math.isfinite(value):
                    curves[run.planned.arm][step].append(value)
    return curves


def _learning(
    canvas: FigureBase, table: ComparisonTable, curves: dict[str, Curve]
) -> None:
    """Draw a panel for each arm, with the baseline in each."""
    shown = [arm.name for arm in table.others] or [table.baseline]
    columns, rows = _grid(len(shown))
    room = LONGEST if columns < 3 else NARROW
    panels = canvas.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    factor = unit(table.metric).factor
    for panel in panels.flat[len(shown) :]:
        panel.set_visible(False)
    for panel, name in zip(panels.flat, shown, strict=False):
        _band(panel, curves[table.baseline], factor, GREY)
        if name != table.baseline:
            _band(panel, curves[name], factor, INK)
        panel.set_title(_cut(name, room), color=INK, pad=3)
        panel.xaxis.set_major_locator(MaxNLocator(3, steps=STEPS))
        panel.yaxis.set_major_locator(MaxNLocator(4, steps=STEPS))
    values = [factor * value for value in _late(curves)]
    margin = 0.06 * (max(values) - min(values)) or 1.0
    panels[0, 0].set_ylim(min(values) - margin, max(values) + margin)
    canvas.supxlabel(f"step ({_label(table.baseline)} in grey)", fontsize=9)
    canvas.supylabel(f"{table.key}, {unit(table.metric).name}", fontsize=9)


def _band(panel: Axes, curve: Curve, factor: float, colour: str) -> None:
    """Draw the mean over seeds, and its interval if there are two or more."""
    steps = sorted(curve)
    mean = factor * np.array([np.mean(curve[step]) for step in steps])
    width = factor * np.array(
        [intervals.half(curve[step]) if len(curve[step]) > 1 else 0 for step in steps]
    )
    panel.plot(steps, mean, color=colour, lw=1.1)
    panel.fill_between(steps, mean - width, mean + width, color=colour, alpha=0.2, lw=0)


def _late(curves: dict[str, Curve]) -> Iterator[float]:
    """The means of the late steps; early ones would flatten the curves."""
    last = max(max(curve, default=0) for curve in curves.values())
    for curve in curves.values():
        for step, values in curve.items():
            if step >= EARLY * last:
                yield float(np.mean(values))


def _scores(canvas: FigureBase, table: ComparisonTable) -> None:
    """Draw every seed's score, and their mean, by arm."""
    panel, kind = canvas.subplots(), unit(table.metric)
    for row, arm in enumerate(table.arms):
        colour = GREY if arm.name == table.baseline else INK
        scores = kind.factor * np.array(list(arm.scores.values()))
        panel.plot(scores, np.full(len(scores), row), "o", ms=3.5, color=FAINT)
        panel.plot(kind.factor * arm.mean, row, "|", ms=14, mew=2, color=colour)
    panel.set_xlabel(f"{table.metric}, {kind.name}")
    _rows(panel, list(table.arms))
