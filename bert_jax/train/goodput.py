"""Goodput: seconds of a run by phase, added up over its processes."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bert_jax.run import history, rundir

PREFIX = "time/goodput/"
ELAPSED = "time/elapsed"  # of all phases together, in every line with a loss
TAIL = 2**16  # bytes that hold the last lines of metrics.jsonl

# start: until the first batch is asked for. compile: the first step of a process, which
# it waits for. data_wait: for a batch, with nothing for the device to do. restart_loss:
# all since the checkpoint that a process went on from, which it does again.
PHASES = (
    "start",
    "compile",
    "data_wait",
    "step",
    "evaluation",
    "save",
    "restart_loss",
)


class SharedClock:
    """Seconds that a run has cost: each moment is shared by the lanes still at work."""

    def __init__(self, lanes: int):
        self.lanes = lanes
        self._seconds, self._since = 0.0, time.perf_counter()

    def __call__(self) -> float:
        now = time.perf_counter()
        self._seconds += (now - self._since) / max(self.lanes, 1)
        self._since = now
        return self._seconds

    def leave(self) -> None:
        """Divide the time among one lane less from now on."""
        self()
        self.lanes -= 1


class Goodput:
    """Seconds of each phase of a run; `enter` says what is done from then on.

    Made when a process begins with the run, before anything is read. Of lanes each has
    its share of every second, and what another lane evaluates is a step to it.
    """

    def __init__(self, workdir: Path, now: Callable[[], float]):
        self._now, self._since, self._phase = now, now(), "start"
        self._reached = _reached(workdir / rundir.METRICS)
        self._seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)

    def resume(self, saved: Mapping[str, float]) -> None:
        """Adds what went before, as the line of the step to go on from has it."""
        before = {name: saved.get(PREFIX + name, 0.0) for name in PHASES}
        lost = max(self._reached - sum(before.values()), 0.0)
        for name in PHASES:
            self._seconds[name] += before[name] + lost * (name == "restart_loss")

    def enter(self, phase: str) -> None:
        now = self._now()
        self._seconds[self._phase] += now - self._since
        self._phase, self._since = phase, now

    def enter_step(self, *, idle: bool) -> None:
        """Ends a wait for data, in which nothing was lost unless the device was idle."""
        self._phase = self._phase if idle else "step"
        self.enter("step")

    def seconds(self) -> dict[str, float]:
        """Seconds by phase, up to now."""
        self.enter(self._phase)
        return dict(self._seconds)

    def elapsed(self) -> dict[str, float]:
        return {ELAPSED: sum(self.seconds().values())}

    def metrics(self) -> dict[str, float]:
        """The values that `resume` reads again."""
        found = self.seconds()
        named = {PREFIX + name: value for name, value in found.items()}
        return named | {ELAPSED: sum(found.values())}


def describe(seconds: Mapping[str, float]) -> str:
    """`goodput 93.1 % of 120.0 s: start 2.0 s, ...`: the share that went into steps."""
    total = sum(seconds.values())
    parts = ", ".join(
        f"{name.replace('_', ' ')} {value:.1f} s"
        for name, value in seconds.items()
        if name != "step"
    )
    return f"goodput {100 * seconds['step'] / total:.1f} % of {total:.1f} s: {parts}"


def _reached(path: Path) -> float:
    """The seconds that earlier processes told last."""
    elapsed = (row[ELAPSED] for row in history.tail(path, TAIL) if ELAPSED in row)
    return next(elapsed, 0.0)
