"""Local launcher: one process per task, in slots that share the machine's devices.

The launcher keeps no state: the run directories show which runs are done, stopped or
not begun. It may be killed at any moment; its runs then save and exit.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from bert_jax.run import exits
from bert_jax.sweep.cluster import leash as leashes
from bert_jax.sweep.cluster.slots import Slot
from bert_jax.sweep.cluster.task import RunTask, command, environment, join_lanes

POLL = 0.05  # seconds between polls of the processes
LOOK = 2.0  # seconds between checks of runs that another process writes

OVER = "over"  # done, or not to be started again
READY = "ready"
WAITING = "waiting"  # for another run
BUSY = "busy"  # written by a process of another launcher


class Running(NamedTuple):
    task: RunTask
    slot: Slot
    process: subprocess.Popen
    since: float  # time.monotonic(), unaffected by clock changes


class Event(NamedTuple):
    """Event of the launcher: a task began, or ended with a code."""

    task: RunTask
    code: int | None  # None: it began
    seconds: float
    again: bool  # it will be started again


class Local:
    """Launcher that runs tasks until none can be started.

    `look` returns OVER, READY, WAITING or BUSY for a task. A preempted task is started
    again, a crashed one up to `retries` times. A usage error or a divergence would
    repeat, so such a task is not.
    """

    def __init__(
        self,
        tasks: Sequence[RunTask],
        look: Callable[[RunTask], str],
        code: Path,
        folder: Path,
        slots: Sequence[Slot],
        retries: int,
    ):
        self._look, self._code = look, code
        self._environment = environment(folder)
        self._retries = retries
        self._free = list(slots)
        self._open = list(tasks)
        self._crashes: dict[str, int] = {}
        self.running: list[Running] = []
        self.codes: dict[str, int] = {}  # the last exit code of each task
        self._signals = 0
        self._signalled = False

    def run(self) -> Iterator[Event | None]:
        """Yield events, and None at every poll, so that progress can be drawn."""
        stale = True
        looked = 0.0
        with exits.handled(self._receive):
            try:
                while self.running or (self._open and not self._signals):
                    ended = list(self._ended())
                    yield from ended
                    stale = stale or bool(ended)
                    if stale or time.monotonic() - looked > LOOK:
                        looked, stale = time.monotonic(), False
                        yield from self._start()
                        if not self.running and not self._can_continue():
                            break
                    self._forward_signals()
                    yield None
                    time.sleep(POLL)
            finally:
                self._kill()

    @property
    def stopping(self) -> bool:
        return self._signals > 0

    def _can_continue(self) -> bool:
        """Whether any remaining task is ready or busy."""
        return any(self._state(task)[0] in (READY, BUSY) for task in self._open)

    def _state(self, task: RunTask) -> tuple[str, list[RunTask]]:
        """The state of a process, and the lanes that it would train: those that are
        READY."""
        states = {lane: self._look(lane) for lane in task.lanes}
        worst = (s for s in (BUSY, WAITING, READY) if s in states.values())
        return next(worst, OVER), [lane for lane in states if states[lane] == READY]

    def _start(self) -> Iterator[Event]:
        for task in list(self._open):
            if not self._free or self._signals:
                return
            state, left = self._state(task)
            if state == OVER:
                self._open.remove(task)
            elif state == READY:
                self._open.remove(task)
                running = self._spawn(join_lanes(left), self._free.pop(0))
                self.running.append(running)
                yield Event(running.task, None, 0.0, again=False)

    def _spawn(self, task: RunTask, slot: Slot) -> Running:
        task.log.parent.mkdir(parents=True, exist_ok=True)
        with task.log.open("ab") as log:
            process = self._popen(task, slot, log)
        return Running(task, slot, process, time.monotonic())

    def _popen(self, task: RunTask, slot: Slot, log: IO[bytes]) -> subprocess.Popen:
        cores = ",".join(map(str, slot.cores))
        leash = [sys.executable, leashes.__file__, str(os.getpid()), cores]
        # A new session: the terminal's Ctrl-C reaches the launcher alone.
        return subprocess.Popen(
            [*leash, *command(self._code, task)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=self._environment | slot.environment,
            start_new_session=True,
        )

    def _ended(self) -> Iterator[Event]:
        for running in list(self.running):
            code = running.process.poll()
            if code is None:
                continue
            self.running.remove(running)
            self._free.append(running.slot)
            self.codes[running.task.name] = code
            again = self._starts_again(running.task, code)
            if again:
                self._open.insert(0, running.task)
            yield Event(running.task, code, time.monotonic() - running.since, again)

    def _starts_again(self, task: RunTask, code: int) -> bool:
        if code in exits.FINAL or self._signals:
            return False
        if code == exits.PREEMPTED:
            return True
        self._crashes[task.name] = self._crashes.get(task.name, 0) + 1
        return self._crashes[task.name] <= self._retries

    def _receive(self, number: int, frame) -> None:
        self._signals += 1
        os.write(2, b"\nstopping: the runs save; again kills them\n")

    def _forward_signals(self) -> None:
        """Forward the first signal once; kill at the second.

        A process that is still starting has no handler yet and ends at once, which
        loses nothing.
        """
        if self._signals > 1:
            self._kill()
        elif self._signals and not self._signalled:
            self._signalled = True
            for running in self.running:
                running.process.send_signal(signal.SIGTERM)

    def _kill(self) -> None:
        for running in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.process.pid, signal.SIGKILL)
        for running in self.running:
            running.process.wait()
