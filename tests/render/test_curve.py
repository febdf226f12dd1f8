"""The figure of a run, for whatever its metrics hold."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from bert_jax.render import curve
from bert_jax.run import rundir

PAIRED = {
    1: {"train/mlm_loss": 8.0},
    2: {
        "train/mlm_loss": 7.0,
        "valid/mlm_loss": 7.2,
        "valid/unigram_loss": 6.5,
        "valid/pair_accuracy": 0.5,
    },
}
CAUSAL = {1: {"train/lm_loss": 8.0, "valid/lm_loss": 7.0, "valid/unigram_loss": 6.0}}


@pytest.mark.parametrize("log", [PAIRED, CAUSAL, {}], ids=["paired", "causal", "empty"])
def test_every_kind_of_run_can_be_drawn(tmp_path, log):
    with rundir.append_metrics(tmp_path) as file:
        for step, metrics in log.items():
            file.write(rundir.metrics_line(step, metrics))
    path = curve.draw(tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.parent == tmp_path


def test_nonfinite_values_are_not_drawn(tmp_path, monkeypatch):
    """Kind B: one such loss took twenty logs of the running mean with it."""
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, _: figures.append(figure))
    with rundir.append_metrics(tmp_path) as file:
        for step in range(60):
            loss = math.nan if step % 10 == 5 else 7.0
            metrics = {f"{split}/mlm_loss": loss for split in ("train", "valid")}
            file.write(rundir.metrics_line(step, metrics))
        file.write(rundir.metrics_line(60, {"valid/unigram_loss": math.inf}))
    curve.draw(tmp_path)
    faint, smooth, held_out = figures[0].axes[0].lines
    assert [len(line.get_ydata()) for line in (faint, smooth, held_out)] == [54, 35, 54]
    for line in (faint, smooth, held_out):
        np.testing.assert_allclose(line.get_ydata(), 7.0)
