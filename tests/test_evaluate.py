"""Held-out numbers: complete, repeatable, and shown beside their baselines."""

import numpy as np
import pytest

import launch
from bert_jax import evaluate, rundir, train


@pytest.fixture(scope="module")
def workdir(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    train.run(tiny({"eval.max_examples": 13}), path)
    return path


def test_the_verb_repeats_what_training_measured(workdir, capsys):
    assert launch.main(["evaluate", f"--workdir={workdir}"]) == 0
    table = capsys.readouterr().out
    log = rundir.read_metrics(workdir)[6]
    assert f"{log['valid/mlm_loss']:.3f} nats" in table
    assert f"{log['valid/unigram_loss']:.3f} nats" in table


def test_an_earlier_step_can_be_evaluated(workdir, capsys):
    assert launch.main(["evaluate", f"--workdir={workdir}", "--step=3"]) == 0
    log = rundir.read_metrics(workdir)[3]
    assert f"{log['valid/mlm_loss']:.3f} nats" in capsys.readouterr().out


def test_the_last_batch_is_not_dropped():
    """Two batches of sums, one partly filled, against their sum by hand."""
    batches = iter([{"x": 3.0, "n": 4.0}, {"x": 1.5, "n": 1.0}])
    sums = evaluate.total(
        lambda params, batch: {"loss": (batch["x"], batch["n"])},
        None,
        batches,
        lambda: False,
    )
    assert sums == {"loss": (4.5, 5.0)}
    assert evaluate.named(sums) == {"valid/loss": pytest.approx(0.9)}


def test_a_signal_ends_an_evaluation():
    batches = iter([{}] * 3)
    assert evaluate.total(lambda *_: {}, None, batches, lambda: True) is None


def test_pair_accuracy_at_chance_is_said():
    sums = {
        "mlm_loss": (600.0, 100.0),
        "unigram_loss": (650.0, 100.0),
        "mlm_accuracy": (20.0, 100.0),
        "pair_accuracy": (52.0, 100.0),
    }
    table = evaluate.table(7, sums)
    assert "step 7" in table
    assert "0.500 nats  below the unigram loss" in table
    assert "20.0 %" in table
    assert "95 % interval 42.3 to 61.5 %; still at chance" in table
    better = evaluate.table(7, sums | {"pair_accuracy": (75.0, 100.0)})
    assert "chance" not in better


def test_sums_are_added_in_float64():
    many = [{"x": np.float32(16_777_217), "n": np.float32(1)}] * 3
    sums = evaluate.total(
        lambda params, batch: {"loss": (batch["x"], batch["n"])},
        None,
        iter(many),
        lambda: False,
    )
    assert sums["loss"] == (3 * 16_777_216.0, 3.0)
