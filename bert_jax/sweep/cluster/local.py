"""Runs on this machine, a process each, in slots that share its devices.

The launcher decides nothing that a repeated command could not decide again: what is
done, stopped or not begun is told by the run directories. It may be killed at any
moment, and its runs then save and leave.
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
from bert_jax.sweep.cluster.task import Task, command, environment, together

POLL = 0.05  # seconds between looks at the processes
LOOK = 2.0  # seconds between looks at runs that another process writes

OVER = "over"  # done, or not to be started any more
READY = "ready"
WAITING = "waiting"  # for another run
BUSY = "busy"  # written by a process that is not ours


class Running(NamedTuple):
    task: Task
    slot: Slot
    process: subprocess.Popen
    since: float  # of time.monotonic(), which no clock set back disturbs


class Event(NamedTuple):
    """What the launcher tells: a task began, or ended with a code."""

    task: Task
    code: int | None  # None: it began
    seconds: float
    again: bool  # it will be started again


class Local:
    """Runs tasks until none is left that may be started.

    `look` tells of a task whether it is OVER, READY, WAITING or BUSY. A task that was
    preempted is started again, one that crashed up to `retries` times; a mistake or a
    divergence would only repeat itself.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        look: Callable[[Task], str],
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
        self._asked = False

    def run(self) -> Iterator[Event | None]:
        """Yields what happens, and None at every look, so that it can be drawn."""
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
                        if not self.running and not self._may_go_on():
                            break
                    self._press()
                    yield None
                    time.sleep(POLL)
            finally:
                self._kill()

    @property
    def stopping(self) -> bool:
        return self._signals > 0

    def _may_go_on(self) -> bool:
        """Whether anything may still come of the tasks that are left."""
        return any(self._state(task)[0] in (READY, BUSY) for task in self._open)

    def _state(self, task: Task) -> tuple[str, list[Task]]:
        """That of a process, and the lanes that it would train: those that are over do
        not count."""
        found = {lane: self._look(lane) for lane in task.lanes}
        worst = (s for s in (BUSY, WAITING, READY) if s in found.values())
        return next(worst, OVER), [lane for lane in found if found[lane] == READY]

    def _start(self) -> Iterator[Event]:
        for task in list(self._open):
            if not self._free or self._signals:
                return
            state, left = self._state(task)
            if state == OVER:
                self._open.remove(task)
            elif state == READY:
                self._open.remove(task)
                running = self._spawn(together(left), self._free.pop(0))
                self.running.append(running)
                yield Event(running.task, None, 0.0, again=False)

    def _spawn(self, task: Task, slot: Slot) -> Running:
        task.log.parent.mkdir(parents=True, exist_ok=True)
        with task.log.open("ab") as log:
            process = self._popen(task, slot, log)
        return Running(task, slot, process, time.monotonic())

    def _popen(self, task: Task, slot: Slot, log: IO[bytes]) -> subprocess.Popen:
        cores = ",".join(map(str, slot.cores))
        leash = [sys.executable, leashes.__file__, str(os.getpid()), cores]
        # In a session of its own: the terminal's Ctrl-C reaches the launcher alone.
        return subprocess.Popen(
            [*leash, *command(self._code, task)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=self._environment | slot.environment,
            start_new_session=True,
        )

    def _ended(self) -> Iterator[Event]:
        for each in list(self.running):
            code = each.process.poll()
            if code is None:
                continue
            self.running.remove(each)
            self._free.append(each.slot)
            self.codes[each.task.name] = code
            again = self._starts_again(each.task, code)
            if again:
                self._open.insert(0, each.task)
            yield Event(each.task, code, time.monotonic() - each.since, again)

    def _starts_again(self, task: Task, code: int) -> bool:
        if code in exits.FINAL or self._signals:
            return False
        if code == exits.PREEMPTED:
            return True
        self._crashes[task.name] = self._crashes.get(task.name, 0) + 1
        return self._crashes[task.name] <= self._retries

    def _receive(self, number: int, frame) -> None:
        self._signals += 1
        os.write(2, b"\nstopping: the runs save; again kills them\n")

    def _press(self) -> None:
        """Passes the first signal on, once; a second kills. A process that is still
        starting has no handler yet and ends at once, which loses nothing."""
        if self._signals > 1:
            self._kill()
        elif self._signals and not self._asked:
            self._asked = True
            for each in self.running:
                each.process.send_signal(signal.SIGTERM)

    def _kill(self) -> None:
        for each in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(each.process.pid, signal.SIGKILL)
        for each in self.running:
            each.process.wait()
