"""metrics.jsonl (always), a progress bar or plain lines, TensorBoard; process 0 only."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorboardX
import tqdm

from bert_jax import files, rundir
from bert_jax.config import UsageError

Fetch = Callable[[Any], Mapping[str, float]]  # values on a device -> floats
UNIGRAM = "train/unigram_loss"
LEARNED = ("train/mlm_loss", "train/lm_loss")

# A plateau: in the last half of at least LOGS logs past warm-up, the mean of each
# SMOOTH consecutive ones is less than MARGIN nats below the unigram loss.
LOGS = 40
SMOOTH = 10
MARGIN = 0.05
PLATEAU = """\
plateau: the loss is still that of the unigram frequencies ({:.2f}) at step {}, {:.1f} M
tokens. Small models sit there for millions of tokens before they fall. Where this one
has seen enough, check optim.learning_rate (too high as often as too low), and
optim.warmup_steps and model.norm ("post" needs a lower rate or longer warm-up)."""


TARGETS = "train/targets"  # of every step, and not written down: how many it had


class Diverged(Exception):
    """The run ends with numbers that are not finite; the exit code is stop.DIVERGED."""


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
                Lines(workdir),
                TensorBoard(workdir, start),
                Progress(name, start, steps),
                Plateau(name, workdir, start, warmup, tokens_per_step),
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
    """What is written down of the metrics of a step: that it is finite goes unsaid."""
    left_out = (TARGETS, rundir.FINITE) if metrics[rundir.FINITE] else (TARGETS,)
    return {name: value for name, value in metrics.items() if name not in left_out}


def divergence(step: int, metrics: Mapping[str, float]) -> str:
    """What a person is told of a step after which no state is finite."""
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


class Sink:
    """Where metrics go."""

    def advance(self, step: int) -> None:
        pass

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        pass

    def close(self) -> None:
        pass


class Lines(Sink):
    def __init__(self, workdir: Path):
        self._path = workdir / rundir.METRICS
        self._file = rundir.append_metrics(workdir)

    def write(self, step, metrics):
        with files.naming(self._path):
            self._file.write(rundir.metrics_line(step, metrics))
            self._file.flush()

    def close(self):
        with contextlib.suppress(OSError):  # of what `write` could not write
            self._file.close()


class TensorBoard(Sink):
    """Only looked at: what cannot be written is told once, and metrics.jsonl is the
    record."""

    def __init__(self, workdir: Path, start: int):
        self._events: Any = None
        self._lost = False
        folder = workdir / rundir.TENSORBOARD
        with self._optional():
            folder.mkdir(exist_ok=True)
            files.write_bytes(folder / ".room", bytes(1 << 14))
            (folder / ".room").unlink()
            # What an interrupted process wrote from `start` on is about to be repeated.
            self._events = tensorboardX.SummaryWriter(str(folder), purge_step=start)
            with contextlib.suppress(
                AttributeError
            ):  # of another version of the library
                worker = self._events.file_writer.event_writer._worker
                worker._record_writer = _Outlived(worker._record_writer, self._optional)

    def write(self, step, metrics):
        with self._optional():
            for name, value in metrics.items():
                if self._events is not None and math.isfinite(value):
                    self._events.add_scalar(name, value, step)

    def close(self):
        with self._optional():
            if self._events is not None:
                self._events.close()

    @contextlib.contextmanager
    def _optional(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 (the library's, of any kind)
            self._events = None
            if not self._lost:
                self._lost = True
                say("", f"warning: nothing more goes to TensorBoard: {error}")


class _Outlived:
    """The library's writer of records, whose thread must not die: the queue before it
    would fill up, and the run wait for ever."""

    def __init__(self, records: Any, optional: Callable[[], Any]):
        self._records, self._optional = records, optional

    def write_event(self, event: Any) -> None:
        with self._optional():
            self._records.write_event(event)

    def flush(self) -> None:
        with self._optional():
            self._records.flush()


class Progress(Sink):
    """A bar on a terminal; elsewhere a line for each log."""

    def __init__(self, name: str, start: int, steps: int):
        self._name, self._steps = name, steps
        self._bar = tqdm.tqdm(
            total=steps,
            initial=start,
            unit="step",
            desc=name or None,
            dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
        )

    def advance(self, step):
        self._bar.update(step + 1 - self._bar.n)

    def write(self, step, metrics):
        shown = describe(metrics)
        if not shown:
            return
        if not self._bar.disable and "train/loss" in metrics:
            self._bar.set_postfix_str(shown)
        elif "time/step_ms" in metrics:
            seconds = (self._steps - step) * metrics["time/step_ms"] / 1e3
            left = tqdm.tqdm.format_interval(seconds)
            say(self._name, f"step {step}/{self._steps}  {shown}  {left} left")
        else:
            say(self._name, f"step {step}/{self._steps}  {shown}")

    def close(self):
        self._bar.close()


class Plateau(Sink):
    """Says once when the loss does not leave the unigram loss."""

    def __init__(
        self, name: str, workdir: Path, start: int, warmup: int, tokens_per_step: int
    ):
        self._name = name
        self._warmup, self._tokens = warmup, tokens_per_step
        self._gaps: list[float] = []
        self._said = False
        for step, metrics in rundir.read_metrics(workdir).items():
            if step < start:
                self._take(step, metrics)

    def write(self, step, metrics):
        if self._take(step, metrics) and not self._said and stays(self._gaps):
            tokens = step * self._tokens / 1e6
            say(self._name, PLATEAU.format(metrics[UNIGRAM], step, tokens))
            self._said = True

    def _take(self, step: int, metrics: Mapping[str, float]) -> bool:
        losses = [metrics[name] for name in LEARNED if name in metrics]
        if not losses or step < self._warmup:
            return False
        self._gaps.append(metrics[UNIGRAM] - losses[0])
        return True


def stays(gaps: list[float]) -> bool:
    """Whether the running mean has won nothing in the last half of enough logs."""
    if len(gaps) < LOGS:
        return False
    tail = np.asarray(gaps[len(gaps) // 2 :])
    means = np.convolve(tail, np.full(SMOOTH, 1 / SMOOTH), mode="valid")
    return bool(means.max() < MARGIN)


def describe(metrics: Mapping[str, float]) -> str:
    """The losses and the speed: `mlm 6.120  unigram 6.571  8.1k tokens/s`."""
    words = []
    for name, value in metrics.items():
        if name.startswith("valid/"):
            words.append(f"{name} {value:.3f}")
        elif name.startswith("train/") and name.endswith("loss"):
            words.append(f"{name[6:].removesuffix('_loss')} {value:.3f}")
        elif name == "time/tokens_per_s":
            words.append(f"{value / 1e3:.1f}k tokens/s")
    return "  ".join(words)


def say(name: str, text: str) -> None:
    """To stderr, above the bars if there are any; of a run with a name, that first."""
    tqdm.tqdm.write(f"{name}: {text}" if name else text, file=sys.stderr)
