import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.run import config as configs
from bert_jax.run import files, record, rundir
from bert_jax.run.config import UsageError
from tests.running import begin_run, end_run

ROOT = Path(__file__).parents[2]
CONFIG = configs.load("configs/demo.py", {})


@pytest.fixture
def run(tmp_path):
    """A run that has begun."""
    workdir = tmp_path / "run"
    rundir.create(workdir)
    begin_run(workdir, CONFIG)
    return workdir


def test_json_comes_back(tmp_path):
    value = {"b": [1, 2.5, "ü"], "a": None}
    files.write_json(tmp_path / "x.json", value)
    assert json.loads((tmp_path / "x.json").read_text()) == value
    assert os.listdir(tmp_path) == ["x.json"]


def test_failed_write_keeps_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": 1})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["x.json"]


def test_a_reader_never_sees_half_a_file(tmp_path):
    path, sizes = tmp_path / "x.json", (10, 100_000)
    files.write_json(path, [0] * sizes[0])
    stop = threading.Event()

    def write():
        while not stop.is_set():
            for size in sizes:
                files.write_json(path, [0] * size)

    writer = threading.Thread(target=write)
    writer.start()
    seen = {len(json.loads(path.read_text())) for _ in range(200)}
    stop.set()
    writer.join()
    assert seen <= set(sizes)


def test_directory_with_config_and_run_json_is_run(tmp_path, run):
    assert rundir.is_run(run)
    assert rundir.read(run, rundir.CONFIG)["seed"] == 0
    with pytest.raises(UsageError, match=r"is no run: it lacks config.json"):
        rundir.read(tmp_path, rundir.CONFIG)
    with pytest.raises(UsageError, match=r"has no result.json"):
        rundir.read(run, rundir.RESULT)


def test_a_damaged_file_is_named(run):
    (run / rundir.CONFIG).write_text('{"seed": ')
    with pytest.raises(UsageError, match=r"config.json is not JSON"):
        rundir.read(run, rundir.CONFIG)


def test_create_refuses_a_directory_of_something_else(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"is no run, and holds thesis.tex"):
        rundir.create(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_create_refuses_a_file(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(UsageError, match="is a file"):
        rundir.create(tmp_path / "run")


def test_create_goes_on_where_it_was_killed(tmp_path, run):
    (run / "notes.md").touch()
    rundir.create(run)  # a run may hold what else its owner puts there
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / rundir.LEASE).touch()
    (begun / ".config.json.tmp").touch()
    rundir.create(begun)


def test_run_is_done_with_result_of_its_config(run):
    identity = configs.fingerprint(CONFIG, "")
    assert not record.is_done(run, identity)
    end_run(run, {"valid/mlm_loss": 3.0})
    assert record.is_done(run, identity)
    assert not record.is_done(run, "def")


def append(workdir, *lines):
    with rundir.append_metrics(workdir) as file:
        file.writelines(lines)


def test_last_line_of_step_and_key_counts(tmp_path):
    append(
        tmp_path,
        rundir.metrics_line(2, {"train/loss": 3.0, "train/lr": 0.1}),
        rundir.metrics_line(1, {"train/loss": 4.0}),
        rundir.metrics_line(2, {"train/loss": 2.0}),
    )
    expected = {1: {"train/loss": 4.0}, 2: {"train/loss": 2.0, "train/lr": 0.1}}
    assert rundir.read_metrics(tmp_path) == expected
    assert list(rundir.read_metrics(tmp_path)) == [1, 2]


def test_a_run_without_metrics_has_none(tmp_path):
    assert rundir.read_metrics(tmp_path) == {}


@given(cut=st.integers(0, 120))
def test_a_torn_line_loses_itself_alone(tmp_path_factory, cut):
    workdir = tmp_path_factory.mktemp("run")
    lines = [rundir.metrics_line(step, {"x": step / 3}) for step in range(4)]
    (workdir / rundir.METRICS).write_text("".join(lines)[:cut])
    append(workdir, rundir.metrics_line(9, {"x": 9.0}))
    ends = itertools.accumulate(len(line) for line in lines)
    # A line that lacks nothing but its line feed is whole.
    complete = sum(end - 1 <= cut for end in ends)
    expected = {step: {"x": step / 3} for step in range(complete)} | {9: {"x": 9.0}}
    assert rundir.read_metrics(workdir) == expected


def test_values_come_back_bitwise_and_nan_too(tmp_path):
    value = 0.1 + 0.2
    append(tmp_path, rundir.metrics_line(1, {"x": value, "y": float("nan")}))
    read = rundir.read_metrics(tmp_path)[1]
    assert read["x"] == value
    assert read["y"] != read["y"]


HOLD = """
import sys
from pathlib import Path
from bert_jax.run import rundir
with rundir.lease(Path(sys.argv[1]), "--workdir"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(run):
    """Another process that writes the run."""
    command = [sys.executable, "-c", HOLD, str(run)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_second_writer_error_names_lease_holder(run, holder):
    refusal = rf"is being written by process {holder.pid} on host \S+; stop it or"
    with pytest.raises(UsageError, match=refusal), rundir.lease(run, "--workdir"):
        pass


def test_the_lease_of_a_killed_writer_is_free(run, holder):
    holder.kill()
    holder.wait()
    with rundir.lease(run, "--workdir"):
        assert f"process {os.getpid()} " in (run / rundir.LEASE).read_text()
    with rundir.lease(run, "--workdir"):
        pass


def test_versions_name_what_the_code_ran_on():
    versions = rundir.versions()
    assert {"python", "platform", "commit", "jax", "numpy"} <= versions.keys()
    assert all(isinstance(version, str) for version in versions.values())


def checkout(directory, monkeypatch):
    """A repository whose bert_jax/run/rundir.py is taken for the running one."""
    (directory / "bert_jax" / "run").mkdir(parents=True)
    source = directory / "bert_jax" / "run" / "rundir.py"
    source.write_text("code")
    monkeypatch.setattr(rundir, "__file__", str(source))
    return source


def git(directory, *arguments):
    identity = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(directory), *identity, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_commit_marks_edited_code(tmp_path, monkeypatch):
    source = checkout(tmp_path, monkeypatch)
    git(tmp_path, "init", "-q")
    assert rundir.commit() == ""
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "tag", "v1")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert rundir.commit() == head
    source.write_text("edited")
    assert rundir.commit() == f"{head}-dirty"


def test_an_enclosing_repository_is_not_taken_for_ours(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-qm", "first", "--allow-empty")
    checkout(tmp_path / "site-packages", monkeypatch)
    assert rundir.commit() == ""


def test_differences_are_shown_leaf_by_leaf():
    old = {"seed": 0, "model": {"norm": "post", "dropout": 0.1}, "gone": 1}
    new = {"seed": 0, "model": {"norm": "pre", "dropout": 0.1}, "data": {"length": 8}}
    assert rundir.differences(old, new) == [
        "data.length: absent -> 8",
        "gone: 1 -> absent",
        'model.norm: "post" -> "pre"',
    ]
    assert rundir.differences(old, old) == []
