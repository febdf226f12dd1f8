"""Learning curve of a run, drawn from its metrics."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bert_jax.render.drawing import BASELINE, FAINT, INK
from bert_jax.run import record, rules, rundir
from bert_jax.run.history import History, Series

SMOOTH = 20  # log lines in a running mean of the training loss


def draw(workdir: Path) -> Path:
    """Write curve.png beside the metrics: each loss with its baseline."""
    log = rundir.read_metrics(workdir)
    if "valid/task_loss" in log.names():
        return _draw_task(workdir, log)
    token = "lm" if "valid/lm_loss" in log.names() else "mlm"
    paired = "valid/pair_accuracy" in log.names()
    figure = Figure(figsize=(9 if paired else 5, 3.2), layout="constrained", dpi=150)
    panels = figure.subplots(1, 2 if paired else 1, squeeze=False)[0]
    _panel(panels[0], log, f"{token}_loss", "loss of the predicted tokens, nats")
    for unigram in _last(log, "valid/unigram_loss"):
        panels[0].axhline(unigram, color=BASELINE, ls="--", lw=1, label="unigram")
    if paired:
        _panel(panels[1], log, "pair_accuracy", "pair accuracy")
        panels[1].axhline(0.5, color=BASELINE, ls="--", lw=1, label="chance")
    for panel in panels:
        panel.legend(frameon=False, fontsize=8)
    figure.savefig(workdir / rundir.CURVE)
    return workdir / rundir.CURVE


def _draw_task(workdir: Path, log: History) -> Path:
    """Draw the loss, and the main metric with its baseline."""
    metric = rules.metric(record.read(workdir).config)
    figure = Figure(figsize=(9, 3.2), layout="constrained", dpi=150)
    left, right = figure.subplots(1, 2)
    _panel(left, log, "task_loss", "loss, nats or squared error")
    steps, values = _finite(log.series(f"valid/{metric}"))
    right.plot(steps, values, "o-", ms=3, color="k", lw=1, label="held out")
    for baseline in _last(log, "valid/baseline"):
        right.axhline(
            baseline, color=BASELINE, ls="--", lw=1, label="looking at nothing"
        )
    right.set_xlabel("step")
    right.set_ylabel(metric)
    right.spines[["top", "right"]].set_visible(False)
    for panel in (left, right):
        panel.legend(frameon=False, fontsize=8)
    figure.savefig(workdir / rundir.CURVE)
    return workdir / rundir.CURVE


def _panel(panel: Axes, log: History, name: str, label: str) -> None:
    """Draw training values, faint, with their running mean, and held-out values as
    points."""
    steps, values = _finite(log.series(f"train/{name}"))
    window = min(SMOOTH, len(values))
    if window:
        centre = steps[(window - 1) // 2 :][: len(steps) - window + 1]
        smooth = np.convolve(values, np.full(window, 1 / window), mode="valid")
        panel.plot(steps, values, color=FAINT, lw=0.5)
        panel.plot(centre, smooth, color=INK, lw=1.2, label="training")
    panel.plot(
        *_finite(log.series(f"valid/{name}")),
        "o-",
        ms=3,
        color="k",
        lw=1,
        label="held out",
    )
    panel.set_xlabel("step")
    panel.set_ylabel(label)
    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.spines[["top", "right"]].set_visible(False)


def _last(log: History, name: str) -> np.ndarray:
    """The last value of a metric, empty if there is none or it is not finite."""
    last = log.series(name).values[-1:]
    return last[np.isfinite(last)]


def _finite(series: Series) -> Series:
    """The series without steps whose value is not finite."""
    kept = np.isfinite(series.values)
    return Series(series.steps[kept], series.values[kept])
