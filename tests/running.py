"""Runs for the tests: in a process of their own, on two hosts, and compared."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from bert_jax import checkpoint, rundir, setup, stop, train
from bert_jax import config as configs

ROOT = Path(__file__).parents[1]
STEPS = 24
CHANGES = {
    "train.steps": STEPS,
    "train.save_every": 3,
    "eval.every": 6,
    "model.dropout": 0.1,
    "model.attention_dropout": 0.1,
}


@pytest.fixture(scope="session")
def config(tiny):
    """A run of a few seconds that evaluates, saves and drops."""
    return tiny(CHANGES)


@pytest.fixture(scope="session")
def straight(config, tmp_path_factory) -> Path:
    """The directory of the run that nothing interrupts."""
    workdir = tmp_path_factory.mktemp("runs") / "straight"
    assert train.run(config, workdir) == stop.DONE
    return workdir


def final_state(workdir: Path):
    """Everything in the newest checkpoint, as numpy."""
    parts = setup.reopen(workdir)
    checkpoints = checkpoint.Checkpoints(workdir, 3, 0, False)
    step = checkpoints.newest(print)
    assert step is not None
    state = jax.device_get(checkpoints.restore(step, parts.shapes()))
    checkpoints.close()
    return state


def metrics(workdir: Path):
    """metrics.jsonl without what depends on the clock."""
    return {
        step: {k: v for k, v in values.items() if not k.startswith("time/")}
        for step, values in rundir.read_metrics(workdir).items()
    }


def assert_same_run(workdir: Path, other: Path):
    """Parameters, optimiser and metrics, bit for bit."""
    jax.tree.map(
        np.testing.assert_array_equal, final_state(workdir), final_state(other)
    )
    assert metrics(workdir) == metrics(other)


def start(config, workdir: Path, **environment: str) -> subprocess.Popen:
    """`launch.py train` in a process of its own."""
    path = workdir.with_suffix(".json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(configs.canonical(config))
    command = [sys.executable, "launch.py", "train", f"--config={path}"]
    return subprocess.Popen(
        [*command, f"--workdir={workdir}"],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two_hosts(config, workdir: Path, devices: int) -> list[subprocess.Popen]:
    """Two processes of one run, each with its own simulated devices."""
    flags = re.sub(r"count=\d+", f"count={devices}", os.environ["XLA_FLAGS"])
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    return [
        start(
            config,
            workdir,
            JAX_COORDINATOR_ADDRESS=f"localhost:{port}",
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=str(number),
            XLA_FLAGS=flags,
        )
        for number in range(2)
    ]


def wait_until(done, process: subprocess.Popen):
    """Looks often, and gives up when the process has ended."""
    while not done() and process.poll() is None:
        time.sleep(0.002)


def logged(workdir: Path) -> int:
    """The last step in metrics.jsonl, -1 before there is one."""
    return max(rundir.read_metrics(workdir), default=-1)


def reached(workdir: Path, step: int) -> bool:
    return logged(workdir) >= step
