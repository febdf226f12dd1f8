"""Runs that follow each other in one place: a pretraining, and what starts from it.

    python -P -m bert_jax.sweep.cluster.chain FILE.json INDEX

is what every SLURM job and every pod runs; -P keeps the folder that it is called in
from being imported instead of the snapshot on PYTHONPATH. No state is kept: a run that
is done leaves at once.
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
from bert_jax.sweep.cluster.task import Task, command, environment

CRASHED = 1  # what any crash of a run becomes: above 128 a chain was killed itself
LOOK = 1.0  # seconds between looks at a run that another process writes
DRAIN = 5.0  # seconds for what a run said last; its workers may keep the pipe open

# Where the hosts of a stage meet. Of jobs that share a node, the numbers differ by less
# than PORTS / STAGES. All are below those that Linux gives away by itself.
PORT, PORTS, STAGES = 10_000, 20_000, 32


class SavedTask(TypedDict):
    name: str
    workdir: str
    needs: str
    beside: NotRequired[list["SavedTask"]]


class Saved(TypedDict):
    """A file of chains."""

    code: str
    folder: str
    retries: int
    chains: list[list[SavedTask]]


def name(tasks: Sequence[Task]) -> str:
    """`ARM/seed_S`, of which all the chain's tasks are stages."""
    return tasks[0].name.rpartition("/")[0]


def save(
    path: Path, code: Path, folder: Path, chains: Sequence[Sequence[Task]], retries: int
) -> None:
    """Chains for `load`, in places that do not depend on the working directory."""
    saved = {
        "code": str(code.absolute()),
        "folder": str(folder.absolute()),
        "retries": retries,
        "chains": [[_written(task) for task in chain] for chain in chains],
    }
    files.write_json(path, files.checked(saved))


def _written(task: Task) -> dict[str, Any]:
    beside = [_written(lane) for lane in task.beside]
    workdir = str(task.workdir.absolute())
    return {**task._asdict(), "workdir": workdir, "beside": beside}


def _read(saved: SavedTask) -> Task:
    beside = tuple(_read(lane) for lane in saved.get("beside", []))
    return Task(saved["name"], Path(saved["workdir"]), saved["needs"], beside)


def names(saved: Sequence[SavedTask]) -> list[str]:
    """Those of all runs of a chain, as `read` gives it."""
    return [lane.name for task in map(_read, saved) for lane in task.lanes]


def load(path: Path, index: int) -> tuple[Path, Path, tuple[Task, ...], int]:
    """The arguments of `run` for one chain of the file. Raises UsageError."""
    saved = read(path)
    if not 0 <= index < len(saved["chains"]):
        raise UsageError(f"{path} has {len(saved['chains'])} chains, and no {index}")
    tasks = tuple(_read(each) for each in saved["chains"][index])
    return Path(saved["code"]), Path(saved["folder"]), tasks, saved["retries"]


def read(path: Path) -> Saved:
    """What `save` wrote. Raises UsageError."""
    return files.read_json(path, Saved)


def run(code: Path, folder: Path, tasks: Sequence[Task], retries: int) -> int:
    """Runs the tasks in order by the launch.py of `code`; an exit code of `stop`.

    A task that crashed is started again up to `retries` times. One that needs another
    which did not end well is passed over; the first code that is not 0 is returned.
    """
    codes: dict[str, int] = {}
    relay = Relay()
    with exits.handled(relay.receive):
        for index, task in enumerate(tasks):
            if codes.get(task.needs, exits.DONE) != exits.DONE:
                codes[task.name] = codes[task.needs]
                continue
            hosts = join(index)
            # Hosts that lost one fail and start together, by whoever started them.
            attempts = 1 if hosts else 1 + retries
            start = _Start(code, environment(folder) | hosts, task, relay)
            last = start.until_over(attempts)
            if last == exits.PREEMPTED:
                return exits.PREEMPTED
            codes |= {lane.name: _code_of(lane, task, last) for lane in task.lanes}
    return next((code for code in codes.values() if code), exits.DONE)


def _code_of(lane: Task, task: Task, code: int) -> int:
    """Of a process of lanes that failed, some may be done."""
    done = task.beside and (lane.workdir / rundir.RESULT).is_file()
    return exits.DONE if done else code


def join(stage: int) -> dict[str, str]:
    """What jax.distributed reads to join the hosts of a chain; {} for a single one.

    Of SLURM's step, or of a JobSet's pod (which is given its coordinator's address).
    """
    given = os.environ
    if int(given.get("SLURM_NTASKS", "1")) > 1:
        show = ["scontrol", "show", "hostnames", given["SLURM_JOB_NODELIST"]]
        nodes = subprocess.run(show, check=True, capture_output=True, text=True)
        at = port(int(given["SLURM_JOB_ID"]), stage)
        return {
            "JAX_COORDINATOR_ADDRESS": f"{nodes.stdout.split()[0]}:{at}",
            "JAX_NUM_PROCESSES": given["SLURM_NTASKS"],
            "JAX_PROCESS_ID": given["SLURM_PROCID"],
        }
    if "JOB_COMPLETION_INDEX" in given and "JAX_COORDINATOR_ADDRESS" in given:
        host, _, first = given["JAX_COORDINATOR_ADDRESS"].rpartition(":")
        return {
            "JAX_COORDINATOR_ADDRESS": f"{host}:{int(first) + stage}",
            "JAX_NUM_PROCESSES": given["JAX_NUM_PROCESSES"],
            "JAX_PROCESS_ID": given["JOB_COMPLETION_INDEX"],
        }
    return {}


def port(job: int, stage: int) -> int:
    return PORT + (job * STAGES + stage) % PORTS


class Relay:
    """Hands a signal on to the run, and remembers that one came."""

    def __init__(self):
        self.stopping = False
        self._child: subprocess.Popen | None = None

    def follow(self, child: subprocess.Popen) -> None:
        self._child = child
        if self.stopping:
            child.terminate()

    def receive(self, number: int, frame) -> None:
        # As SIGTERM: SLURM and a terminal signal the run too, and a second SIGINT
        # would end it in mid-step.
        self.stopping = True
        if self._child is not None:
            self._child.terminate()


class _Start:
    """One task, with all that starting it takes."""

    def __init__(self, code: Path, given: dict[str, str], task: Task, relay: Relay):
        self._command, self._environment = command(code, task), given
        self._task, self._relay = task, relay
        # Like the run's lease, its log belongs to the first host.
        self._first = int(given.get("JAX_PROCESS_ID", "0")) == 0

    def until_over(self, attempts: int) -> int:
        """The code of the last attempt."""
        code = CRASHED
        while attempts:
            self._await_lease()
            if self._relay.stopping:
                return exits.PREEMPTED
            code = self._once()
            if code in exits.FINAL and not self._lost_lease(code):
                return code
            if code == exits.PREEMPTED or self._relay.stopping:
                return exits.PREEMPTED
            if code not in exits.FINAL:
                attempts -= 1
                self._say(f"crashed with {code}, {attempts} attempts are left")
        return CRASHED

    def _await_lease(self) -> None:
        """Another process may still write the run, perhaps of a node thought dead."""
        if not self._held():
            return
        self._say(f"waiting for another process, which writes {self._task.workdir}")
        while self._held() and not self._relay.stopping:
            time.sleep(LOOK)

    def _held(self) -> bool:
        lanes = self._task.lanes if self._first else ()
        return any(rundir.is_held(lane.workdir) for lane in lanes)

    def _lost_lease(self, code: int) -> bool:
        """Whether the run was refused because another process came first."""
        return code == exits.USAGE and self._held()

    def _once(self) -> int:
        """One attempt's exit code; below 0 a signal ended it."""
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


def _copy(said: IO[bytes], log: IO[bytes]) -> None:
    """What the run says, to its log and onwards; a full disk must not block it."""
    with said:
        for part in iter(lambda: os.read(said.fileno(), 1 << 16), b""):
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
