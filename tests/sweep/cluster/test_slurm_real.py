"""Runs on a real SLURM of two nodes, which .ci/slurm starts on this machine."""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bert_jax.run import config as configs
from bert_jax.run import exits, rundir
from bert_jax.sweep.cluster import profiles, slurm
from bert_jax.sweep.cluster.task import RunTask
from bert_jax.train import loop
from tests.running import ROOT, assert_same_run, logged, start_two_hosts

CONF = Path("/etc/slurm/slurm.conf")
PATIENCE = 240  # seconds
RUN = {"train.steps": 400, "train.save_every": 50, "eval.every": 200}


@pytest.fixture
def profile():
    """Of that SLURM: no GPU, one processor a run. Skips where there is none, or one
    that is not ours to kill; one test at a time has it."""
    if not shutil.which("sbatch"):
        pytest.skip("sbatch is absent; .ci/slurm installs and starts a SLURM")
    if subprocess.run(
        ["scontrol", "ping"], check=False, capture_output=True
    ).returncode:
        pytest.skip("no slurmctld answers; .ci/slurm starts one")
    if "Written by .ci/slurm" not in CONF.read_text():
        pytest.skip("this SLURM is not the one that .ci/slurm starts")
    found = profiles.load(ROOT / profiles.EXAMPLE)
    assert found.slurm is not None
    changes = {"partition": "", "time_limit": 10, "gpus_per_node": 0}
    changes |= {"cpus_per_task": 1, "memory_gb": 0, "max_parallel": 4}
    with (Path(tempfile.gettempdir()) / "bert-slurm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield found._replace(slurm=found.slurm._replace(**changes))
        subprocess.run(["scancel", "--me"], check=True)  # what a failed test left


def planned(folder: Path, name: str, config, needs: str = "") -> RunTask:
    """A task whose config lies where it is looked for."""
    task = RunTask(name, folder / name, needs)
    task.config.parent.mkdir(parents=True, exist_ok=True)
    task.config.write_text(configs.canonical(config))
    return task


def submit(profile, folder: Path, chains: list[list[RunTask]]) -> None:
    output = slurm.submit(chains, ROOT, folder, profile, "X")
    assert output.startswith(f"submitted {len(chains)} as job array")


def wait_for(happened: Callable[[], Any], folder: Path) -> Any:
    late = time.monotonic() + PATIENCE
    while not (found := happened()):
        assert time.monotonic() < late, output(folder)
        time.sleep(0.05)
    return found


def output(folder: Path) -> str:
    """The last words of the jobs and what SLURM knows, for a failure."""
    logs = [path.read_text()[-2000:] for path in folder.glob("slurm/*_log.out")]
    return "\n".join([*logs, str(slurm.status(folder, "X")), squeue("--long")])


def squeue(*options: str) -> str:
    command = ["squeue", "--noheader", "--array", *options]
    return subprocess.check_output(command, text=True)


def running(*options: str) -> dict[int, str]:
    """Of each running element of an array the number of its job."""
    rows = squeue("--states=RUNNING", "--format=%K %A", *options).splitlines()
    return {int(index): job for index, job in (row.split() for row in rows)}


def read(task: RunTask) -> str:
    return task.log.read_text() if task.log.exists() else ""


def ask_to_stop(index: int, task: RunTask, folder: Path) -> None:
    """scancel would repeat itself, and hit the requeued job too."""
    scancel = subprocess.Popen(["scancel", "--signal=TERM", running()[index]])
    wait_for(lambda: "stopping after this step" in read(task), folder)
    scancel.kill()
    scancel.wait()


def kill_node(node: str, job: str) -> None:
    """As when it loses power: slurmd, and all processes of the job that it runs."""
    config = subprocess.check_output(["scontrol", "show", "config"], text=True)
    pids = re.findall(r"SlurmdPidFile\s*=\s*(\S+)", config)[0]
    daemon = int(Path(pids.replace("%n", node)).read_text())
    for pid in [daemon, *processes_of(job)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    late = time.monotonic() + 10
    while is_alive(daemon) and time.monotonic() < late:
        time.sleep(0.05)


def processes_of(job: str) -> list[int]:
    """By their environment, and SLURM's own by their title."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environment = (path / "environ").read_bytes().split(b"\0")
            title = (path / "cmdline").read_bytes()
        except OSError:  # it has ended, or is not ours
            continue
        if f"SLURM_JOB_ID={job}".encode() in environment or title.startswith(
            f"slurmstepd: [{job}.".encode()
        ):
            found.append(int(path.name))
    return found


def is_alive(pid: int) -> bool:
    """Nobody may have asked for the code of a process that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def assert_bitwise_equal(workdir: Path, other: Path) -> None:
    """Also what is told at the end, less the clock's."""
    assert_same_run(workdir, other)
    mine, others = (rundir.read(each, rundir.RESULT) for each in (workdir, other))
    for result in (mine, others):
        for clock in ("seconds", "goodput", "metrics_bytes", "metrics_sha256", "check"):
            del result[clock]
        values = result["metrics"].items()
        result["metrics"] = {k: v for k, v in values if not k.startswith("time/")}
    assert mine == others


def test_runs_survive_signal_and_dead_node_bitwise(tiny, profile, tmp_path):
    folder, plain = tmp_path / "X", tmp_path / "plain"
    plain.mkdir()
    seeds = [tiny({**RUN, "seed": seed}) for seed in range(2)]
    for seed, config in enumerate(seeds):
        assert loop.run(config, plain / str(seed)) == exits.DONE
    tasks = [
        planned(folder, f"{arm}/seed_{seed}/pretrain", config)
        for arm in ("a", "b", "c")
        for seed, config in enumerate(seeds)
    ]
    submit(profile, folder, [[task] for task in tasks])

    def midway(node: str) -> list[int]:
        there = running(f"--nodelist={node}")
        return [i for i in there if 60 < logged(tasks[i].workdir) < 250]

    stopped = wait_for(lambda: midway("n1"), folder)[0]
    ask_to_stop(stopped, tasks[stopped], folder)
    victim = wait_for(lambda: {*midway("n2")} - {stopped}, folder).pop()
    kill_node("n2", running()[victim])
    # SLURM misses the node and requeues what it had; another run of it may live on.
    wait_for(lambda: victim not in running("--nodelist=n2"), folder)
    subprocess.run([ROOT / ".ci/slurm"], check=True)
    wait_for(lambda: not slurm.status(folder, "X"), folder)
    for number, task in enumerate(tasks):
        assert_bitwise_equal(task.workdir, plain / str(number % 2))
    for number in (stopped, victim):
        assert read(tasks[number]).count("M parameters") == 2  # of two starts


def test_two_node_run_continues_after_signal(tiny, profile, tmp_path, monkeypatch):
    flags = os.environ["XLA_FLAGS"].replace("count=8", "count=1")
    few = {"train.steps": 60, "train.save_every": 20, "eval.every": 30}
    config = tiny({**few, "parallel.mesh": "-1x1x1"})
    alone = start_two_hosts(config, tmp_path / "alone", devices=1)
    codes, said = zip(*(process.end(PATIENCE) for process in alone), strict=True)
    assert codes == (0, 0), said
    monkeypatch.setenv("XLA_FLAGS", flags)
    folder = tmp_path / "X"
    task = planned(folder, "a/seed_0/pretrain", config)
    both = profile._replace(slurm=profile.slurm._replace(nodes=2))
    submit(both, folder, [[task]])
    wait_for(lambda: logged(task.workdir) > 20, folder)
    ask_to_stop(0, task, folder)
    wait_for(lambda: not slurm.status(folder, "X"), folder)
    assert "continuing from step" in read(task)
    assert_bitwise_equal(task.workdir, tmp_path / "alone")


def test_timed_out_run_continues_cancelled_one_does_not(tiny, profile, tmp_path):
    folder = tmp_path / "X"
    task = planned(folder, "a/seed_0/pretrain", tiny({**RUN, "train.steps": 100_000}))
    limit = profile.slurm._replace(time_limit=1, signal_seconds=30)
    submit(profile._replace(slurm=limit), folder, [[task]])
    wait_for(lambda: "continuing from step" in read(task), folder)
    assert slurm.status(folder, "X")["a/seed_0"].startswith("running on n")
    first = read(task).count("stopped and saved at step")
    assert slurm.cancel(folder, "X") == 1
    wait_for(lambda: not slurm.status(folder, "X"), folder)
    time.sleep(3)  # longer than SLURM takes to look at its queue
    assert slurm.status(folder, "X") == {}
    assert read(task).count("stopped and saved at step") == first + 1
