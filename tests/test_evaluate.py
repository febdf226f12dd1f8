"""Held-out numbers: complete, repeatable, and shown beside their baselines."""

import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

import launch
from bert_jax import config as configs
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


def sums_of(params, batch):
    return {"loss": (batch["x"], batch["n"])}, {}


def test_the_last_batch_is_not_dropped():
    """Two batches of sums, one partly filled, against their sum by hand."""
    batches = iter([{"x": 3.0, "n": 4.0}, {"x": 1.5, "n": 1.0}])
    found = evaluate.total(sums_of, None, batches, lambda: False)
    assert found == evaluate.Found({"loss": (4.5, 5.0)}, {})
    parts = SimpleNamespace(data=None)
    assert evaluate.named(parts, "valid", found) == {"valid/loss": pytest.approx(0.9)}


def test_outputs_go_by_the_number_of_the_example_and_fillers_have_none():
    batches = iter([([4, 2], [1, 1]), ([7, 7], [1, 0])])

    def function(params, batch):
        ids, weights = (np.array(x) for x in batch)
        seen = {"output": ids * 10.0, "example_ids": ids, "weights": weights}
        return {}, seen

    found = evaluate.total(function, None, batches, lambda: False)
    assert found is not None
    assert found.outputs == {4: 40.0, 2: 20.0, 7: 70.0}


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


def test_the_metric_that_decides_stands_first_beside_its_baseline():
    config = SimpleNamespace(
        task=SimpleNamespace(metric="f1"), objective=SimpleNamespace(kind="classify")
    )
    scores = {"task_loss": 0.5, "accuracy": 0.75, "f1": 0.4, "baseline": 0.5}
    lines = evaluate.task_table(config, 7, "test", scores, 100).splitlines()
    assert lines[0] == "test, 100 scored, step 7"
    assert lines[1].split()[:2] == ["f1", "40.0"]
    assert lines[1].endswith("looking at nothing gives 50.0 %; no better than that")
    assert "75.0 %  95 % interval 65.7 to 82.5 %" in " ".join(lines)
    assert lines[2].split() == ["task_loss", "0.500"]


def test_the_verb_repeats_what_a_task_measured(tuned, capsys):
    workdir = tuned("tag")
    assert launch.main(["evaluate", f"--workdir={workdir}"]) == 0
    said = capsys.readouterr().out
    final = rundir.read(workdir, rundir.RESULT)["metrics"]
    for split in ("valid", "test"):
        (table,) = re.findall(
            rf"^{split}, \d+ scored.*\n(?:  .*\n)+", said, re.MULTILINE
        )
        assert f"{100 * final[f'{split}/f1']:.1f} %" in table
        assert f"{final[f'{split}/task_loss']:.3f}" in table


def test_what_was_left_out_is_not_counted(task, tuned, tmp_path, capsys):
    """Of 16 sentences max_examples takes four, of 8 to 10 words each."""
    workdir = shutil.copytree(tuned("tag"), tmp_path / "run")
    config = task("tag", {"eval.max_examples": 4})
    rundir.write_text(workdir / rundir.CONFIG, configs.canonical(config))
    assert launch.main(["evaluate", f"--workdir={workdir}"]) == 0
    said = capsys.readouterr().out
    valid, test = map(
        int, re.findall(r"^(?:valid|test), (\d+) scored", said, re.MULTILINE)
    )
    assert 4 * 8 <= valid <= 4 * 10 < 16 * 8 <= test


def test_sums_are_added_in_float64():
    many = [{"x": np.float32(16_777_217), "n": np.float32(1)}] * 3
    found = evaluate.total(sums_of, None, iter(many), lambda: False)
    assert found is not None
    assert found.sums["loss"] == (3 * 16_777_216.0, 3.0)
