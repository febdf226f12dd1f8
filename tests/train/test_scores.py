"""The verb evaluate: repeatable numbers, each shown beside its baseline."""

import re
import shutil
from types import SimpleNamespace

import pytest

import launch
from bert_jax.run import rundir
from bert_jax.train import loop, scores
from tests.running import become


@pytest.fixture(scope="module")
def workdir(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    loop.run(tiny({"eval.max_examples": 13}), path)
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


def test_pair_accuracy_at_chance_is_said():
    sums = {
        "mlm_loss": (600.0, 100.0),
        "unigram_loss": (650.0, 100.0),
        "mlm_accuracy": (20.0, 100.0),
        "pair_accuracy": (52.0, 100.0),
    }
    table = scores.table(7, sums)
    assert "step 7" in table
    assert "0.500 nats  below the unigram loss" in table
    assert "20.0 %" in table
    assert "95 % interval 42.3 to 61.5 %; still at chance" in table
    better = scores.table(7, sums | {"pair_accuracy": (75.0, 100.0)})
    assert "chance" not in better


def test_the_metric_that_decides_stands_first_beside_its_baseline():
    config = SimpleNamespace(
        task=SimpleNamespace(metric="f1"), objective=SimpleNamespace(kind="classify")
    )
    found = {"task_loss": 0.5, "accuracy": 0.75, "f1": 0.4, "baseline": 0.5}
    lines = scores.task_table(config, 7, "test", found, 100).splitlines()
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
    become(workdir, {"eval.max_examples": 4})
    assert launch.main(["evaluate", f"--workdir={workdir}"]) == 0
    said = capsys.readouterr().out
    valid, test = map(
        int, re.findall(r"^(?:valid|test), (\d+) scored", said, re.MULTILINE)
    )
    assert 4 * 8 <= valid <= 4 * 10 < 16 * 8 <= test
