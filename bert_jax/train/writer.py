"""Record of a run's metrics, fetched one log behind, and of its clock."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from bert_jax.run import rundir
from bert_jax.run.config import UsageError
from bert_jax.run.history import History
from bert_jax.train import sinks

Fetch = Callable[[Any], Mapping[str, float]]  # values on a device -> floats
TARGETS = "train/targets"  # of every step, and not written down: how many it had


class Diverged(Exception):
    """The run ends with numbers that are not finite; the exit code is exits.DIVERGED."""


class Writer:
    """Records a run. Values of training steps are fetched one log behind.

    `later` is called after every step, `flush` before anything slow (evaluating,
    saving), `write` with what evaluation found. `ideal_seconds` is what one step
    would take at the hardware's peak, 0 where the peak is not known; `now` tells the
    seconds, `elapsed` a metric of all there were. `name` stands before what a person is told. `untaught` is what to tell of a
    run whose first `examples` had no target.
    """

    def __init__(
        self,
        workdir: Path,
        history: History,
        *,
        primary: bool,
        fetch: Fetch,
        name: str,
        now: Callable[[], float],
        elapsed: Callable[[], Mapping[str, float]],
        start: int,
        steps: int,
        every: int,
        warmup: int,
        tokens_per_step: int,
        ideal_seconds: float,
        batch: int,
        examples: int,
        untaught: str,
    ):
        self._fetch, self._every, self._elapsed = fetch, every, elapsed
        enough = min(math.ceil(examples / batch), steps - start)
        self._lesson = Lesson(fetch, start + enough - 1, untaught)
        self._clock = Clock(now, tokens_per_step, ideal_seconds)
        self._pending: tuple[int, Any] | None = None  # logged, not yet fetched
        self._latest: tuple[int, Any] | None = None  # of the last step of all
        self._sinks: list[Any] = []
        if primary:
            self._sinks = [
                sinks.Lines(workdir),
                sinks.TensorBoard(workdir, start),
                sinks.Progress(name, start, steps),
                sinks.Plateau(name, history, start, warmup, tokens_per_step),
            ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        for sink in self._sinks:
            sink.close()

    def later(self, step: int, metrics: Any) -> None:
        """Takes a step's metrics; every `every` steps, writes those of the log before."""
        previous, self._latest = self._latest, (step, metrics)
        self._lesson.take(step, metrics)
        for sink in self._sinks:
            sink.advance(step)
        if not self._clock.running:
            self._clock.start(self._wait(self._latest))
        elif previous and step % self._every == 0:
            # Waiting for the step before this one leaves the device at work on this.
            self._write_pending(self._clock.lap(self._wait(previous)))
        if step % self._every == 0:
            self._pending = step, metrics

    def flush(self) -> None:
        """Waits for the last step and writes what is pending; the clock stands still."""
        if self._latest:
            self._write_pending(self._clock.lap(self._wait(self._latest)))
        self._latest = None
        self._clock.stop()

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes values at once."""
        for sink in self._sinks:
            sink.write(step, metrics)

    def _wait(self, latest: tuple[int, Any]) -> int:
        """Returns the step when the device has done it. Raises Diverged if the state
        after it is not finite, and UsageError if there was nothing to learn so far."""
        step, metrics = latest[0], self._fetch(latest[1])
        if not metrics[rundir.FINITE]:
            self._clock.stop()
            self._write_pending({})
            self.write(step, recorded(metrics))
            raise Diverged(divergence(step, metrics))
        self._lesson.check(step)
        return step

    def _write_pending(self, times: Mapping[str, float]) -> None:
        if self._pending:
            step, metrics = self._pending
            self._pending = None
            values = recorded(self._fetch(metrics))
            self.write(step, {**values, **times, **self._elapsed()})


def recorded(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics of a step that are written: all but the flag that it is finite."""
    left_out = (TARGETS, rundir.FINITE) if metrics[rundir.FINITE] else (TARGETS,)
    return {name: value for name, value in metrics.items() if name not in left_out}


def divergence(step: int, metrics: Mapping[str, float]) -> str:
    """Message about a step after which the state is not finite."""
    loss = metrics["train/loss"]
    what = f"train/loss is {loss}"
    if math.isfinite(loss):
        what = f"the update is not finite (train/loss {loss:.4g})"
    skipped = ""
    if "train/skipped" in metrics:
        skipped = f", the last of too many skipped in a row ({metrics['train/skipped']:.0f} in all)"
    return (
        f"{what} at step {step}{skipped}: lower optim.learning_rate or lengthen "
        "optim.warmup_steps. The checkpoints are from before; the same command would "
        "go on from the newest and end here again"
    )


class Lesson:
    """Whether the steps so far had any target to learn from."""

    def __init__(self, fetch: Fetch, last: int, untaught: str):
        self._fetch, self._last, self._untaught = fetch, last, untaught
        self._steps: dict[int, Any] | None = {}  # until one had a target

    def take(self, step: int, metrics: Any) -> None:
        if self._steps is not None:
            self._steps[step] = metrics

    def check(self, step: int) -> None:
        """Looks at the steps up to this one. Raises UsageError at the last without any
        target."""
        if self._steps is None:
            return
        done = [number for number in self._steps if number <= step]
        metrics = [self._fetch(self._steps.pop(number)) for number in done]
        if any(each[TARGETS] > 0 for each in metrics):
            self._steps = None
        elif step >= self._last:
            raise UsageError(f"no target in any step up to {step}: {self._untaught}")


class Clock:
    """Time per step between two moments at which the device was done."""

    def __init__(
        self, now: Callable[[], float], tokens_per_step: int, ideal_seconds: float
    ):
        self._now, self._tokens, self._ideal = now, tokens_per_step, ideal_seconds
        self.running = False

    def start(self, step: int) -> None:
        self.running, self._since, self._step = True, self._now(), step

    def stop(self) -> None:
        self.running = False

    def lap(self, step: int) -> dict[str, float]:
        """The mean over the steps since the last lap; nothing of no steps."""
        steps, elapsed = step - self._step, self._now() - self._since
        self.start(step)
        if steps == 0:
            return {}
        seconds = elapsed / steps
        times = {"step_ms": 1e3 * seconds, "tokens_per_s": self._tokens / seconds}
        if self._ideal:
            times["mfu"] = self._ideal / seconds
        return {f"time/{name}": value for name, value in times.items()}
