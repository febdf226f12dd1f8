"""Sinks of metrics: metrics.jsonl, a progress bar or lines, TensorBoard."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorboardX
import tqdm

from bert_jax.run import files, rundir
from bert_jax.run.history import History

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


class Sink:
    """Receiver of metrics."""

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
    """TensorBoard files; a failure to write is told once, and metrics.jsonl is the
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
                events = self._events.file_writer.event_writer
                records = _Outlived(events._ev_writer, self._optional)
                events._ev_writer = events._worker._record_writer = records

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
                text = " ".join(str(error).split())
                say("", f"warning: nothing more goes to TensorBoard: {text}")


class _Outlived:
    """The library's writer of records, whose failure must not end its thread, or the
    queue before it would fill up and the run wait for ever; nor stop the library from
    closing it as the process exits, or that would print a traceback."""

    def __init__(self, records: Any, optional: Callable[[], Any]):
        self._records, self._optional = records, optional

    def write_event(self, event: Any) -> None:
        with self._optional():
            self._records.write_event(event)

    def flush(self) -> None:
        with self._optional():
            self._records.flush()

    def close(self) -> None:
        with self._optional():
            self._records.close()


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
        self, name: str, history: History, start: int, warmup: int, tokens_per_step: int
    ):
        self._name = name
        self._warmup, self._tokens = warmup, tokens_per_step
        self._gaps: list[float] = []
        self._warned = False
        for step, metrics in history.items():
            if step < start:
                self._take(step, metrics)

    def write(self, step, metrics):
        if self._take(step, metrics) and not self._warned and stays(self._gaps):
            tokens = step * self._tokens / 1e6
            say(self._name, PLATEAU.format(metrics[UNIGRAM], step, tokens))
            self._warned = True

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
    """Print to stderr, above any bars, after the name of a run that has one."""
    tqdm.tqdm.write(f"{name}: {text}" if name else text, file=sys.stderr)
