"""Chains of runs whose `launch.py` is a stand-in that does what its config says."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.run import exits, rundir
from bert_jax.run.config import UsageError
from bert_jax.sweep.cluster import chain
from bert_jax.sweep.cluster.task import RunTask, join_lanes
from tests.running import ROOT

# Ends with the next of its codes; "wait" waits for a signal, "deaf" has no handler.
LAUNCH = """
import json, os, signal, sys, time
from pathlib import Path
config, workdir = (Path(given.partition("=")[2]) for given in sys.argv[2:4])
workdir.mkdir(exist_ok=True)
with (workdir / "attempts").open("a") as file:
    file.write("x")
codes = json.loads(config.read_text())
code = codes[min((workdir / "attempts").stat().st_size, len(codes)) - 1]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
if code == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
print("host", os.environ.get("JAX_PROCESS_ID", "alone"), "started", flush=True)
if code in ("wait", "deaf"):
    time.sleep(60)
elif code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@pytest.fixture
def code(tmp_path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "launch.py").write_text(LAUNCH)
    return tmp_path / "code"


def task(folder: Path, stage: str, codes: list, needs: str = "") -> RunTask:
    made = RunTask(f"a/seed_0/{stage}", folder / stage, needs and f"a/seed_0/{needs}")
    made.config.write_text(json.dumps(codes))
    return made


def attempts(task: RunTask) -> int:
    path = task.workdir / "attempts"
    return path.stat().st_size if path.exists() else 0


def start(
    folder: Path, code: Path, tasks: list[RunTask], cwd: Path
) -> subprocess.Popen:
    """The command of a SLURM job or a pod."""
    chain.save(folder / "chain.json", code, folder, [tasks], retries=0)
    command = [sys.executable, "-P", "-m", "bert_jax.sweep.cluster.chain"]
    return subprocess.Popen(
        [*command, str(folder / "chain.json"), "0"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_tasks_run_in_order_with_logs(code, tmp_path, capfd):
    first, second = task(tmp_path, "first", [0]), task(tmp_path, "second", [0], "first")
    first.log.write_text("before\n")
    assert chain.run(code, tmp_path, [first, second], retries=0) == exits.DONE
    assert first.log.read_text() == "before\nhost alone started\n"
    assert second.log.read_text() == "host alone started\n"
    assert capfd.readouterr().out == "host alone started\n" * 2


@pytest.mark.parametrize(
    ("codes", "retries", "code_of_all", "started"),
    [
        ([3, 3, 0], 2, exits.DONE, 3),
        ([3, 3, 0], 1, chain.CRASHED, 2),
        ([-9, 0], 1, exits.DONE, 2),
        ([exits.STALLED, 0], 1, exits.DONE, 2),
        ([-11], 0, chain.CRASHED, 1),
        ([exits.USAGE, 0], 3, exits.USAGE, 1),
        ([exits.DIVERGED, 0], 3, exits.DIVERGED, 1),
        ([exits.PREEMPTED, 0], 3, exits.PREEMPTED, 1),
    ],
)
def test_only_a_crash_is_retried(codes, retries, code_of_all, started, code, tmp_path):
    only = task(tmp_path, "only", codes)
    assert chain.run(code, tmp_path, [only], retries) == code_of_all
    assert attempts(only) == started


def test_children_of_failed_run_are_skipped(code, tmp_path):
    pretrain = task(tmp_path, "pretrain", [0])
    one = task(tmp_path, "one", [exits.DIVERGED], "pretrain")
    after = task(tmp_path, "after", [0], "one")
    two = task(tmp_path, "two", [0], "pretrain")
    tasks = [pretrain, one, after, two]
    assert chain.run(code, tmp_path, tasks, retries=0) == exits.DIVERGED
    assert [attempts(each) for each in tasks] == [1, 1, 0, 1]


def test_children_of_done_lanes_run(code, tmp_path):
    lanes = [task(tmp_path, stage, [77]) for stage in ("one", "two")]
    heirs = [task(tmp_path, f"of_{n}", [0], needs=n) for n in ("one", "two")]
    lanes[1].workdir.mkdir()
    (lanes[1].workdir / rundir.RESULT).write_text("{}")
    chain.save(tmp_path / "file", code, tmp_path, [[join_lanes(lanes), *heirs]], 0)
    assert chain.run(*chain.load(tmp_path / "file", 0)) == exits.DIVERGED
    assert [attempts(each) for each in (lanes[0], *heirs)] == [1, 0, 1]


def test_a_preempted_run_ends_the_chain_at_once(code, tmp_path):
    first, second = task(tmp_path, "one", [exits.PREEMPTED]), task(tmp_path, "two", [0])
    assert chain.run(code, tmp_path, [first, second], retries=9) == exits.PREEMPTED
    assert attempts(second) == 0


@pytest.mark.parametrize("number", exits.SIGNALS)
@pytest.mark.parametrize("kind", ["wait", "deaf"])
def test_signal_reaches_run_and_ends_chain(number, kind, code, tmp_path):
    tasks = [task(tmp_path, "one", [kind]), task(tmp_path, "two", [0])]
    process = start(tmp_path, code, tasks, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "host alone started\n"
    process.send_signal(number)
    message = process.communicate(timeout=30)[0]
    assert process.returncode == exits.PREEMPTED, message
    assert [attempts(each) for each in tasks] == [1, 0]


def test_run_of_another_process_is_awaited(code, tmp_path):
    only = task(tmp_path, "only", [0])
    only.workdir.mkdir()
    with (only.workdir / rundir.LEASE).open("w") as lease:
        fcntl.flock(lease, fcntl.LOCK_EX)
        process = start(tmp_path, code, [only], tmp_path)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("a/seed_0/only: waiting for another process"), line
        assert attempts(only) == 0
    assert process.communicate(timeout=30)[0] == "host alone started\n"
    assert (process.returncode, attempts(only)) == (exits.DONE, 1)


def test_package_in_working_directory_is_not_imported(code, tmp_path):
    (tmp_path / "here" / "bert_jax").mkdir(parents=True)
    (tmp_path / "here" / "bert_jax" / "__init__.py").write_text("raise SystemExit(9)")
    process = start(tmp_path, code, [task(tmp_path, "o", [0])], tmp_path / "here")
    assert process.communicate(timeout=30)[0] == "host alone started\n"
    assert process.returncode == exits.DONE


def test_first_host_logs_and_hosts_are_not_retried(code, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "1")
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "x-run-0-0.x:10000")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    only = task(tmp_path, "only", [5])
    assert chain.run(code, tmp_path, [only], retries=3) == chain.CRASHED
    assert attempts(only) == 1
    assert not only.log.exists()
    assert "host 1 started" in capfd.readouterr().out


def test_slurm_hosts_join_at_first_node(tmp_path, monkeypatch):
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames n[4-5]" ] && echo n4 n5\n')
    scontrol.chmod(0o755)
    given = {"NTASKS": "2", "PROCID": "1", "JOB_ID": "7", "JOB_NODELIST": "n[4-5]"}
    for key, value in given.items():
        monkeypatch.setenv(f"SLURM_{key}", value)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert chain.host_environment(3) == {
        "JAX_COORDINATOR_ADDRESS": f"n4:{10_000 + 7 * 32 + 3}",
        "JAX_NUM_PROCESSES": "2",
        "JAX_PROCESS_ID": "1",
    }


def test_pods_join_at_one_port_per_stage(monkeypatch):
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "3")
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "x-run-0-0.x:10000")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "4")
    assert chain.host_environment(2) == {
        "JAX_COORDINATOR_ADDRESS": "x-run-0-0.x:10002",
        "JAX_NUM_PROCESSES": "4",
        "JAX_PROCESS_ID": "3",
    }


@pytest.mark.parametrize("tasks", ["", "1"])
def test_one_host_joins_nobody(tasks, monkeypatch):
    if tasks:
        monkeypatch.setenv("SLURM_NTASKS", tasks)
    assert chain.host_environment(0) == {}


@given(
    job=st.integers(1, 2**26),
    other=st.integers(1, chain.PORTS // chain.STAGES - 1),
    stages=st.tuples(*[st.integers(0, chain.STAGES - 1)] * 2),
)
def test_concurrent_jobs_have_different_ports(job, other, stages):
    first, second = chain.port(job, stages[0]), chain.port(job + other, stages[1])
    assert first != second
    assert {first, second} <= set(range(10_000, 30_000))


def test_file_without_chains_is_refused(tmp_path, capsys):
    path = tmp_path / "chain.json"
    path.write_text('{"code": ')
    with pytest.raises(UsageError, match="chain.json is not JSON"):
        chain.load(path, 0)
    assert chain.main([str(path), "0"]) == exits.USAGE
    assert "is not JSON" in capsys.readouterr().err
