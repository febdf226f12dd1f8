"""The state of a run, told by its directory alone."""

import shutil

import pytest
from ml_collections import ConfigDict, FrozenConfigDict

from bert_jax.run import record, rundir
from bert_jax.run.config import UsageError
from bert_jax.sweep import states
from tests.running import amend
from tests.sweep import pretending

THEN = {"topics": "configs/finetune/topics.py"}


@pytest.fixture
def sweep(tmp_path):
    """The folder of a sweep of two arms and one seed, and its four runs by name."""
    path = pretending.write_experiment(
        tmp_path / "try.py",
        text="Why?",
        arms={"a": {}, "b": {"optim.learning_rate": 1e-4}},
        BASE="configs/demo.py",
        METRIC="valid/mlm_loss",
        BASELINE="a",
        SEEDS=1,
        THEN=THEN,
    )
    runs = pretending.launch(path, tmp_path / "runs").runs
    return tmp_path / "runs/try", {run.name: run for run in runs}


def of(sweep, name: str) -> str:
    folder, runs = sweep
    return states.run_state(folder, runs[name])


PARENT, CHILD = "a/seed_0/pretrain", "a/seed_0/topics"


def test_states_of_run_and_its_task(sweep):
    folder, runs = sweep
    assert (of(sweep, PARENT), of(sweep, CHILD)) == (states.READY, states.WAITING)
    workdir = pretending.begin(folder, runs[PARENT])
    assert (of(sweep, PARENT), of(sweep, CHILD)) == (states.STOPPED, states.WAITING)
    shutil.rmtree(workdir)
    pretending.finish(folder, runs[PARENT], {"valid/mlm_loss": 3.0})
    assert (of(sweep, PARENT), of(sweep, CHILD)) == (states.DONE, states.READY)
    pretending.finish(folder, runs[CHILD], {"test/accuracy": 0.5})
    assert of(sweep, CHILD) == states.DONE


def test_leased_run_is_running_before_it_writes(sweep):
    folder, runs = sweep
    workdir = folder / PARENT
    workdir.mkdir(parents=True)
    with rundir.lease(workdir, "--root"):
        assert of(sweep, PARENT) == states.RUNNING
    pretending.begin(folder, runs["b/seed_0/pretrain"])
    with rundir.lease(folder / "b/seed_0/pretrain", "--root"):
        assert of(sweep, "b/seed_0/pretrain") == states.RUNNING


def test_a_loss_that_is_no_number_is_divergence(sweep):
    folder, runs = sweep
    pretending.diverge(folder, runs[PARENT])
    assert of(sweep, PARENT) == states.DIVERGED
    assert of(sweep, CHILD) == states.WAITING


def test_a_torn_last_line_loses_nothing(sweep):
    folder, runs = sweep
    workdir = pretending.diverge(folder, runs[PARENT])
    with (workdir / rundir.METRICS).open("a") as file:
        file.write('{"step": 60, "train/lo')
    assert of(sweep, PARENT) == states.DIVERGED


def test_done_run_may_lack_rows(sweep):
    folder, runs = sweep
    workdir = pretending.finish(folder, runs[PARENT], {"valid/mlm_loss": 3.0})
    wanted = ConfigDict(runs[PARENT].config.to_dict())
    wanted.eval.update(rows="single,pair", length=64)
    run = runs[PARENT]._replace(config=FrozenConfigDict(wanted))
    assert states.run_state(folder, run) == states.DONE
    assert states.sweep_state(folder, run) == states.LACKING
    with rundir.lease(workdir, "--root"):
        assert states.sweep_state(folder, run) == states.RUNNING
    lengths = {"valid/single": 64, "valid/pair": 32}
    for length, state in ((32, states.LACKING), (64, states.DONE)):
        result = rundir.read(workdir, rundir.RESULT)
        lengths["valid/pair"] = length
        record.write_result(workdir, {**result, "row_lengths": lengths})
        assert states.sweep_state(folder, run) == state
    assert of(sweep, CHILD) == states.READY


def test_a_copied_directory_is_foreign(sweep):
    folder, runs = sweep
    pretending.finish(folder, runs[PARENT], {"valid/mlm_loss": 3.0})
    (folder / "b/seed_0").mkdir(parents=True)
    shutil.copytree(folder / PARENT, folder / "b/seed_0/pretrain")
    assert of(sweep, "b/seed_0/pretrain") == states.FOREIGN


@pytest.mark.parametrize("text", ["{}", "[1]", "{", '{"fingerprint": "0123456789ab"}'])
def test_a_damaged_result_is_named(sweep, text):
    """FAULTS 41, 46."""
    folder, runs = sweep
    (pretending.begin(folder, runs[PARENT]) / rundir.RESULT).write_text(text)
    with pytest.raises(UsageError, match="result.json is not"):
        of(sweep, PARENT)


def test_task_of_another_parent_is_foreign(sweep):
    folder, runs = sweep
    parent = pretending.finish(folder, runs[PARENT], {"valid/mlm_loss": 3.0})
    pretending.finish(folder, runs[CHILD], {"test/accuracy": 0.5})
    amend(parent / rundir.RESULT, {"steps": 7})
    assert of(sweep, CHILD) == states.FOREIGN
