"""A side of a benchmark in a process of its own, which takes steps when it is told to.

Sides that share a machine but no process share no allocator and no threads, and one
that dies takes no other with it. The parent sends a number of steps, the worker answers
with the seconds that they took; so the turns of several workers interleave.
"""

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LONGEST_REASON = 160  # characters
# JAX would take three quarters of a GPU at once, and never more.
SHARED_MEMORY = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95",
}


class Stepper(NamedTuple):
    """What a side's `build` gives.

    run: takes so many steps, and waits for the last; fetches nothing in between.
    memory: the most bytes that were held so far, of the device, on a CPU of the process.
    about: what the table should say: "device", "versions".
    """

    run: Callable[[int], None]
    memory: Callable[[], int]
    about: dict[str, str]


class Failed(Exception):
    """A side can't go on; the text is the reason, for a line of the table."""


class Worker(NamedTuple):
    process: subprocess.Popen
    connection: Connection
    log: Path


@contextlib.contextmanager
def running(
    python: str,
    module: str,
    arguments: tuple,
    log: Path,
    environment: Mapping[str, str],
    root: Path = ROOT,
) -> Generator[Worker]:
    """A worker that calls `module.build(*arguments)` when it is first asked.

    `environment` is added to that of this process. `root` is the checkout whose code it
    runs.
    """
    ours, theirs = Pipe()
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    with log.open("wb") as file:
        process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", str(theirs.fileno())],
            cwd=root,
            pass_fds=[theirs.fileno()],
            process_group=0,  # what it starts is stopped with it
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **SHARED_MEMORY, **environment, "PYTHONPATH": path},
        )
    theirs.close()
    ours.send((module, arguments))
    try:
        yield Worker(process, ours, log)
    finally:
        ours.close()
        _end(process, 5)


def ask(worker: Worker, steps: int, seconds: float) -> dict[str, Any]:
    """Has it take so many steps: {"seconds": ..., "memory": ..., "about": ...}.

    Raises Failed where it did not answer in so many seconds, died, or gave up; the
    process has ended then.
    """
    try:
        worker.connection.send(steps)
        if not worker.connection.poll(seconds):
            raise Failed(f"no answer in {seconds:.0f} s")
        answer = worker.connection.recv()
    except Failed:
        _end(worker.process, 0)
        raise
    except (EOFError, OSError):
        code = _end(worker.process, 5)
        raise Failed(f"ended with {code}: {_last_line(worker.log)}") from None
    if "failed" in answer:
        _end(worker.process, 30)
        raise Failed(answer["failed"])
    return answer


def _end(process: subprocess.Popen, seconds: float) -> int:
    """Waits so long for its end, and then kills it and what it started; its code."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:LONGEST_REASON] if lines else "it said nothing"


def serve(end: int) -> None:
    """The life of a worker: it ends when the parent hangs up."""
    connection = Connection(end)
    try:
        module, arguments = connection.recv()
        steps = connection.recv()
        stepper: Stepper = importlib.import_module(module).build(*arguments)
        while True:
            since = time.perf_counter()
            stepper.run(steps)
            seconds = time.perf_counter() - since
            answer = {"seconds": seconds, "memory": stepper.memory()}
            connection.send(answer | {"about": stepper.about})
            steps = connection.recv()
    except (EOFError, ConnectionError):
        return
    except Exception as error:  # whatever it is, it is this side's line of the table
        lines = str(error).strip().splitlines() or [""]
        reason = f"{type(error).__name__}: {lines[0]}"
        connection.send({"failed": reason[:LONGEST_REASON]})
        raise


if __name__ == "__main__":
    serve(int(sys.argv[1]))
