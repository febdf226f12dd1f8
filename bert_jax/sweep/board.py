"""Live table of a running sweep: step and loss of each run, and the time left."""

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bert_jax.run import exits, history, rundir
from bert_jax.sweep import estimate, states
from bert_jax.sweep.cluster.local import Event, Local
from bert_jax.sweep.plan import PlannedRun

REDRAW = 0.5  # seconds, on a terminal
LINE = 30.0  # seconds between lines elsewhere
TAIL = 4096  # bytes read from the end of metrics.jsonl
ENDS = {
    exits.DONE: "done",
    exits.USAGE: "refused",
    exits.PREEMPTED: "stopped and saved",
    exits.DIVERGED: "diverged",
    exits.STALLED: "stalled",
}


class Board:
    """Progress display of a sweep on stderr: a live table on a terminal, else lines."""

    def __init__(self, folder: Path, runs: Sequence[PlannedRun], local: Local):
        self._folder, self._local = folder, local
        self._runs = {run.name: run for run in runs}
        self._work = {run.name: estimate.relative_work(run) for run in runs}
        self._ended = {
            r.name for r in runs if states.sweep_state(folder, r) in states.ENDED
        }
        self._since, self._drawn = time.monotonic(), 0.0
        self._begun = self._done_work()
        self._height = 0
        self._live = sys.stderr.isatty()

    def show(self, event: Event | None) -> None:
        """Print an event, and redraw the table at intervals."""
        if event is not None:
            if event.code is not None and not event.again:
                self._ended |= {lane.name for lane in event.task.lanes}
            self._clear()
            print(self._sentence(event), file=sys.stderr, flush=True)
            self._drawn = 0.0 if self._live else self._drawn
        if time.monotonic() - self._drawn > (REDRAW if self._live else LINE):
            self._drawn = time.monotonic()
            self._draw()

    def close(self) -> None:
        self._clear()

    def _sentence(self, event: Event) -> str:
        name, code = event.task.title, event.code
        if code is None:
            return f"{name}: begun"
        end = ENDS.get(code, f"crashed with {code}")
        if code < 0:
            end = f"killed by signal {-code}"
        text = f"{name}: {end} after {_duration(event.seconds)}"
        text += "; again" if event.again else ""
        if code in (exits.DONE, exits.PREEMPTED):
            return text
        return f"{text}: {last_line(event.task.log)} ({event.task.log})"

    def _draw(self) -> None:
        lanes = [lane for item in self._local.running for lane in item.task.lanes]
        rows = [self._row(lane.name) for lane in lanes]
        summary = self._summary()
        if not self._live:
            print("; ".join([summary, *rows]), file=sys.stderr, flush=True)
            return
        width = shutil.get_terminal_size().columns
        self._clear()
        lines = [line[: width - 1] for line in [*rows, summary]]
        self._height = len(lines)
        os.write(2, ("\n".join(lines) + "\n").encode())

    def _clear(self) -> None:
        """Erase the table, so that it is drawn in the same place."""
        if self._height:
            os.write(2, f"\x1b[{self._height}A\x1b[J".encode())
            self._height = 0

    def _row(self, name: str) -> str:
        train = self._runs[name].config.train
        of = "" if train.epochs else f" of {train.steps}"
        return f"  {name}  {progress(self._folder / name)}{of}"

    def _summary(self) -> str:
        done, total = self._done_work(), sum(self._work.values())
        rate = (done - self._begun) / max(time.monotonic() - self._since, 1e-9)
        left = f", {_duration((total - done) / rate)} left" if rate else ""
        over = len(self._ended)
        return f"{over} of {len(self._runs)} runs ended{left}"

    def _done_work(self) -> float:
        """Work done, including that of stopped runs."""
        return sum(self._share(name) * work for name, work in self._work.items())

    def _share(self, name: str) -> float:
        train = self._runs[name].config.train
        if name in self._ended:
            return 1.0
        step = last_metrics(self._folder / name).get("step", 0)
        return 0.0 if train.epochs else min(step / train.steps, 1.0)


def progress(workdir: Path) -> str:
    """`loss 5.250  step 3000`, from the last line of a running run's metrics."""
    latest = last_metrics(workdir)
    if not latest:
        return "starting"
    return f"loss {latest['train/loss']:.3f}  step {latest['step']:.0f}"


def last_metrics(workdir: Path) -> Mapping[str, float]:
    """The last complete line of metrics.jsonl with a training loss, {} if none."""
    rows = history.tail(workdir / rundir.METRICS, TAIL)
    return next((row for row in rows if "train/loss" in row), {})


def last_line(path: Path) -> str:
    """The last line of a log that is not blank, "" if none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
