"""The learning curve of a run, drawn from its metrics."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bert_jax import rundir

SMOOTH = 20  # logs in one running mean of the training loss
INK, FAINT, BASELINE = "#1f4e79", "#9db8d2", "#b04a3a"

Log = dict[int, dict[str, float]]


def draw(workdir: Path) -> Path:
    """Writes curve.png beside the metrics: each loss with the baseline it must leave."""
    log = rundir.read_metrics(workdir)
    token = "lm" if any("valid/lm_loss" in row for row in log.values()) else "mlm"
    paired = any("valid/pair_accuracy" in row for row in log.values())
    figure = Figure(figsize=(9 if paired else 5, 3.4), layout="constrained", dpi=150)
    panels = figure.subplots(1, 2 if paired else 1, squeeze=False)[0]
    _losses(panels[0], log, token)
    if paired:
        _accuracy(panels[1], log)
    for panel in panels:
        panel.set_xlabel("step")
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False, fontsize=8)
    with matplotlib.rc_context({"font.size": 9}):
        figure.savefig(workdir / rundir.CURVE)
    return workdir / rundir.CURVE


def _series(log: Log, name: str) -> tuple[np.ndarray, np.ndarray]:
    points = [(step, row[name]) for step, row in log.items() if name in row]
    steps, values = np.array(points, float).reshape(-1, 2).T
    return steps, values


def _losses(panel: Axes, log: Log, token: str) -> None:
    steps, values = _series(log, f"train/{token}_loss")
    window = min(SMOOTH, len(values))
    if window:
        smooth = np.convolve(values, np.full(window, 1 / window), mode="valid")
        panel.plot(steps, values, color=FAINT, lw=0.5)
        panel.plot(steps[window - 1 :], smooth, color=INK, lw=1, label="training")
    panel.plot(*_series(log, f"valid/{token}_loss"), "o-", ms=3, color="k", lw=1)
    panel.lines[-1].set_label("held out")
    unigram = _series(log, "valid/unigram_loss")[1]
    if len(unigram):
        panel.axhline(unigram[-1], color=BASELINE, ls="--", lw=1, label="unigram")
    panel.set_ylabel("loss of the predicted tokens, nats")


def _accuracy(panel: Axes, log: Log) -> None:
    panel.plot(*_series(log, "valid/pair_accuracy"), "o-", ms=3, color="k", lw=1)
    panel.lines[-1].set_label("held out")
    panel.axhline(0.5, color=BASELINE, ls="--", lw=1, label="chance")
    panel.set_ylabel("pair accuracy")
