"""What a person sees of a sweep that runs."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from bert_jax.run import rundir
from bert_jax.sweep import board
from bert_jax.sweep.cluster.local import Event
from bert_jax.sweep.cluster.task import RunTask
from tests.sweep import pretending


@pytest.fixture
def shown(tmp_path, capsys):
    """shown(EVENTS, running=NAMES): what a board says of them, off a terminal."""
    path = pretending.write_experiment(
        tmp_path / "try.py",
        text="Why?",
        arms={"a": {}},
        BASE="configs/demo.py",
        METRIC="valid/mlm_loss",
        BASELINE="a",
        SEEDS=2,
    )
    runs = pretending.launch(path, tmp_path / "runs").runs
    folder = tmp_path / "runs/try"

    def show(events, running=()) -> list[str]:
        tasks = {run.name: RunTask(run.name, folder / run.name, "") for run in runs}
        local = SimpleNamespace(
            running=[SimpleNamespace(task=tasks[name]) for name in running]
        )
        shown_board = board.Board(folder, runs, local)
        for name, *rest in events:
            shown_board.show(Event(tasks[name], *rest))
        shown_board.close()
        return capsys.readouterr().err.splitlines()

    show.folder = folder
    return show


NAME = "a/seed_0/pretrain"


def test_a_run_begins_and_ends(shown):
    events = [(NAME, None, 0.0, False), (NAME, 0, 75.4, False)]
    lines = shown(events)
    assert lines[0] == f"{NAME}: begun"
    assert lines[1].startswith("0 of 2 runs ended")
    assert lines[2] == f"{NAME}: done after 1:15"


@pytest.mark.parametrize(
    ("code", "again", "lines"),
    [
        (75, True, "stopped and saved after 0:02; again"),
        (76, True, "stalled after 0:02; again: lower it"),
        (77, False, "diverged after 0:02: lower it"),
        (2, False, "refused after 0:02: lower it"),
        (-9, True, "killed by signal 9 after 0:02; again: lower it"),
        (1, False, "crashed with 1 after 0:02: lower it"),
    ],
)
def test_end_is_shown_with_last_log_line(shown, code, again, lines):
    log = shown.folder / "a/seed_0/pretrain.log"
    log.parent.mkdir(parents=True)
    log.write_text("first\nlower it\n\n")
    assert shown([(NAME, code, 2.0, again)])[0].startswith(f"{NAME}: {lines}")


def test_running_run_is_shown_with_step_and_loss(shown):
    workdir = shown.folder / NAME
    workdir.mkdir(parents=True)
    line = rundir.metrics_line(3000, {"train/loss": 5.25})
    (workdir / rundir.METRICS).write_text(line + '{"step": 3001, "tra')
    lines = shown([(NAME, None, 0.0, False)], running=[NAME, "a/seed_1/pretrain"])
    assert f"{NAME}  loss 5.250  step 3000 of 6000" in lines[1]
    assert "a/seed_1/pretrain  starting" in lines[1]


def test_earlier_launches_do_not_count_as_speed(shown):
    workdir = shown.folder / NAME
    workdir.mkdir(parents=True)
    (workdir / rundir.METRICS).write_text(
        rundir.metrics_line(3000, {"train/loss": 5.0})
    )
    lines = shown([(NAME, None, 0.0, False)], running=[NAME])
    assert lines[1].startswith("0 of 2 runs ended;")


def test_last_complete_line_with_loss_counts(tmp_path):
    assert board.last_metrics(tmp_path) == {}
    rows = [{"step": n, "train/loss": 1.0} for n in range(500)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    text += '{"step": 500, "valid/mlm_loss": 1.0}\nnull\n{"st'
    Path(tmp_path / rundir.METRICS).write_text(text)
    assert board.last_metrics(tmp_path)["step"] == 499
    assert board.last_line(tmp_path / "nothing") == ""
