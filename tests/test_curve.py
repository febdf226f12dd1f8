"""The figure of a run, for whatever its metrics hold."""

import pytest

from bert_jax import curve, rundir

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
