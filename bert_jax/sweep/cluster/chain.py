"""Chains of runs in one process: a pretraining, then the runs that start from it.

Every SLURM job and every pod runs

    python -P -m bert_jax.sweep.cluster.chain FILE.json INDEX

-P prevents imports from the current folder instead of the snapshot on PYTHONPATH. No
state is kept: a run that is done exits at once.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NotRequired, TypedDict

from bert_jax.run import exits, files, rundir
from bert_jax.run.config import UsageError
from bert_jax.sweep.cluster.task import RunTask, command, environment

CRASHED = 1  # exit code for any crashed run; above 128 the chain itself was killed
LOOK = 1.0  # seconds between checks of a run that another process writes
DRAIN = 5.0  # seconds to read a run's last output; workers may keep the pipe open

# Coordinator ports of the stages. The ids of jobs that share a node differ by less than
# PORTS / STAGES. All ports are below the ephemeral ports of Linux.
PORT, PORTS, STAGES = 10_000, 20_000, 32


class SavedTask(TypedDict):
    name: str
    workdir: str
    needs: str
    beside: NotRequired[list["SavedTask"]]


class ChainFile(TypedDict):
    """JSON file of chains."""

    code: str
    folder: str
    retries: int
    chains: list[list[SavedTask]]


def name(tasks: Sequence[RunTask]) -> str:
    """The name of a chain: `ARM/seed_S`."""
    return tasks[0].name.rpartition("/")[0]


def save(
    path: Path,
    code: Path,
    folder: Path,
    chains: Sequence[Sequence[RunTask]],
    retries: int,
) -> None:
    """Write chains for `load`, with absolute paths."""
    saved = {
        "code": str(code.absolute()),
        "folder": str(folder.absolute()),
        "retries": retries,
        "chains": [[_saved_task(task) for task in chain] for chain in chains],
    }
    files.write_json(path, files.checked(saved))


def _saved_task(task: RunTask) -> dict[str, Any]:
    beside = [_saved_task(lane) for lane in task.beside]
    workdir = str(task.workdir.absolute())
    return {**task._asdict(), "workdir": workdir, "beside": beside}


def _task(saved: SavedTask) -> RunTask:
    beside = tuple(_task(lane) for lane in saved.get("beside", []))
    return RunTask(saved["name"], Path(saved["workdir"]), saved["needs"], beside)


def names(saved: Sequence[SavedTask]) -> list[str]:
    """The names of all runs of a chain that `read` returned."""
    return [lane.name for task in map(_task, saved) for lane in task.lanes]


def load(path: Path, index: int) -> tuple[Path, Path, tuple[RunTask, ...], int]:
    """Return the arguments of `run` for one chain of the file. Raises UsageError."""
    saved = read(path)
    if not 0 <= index < len(saved["chains"]):
        raise UsageError(f"{path} has {len(saved['chains'])} chains, and no {index}")
    tasks = tuple(_task(saved_task) for saved_task in saved["chains"][index])
    return Path(saved["code"]), Path(saved["folder"]), tasks, saved["retries"]


def read(path: Path) -> ChainFile:
    """Read the file that `save` wrote. Raises UsageError."""
    return files.read_json(path, ChainFile)


def run(code: Path, folder: Path, tasks: Sequence[RunTask], retries: int) -> int:
    """Run the tasks in order with the launch.py of `code`; the exit code.

    A task that crashed is started again up to `retries` times. A task that needs a
    failed one is skipped; the first nonzero code is returned.
    """
    codes: dict[str, int] = {}
    relay = Relay()
    with exits.handled(relay.receive):
        for index, task in enumerate(tasks):
            if codes.get(task.needs, exits.DONE) != exits.DONE:
                codes[task.name] = codes[task.needs]
                continue
            hosts = host_environment(index)
            # If one host fails, all do; SLURM or the JobSet restarts them together.
            attempts = 1 if hosts else 1 + retries
            runner = _TaskRunner(code, environment(folder) | hosts, task, relay)
            last = runner.until_over(attempts)
            if last == exits.PREEMPTED:
                return exits.PREEMPTED
            codes |= {lane.name: _code_of(lane, task, last) for lane in task.lanes}
    return next((code for code in codes.values() if code), exits.DONE)


def _code_of(lane: RunTask, task: RunTask, code: int) -> int:
    """The exit code of a lane: some lanes of a failed process may be done."""
    done = task.beside and (lane.workdir / rundir.RESULT).is_file()
    return exits.DONE if done else code


def host_environment(stage: int) -> dict[str, str]:
    """The variables by which jax.distributed joins the hosts of a chain; {} for one
    host.

    From the SLURM step, or from the JobSet's pod, which is given its coordinator's
    address.
    """
    variables = os.environ
    if int(variables.get("SLURM_NTASKS", "1")) > 1:
        show = ["scontrol", "show", "hostnames", variables["SLURM_JOB_NODELIST"]]
        nodes = subprocess.run(show, check=True, capture_output=True, text=True)
        coordinator_port = port(int(variables["SLURM_JOB_ID"]), stage)
        return {
            "JAX_COORDINATOR_ADDRESS": f"{nodes.stdout.split()[0]}:{coordinator_port}",
            "JAX_NUM_PROCESSES": variables["SLURM_NTASKS"],
            "JAX_PROCESS_ID": variables["SLURM_PROCID"],
        }
    if "JOB_COMPLETION_INDEX" in variables and "JAX_COORDINATOR_ADDRESS" in variables:
        host, _, first = variables["JAX_COORDINATOR_ADDRESS"].rpartition(":")
        return {
            "JAX_COORDINATOR_ADDRESS": f"{host}:{int(first) + stage}",
            "JAX_NUM_PROCESSES": variables["JAX_NUM_PROCESSES"],
            "JAX_PROCESS_ID": variables["JOB_COMPLETION_INDEX"],
        }
    return {}


def port(job: int, stage: int) -> int:
    """The coordinator's port for a SLURM job and a stage."""
    return PORT + (job * STAGES + stage) % PORTS


class Relay:
    """Signal handler that forwards signals to the run and records that one came."""

    def __init__(self):
        self.stopping = False
        self._child: subprocess.Popen | None = None

    def follow(self, child: subprocess.Popen) -> None:
        self._child = child
        if self.stopping:
            child.terminate()

    def receive(self, number: int, frame) -> None:
        # Send SIGTERM: SLURM and a terminal signal the run too, and a second SIGINT
        # would end it in mid-step.
        self.stopping = True
        if self._child is not None:
            self._child.terminate()


class _TaskRunner:
    """Runner of the attempts of one task."""

    def __init__(
        self, code: Path, environment: dict[str, str], task: RunTask, relay: Relay
    ):
        self._command, self._environment = command(code, task), environment
        self._task, self._relay = task, relay
        # Only the first host writes the run's log, as it has the run's lease.
        self._first = int(environment.get("JAX_PROCESS_ID", "0")) == 0

    def until_over(self, attempts: int) -> int:
        """Run up to `attempts` attempts; the exit code of the last."""
        code = CRASHED
        while attempts:
            self._await_lease()
            if self._relay.stopping:
                return exits.PREEMPTED
            code = self._attempt()
            if code in exits.FINAL and not self._lost_lease(code):
                return code
            if code == exits.PREEMPTED or self._relay.stopping:
                return exits.PREEMPTED
            if code not in exits.FINAL:
                attempts -= 1
                self._say(f"crashed with {code}, {attempts} attempts are left")
        return CRASHED

    def _await_lease(self) -> None:
        """Wait while another process, perhaps of a node thought dead, writes the
        run."""
        if not self._is_leased():
            return
        self._say(f"waiting for another process, which writes {self._task.workdir}")
        while self._is_leased() and not self._relay.stopping:
            time.sleep(LOOK)

    def _is_leased(self) -> bool:
        lanes = self._task.lanes if self._first else ()
        return any(rundir.is_leased(lane.workdir) for lane in lanes)

    def _lost_lease(self, code: int) -> bool:
        """Whether the run was refused because another process had its lease."""
        return code == exits.USAGE and self._is_leased()

    def _attempt(self) -> int:
        """Run one attempt; its exit code, negative if a signal ended it."""
        path = self._task.log if self._first else Path(os.devnull)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as log:
            child = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            self._relay.follow(child)
            pipes = child.stdout, log
            copier = threading.Thread(target=_copy, args=pipes, daemon=True)
            copier.start()
            code = child.wait()
            copier.join(DRAIN)
        return code

    def _say(self, text: str) -> None:
        print(f"{self._task.name}: {text}", file=sys.stderr, flush=True)


def _copy(output: IO[bytes], log: IO[bytes]) -> None:
    """Copy the run's output to its log and to stdout; a full disk must not block it."""
    with output:
        for part in iter(lambda: os.read(output.fileno(), 1 << 16), b""):
            for file in (log, sys.stdout.buffer):
                with contextlib.suppress(OSError, ValueError):  # ValueError: closed
                    file.write(part)
                    file.flush()


def main(arguments: Sequence[str]) -> int:
    path, index = arguments
    try:
        return run(*load(Path(path), int(index)))
    except UsageError as error:
        print(f"chain: {error}", file=sys.stderr)
        return exits.USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
