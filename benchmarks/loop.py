"""What the loop of `launch.py train` adds to its compiled step.

  python -m benchmarks.loop --json=loop.json

One process holds a run and the bare step of the same config, compiled once. They take
turns of some steps: the loop of `launch.py train` (batches from its thread, transfers,
signals, metrics, logs to files and terminal; evaluating and saving are left out), and
the step alone on one batch that stays on the device. The text is of random words, made
here.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from ml_collections import FrozenConfigDict

from benchmarks import cases, ours, tables
from bert_jax.data.pipeline import Batch
from bert_jax.run import config as configs
from bert_jax.run.exits import Stopping
from bert_jax.train import loop, session, setup
from bert_jax.train.goodput import Goodput, SharedClock
from bert_jax.train.loop import Single
from bert_jax.train.parallel import placement
from bert_jax.train.setup import Setup
from bert_jax.train.state import TrainState
from bert_jax.train.training import Metrics

REACH, STRETCH = 0.03, 0.01  # of the bare step's time
WORDS, DOCUMENTS, SENTENCES = 20_000, 300, 100
NEVER = 10**9  # steps
CPU, GPU = ("configs/pretrain/bert_mini.py", 16), ("configs/pretrain/bert_base.py", 512)
Times = dict[str, list[float]]  # by side, of each round


def text() -> str:
    """Documents between blank lines; words as frequent as Zipf's law has them."""
    random = np.random.default_rng(0)
    letters = random.integers(97, 123, (WORDS, 8), np.uint8)
    lengths = random.integers(2, 9, WORDS)
    words = [bytes(row[:n]).decode() for row, n in zip(letters, lengths, strict=True)]
    ranks = random.zipf(1.2, (DOCUMENTS, SENTENCES, 20)) % WORDS
    return "\n\n".join(
        "\n".join(f"{' '.join(words[i] for i in row)}." for row in document)
        for document in ranks
    )


def config_of(folder: Path, given: argparse.Namespace) -> FrozenConfigDict:
    (folder / "text.txt").write_text(text())
    changes = {
        "data.corpus": "files",
        "data.files": folder / "text.txt",
        "data.documents": "blank_line",
        "data.cache": folder / "cache",
        "model.dtype": given.dtype,
        "train.batch": given.batch,
        "train.log_every": given.log_every,
        "train.save_every": NEVER,
        "train.steps": NEVER,
        "eval.batch": given.batch,
        "eval.every": NEVER,
        "optim.warmup_steps": 0,
    }
    text_of = {name: str(value) for name, value in changes.items()}
    return configs.load(given.config, text_of)


class Enough(Exception):
    """All turns were taken."""


class Turns(Single):
    """The runner of a run, in which the loop and the bare step of one fixed batch take
    turns of some steps. Both are timed."""

    def __init__(
        self, steps: int, rounds: int, setups: list[Setup], states: list[TrainState]
    ):
        super().__init__(setups, states)
        self._bare, self._taken = ours.initial(setups[0]), 0
        self._steps, self._all = steps, steps * (rounds + 1)
        self.clock: Times = {"bare": [], "loop": []}
        self.threads: Times = {"bare": [], "loop": []}

    def step(self, batches: list[Batch]) -> list[Metrics]:
        if self._taken % self._steps == 0:
            jax.block_until_ready(self._state)
            if self._taken:
                self._note("loop")
            if self._taken == self._all:
                raise Enough
            self._since = time.perf_counter(), time.process_time()
            self._take_bare(batches[0])
            self._note("bare")
            self._since = time.perf_counter(), time.process_time()
        self._taken += 1
        return super().step(batches)

    def _take_bare(self, batch: Batch) -> None:
        fixed = self._placement.batch(batch)
        for _ in range(self._steps):
            self._bare, _ = self._step(self._bare, fixed, self._scalars)
        jax.block_until_ready(self._bare)

    def _note(self, name: str) -> None:
        since, used = self._since
        self.clock[name].append((time.perf_counter() - since) / self._steps)
        self.threads[name].append((time.process_time() - used) / self._steps)


def measure(
    config: FrozenConfigDict, workdir: Path, steps: int, rounds: int
) -> tuple[Times, Times]:
    """Seconds of a step by round: on the clock, and of all the process's threads. The
    first round compiles, and is left out."""
    shared, turns = SharedClock(1), []

    def make_runner(setups: list[Setup], states: list[TrainState]) -> Turns:
        turns.append(Turns(steps, rounds, setups, states))
        return turns[0]

    with contextlib.ExitStack() as stack, contextlib.suppress(Enough):
        parent = session.hold(stack, config, workdir)
        assert parent is not None  # the run is not done
        parts, goodput = setup.build(config, workdir), Goodput(workdir, shared)
        run = session.Run(config, workdir, parent, parts, "", shared, goodput)
        stopping = stack.enter_context(Stopping(placement.any_host))
        loop.train(stack, [run], make_runner, stopping)
    clock, threads = (
        {name: seconds[1:] for name, seconds in times.items()}
        for times in (turns[0].clock, turns[0].threads)
    )
    return clock, threads


def overheads(times: Times) -> list[float]:
    """By round, as a share of the bare step."""
    pairs = zip(times["loop"], times["bare"], strict=True)
    return [ours / bare - 1 for ours, bare in pairs]


def verdict(overhead: float) -> str:
    if overhead <= STRETCH:
        return f"stretch of {100 * STRETCH:.0f} % reached"
    if overhead <= REACH:
        return f"reach of {100 * REACH:.0f} % reached, stretch not"
    return f"short of the {100 * REACH:.0f} % wanted"


def report(clock: Times, threads: Times, given: argparse.Namespace) -> str:
    names = {"bare": "the step alone", "loop": "the loop of launch.py train"}
    rows = [
        [names[name], tables.spread([1e3 * seconds for seconds in clock[name]])]
        for name in names
    ]
    what = f"{Path(given.config).stem}, batch {given.batch}, {given.dtype}"
    low, overhead, high = np.quantile(overheads(clock), [0.25, 0.5, 0.75])
    used = statistics.median(overheads(threads))
    return (
        f"{tables.markdown([what, 'ms a step'], rows)}\n\noverhead {100 * overhead:+.1f} "
        f"% (half of the rounds within {100 * low:+.1f} to {100 * high:+.1f}): "
        f"{verdict(overhead)}. Processor time {100 * used:+.1f} %. {given.rounds} rounds "
        f"of {given.steps} steps, a log every {given.log_every}."
    )


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    config, batch = GPU if cases.has_gpu() else CPU
    dtype = "bfloat16" if cases.has_gpu() else "float32"
    parser.add_argument("--config", default=config)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--dtype", default=dtype)
    parser.add_argument("--steps", type=int, default=10, help="of a turn")
    parser.add_argument("--log_every", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        config = config_of(Path(scratch), given)
        run = Path(scratch) / "run"
        clock, threads = measure(config, run, given.steps, given.rounds)
    print(report(clock, threads, given))
    device = jax.devices()[0].device_kind
    versions = [f"jax {jax.__version__}"]
    print(f"\n{tables.conditions([cases.processor(), device], versions)}")
    overhead = statistics.median(overheads(clock))
    numbers = {"seconds": clock, "processor_seconds": threads, "overhead": overhead}
    tables.write(given.json, numbers)


if __name__ == "__main__":
    main()
