"""What the loop of `launch.py train` adds to its compiled step.

  python -m benchmarks.loop --json=loop.json

One process holds a run and the bare step of the same config, compiled once. They take
turns of some steps: the loop as `train.protocol` has it (batches from its thread,
transfers, signals, metrics, logs to files and terminal; evaluating and saving are left
out), and the step alone on one batch that stays on the device. The text is of random
words, made here.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from ml_collections import FrozenConfigDict

from benchmarks import cases, ours, tables
from bert_jax.run import config as configs
from bert_jax.run.exits import Stopping
from bert_jax.train import evaluate, restore, session, setup, state
from bert_jax.train import loop as train
from bert_jax.train.goodput import Goodput
from bert_jax.train.parallel import placement

REACH, STRETCH = 0.03, 0.01  # of the bare step's time
WORDS, DOCUMENTS, SENTENCES = 20_000, 300, 100
NEVER = 10**9  # steps
CPU, GPU = ("configs/pretrain/bert_mini.py", 16), ("configs/pretrain/bert_base.py", 512)
Times = dict[str, list[float]]  # by side, of each round
Turn = Callable[[int], None]  # takes so many steps, and waits for the last


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


def sides(
    stack: contextlib.ExitStack, config: FrozenConfigDict, workdir: Path
) -> dict[str, Turn]:
    """The loop, put together as `train.run` does, and the step alone."""
    parent = session.hold(stack, config, workdir)
    assert parent is not None  # the run is not done
    parts = setup.build(config, workdir)
    goodput = Goodput(workdir, time.perf_counter)
    run = session.Run(config, workdir, parent, parts, "", time.perf_counter, goodput)
    checkpoints = stack.enter_context(train.opened(run))
    stopping = stack.enter_context(Stopping(placement.any_host))
    current, first = restore.restore_or_init(parts, checkpoints, session.say)
    place, own = parts.placement, state.own(parts.config)
    step, evaluation = place.step(train.step_of(parts)), evaluate.compiled(parts)
    protocol = train.protocol(
        run, checkpoints, first, lambda: current, evaluation, stopping
    )
    stack.callback(protocol.close)
    batch = next(protocol)
    alone, fixed = ours.initial(parts), place.batch(batch)

    def loop(steps: int) -> None:
        nonlocal current, batch
        for _ in range(steps):
            current, metrics = step(current, place.batch(batch), own)
            over = metrics["loss"].is_ready
            batch = protocol.send(train.Said(lambda metrics=metrics: metrics, over))
        jax.block_until_ready(current)

    def bare(steps: int) -> None:
        nonlocal alone
        for _ in range(steps):
            alone, _ = step(alone, fixed, own)
        jax.block_until_ready(alone)

    return {"bare": bare, "loop": loop}


def measure(turns: dict[str, Turn], steps: int, rounds: int) -> tuple[Times, Times]:
    """Seconds of a step by round: on the clock, and of all the process's threads."""
    clock: Times = {name: [] for name in turns}
    threads: Times = {name: [] for name in turns}
    for number in range(rounds + 1):
        for name in list(turns)[:: -1 if number % 2 else 1]:
            since, used = time.perf_counter(), time.process_time()
            turns[name](steps)
            if number:  # the first round compiles
                clock[name].append((time.perf_counter() - since) / steps)
                threads[name].append((time.process_time() - used) / steps)
    return clock, threads


def overheads(times: Times) -> list[float]:
    """By round, as a share of the bare step."""
    pairs = zip(times["loop"], times["bare"], strict=True)
    return [loop / bare - 1 for loop, bare in pairs]


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
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        config = config_of(Path(scratch), given)
        turns = sides(stack, config, Path(scratch) / "run")
        clock, threads = measure(turns, given.steps, given.rounds)
    print(report(clock, threads, given))
    device = jax.devices()[0].device_kind
    versions = [f"jax {jax.__version__}"]
    print(f"\n{tables.conditions([cases.processor(), device], versions)}")
    overhead = statistics.median(overheads(clock))
    numbers = {"seconds": clock, "processor_seconds": threads, "overhead": overhead}
    tables.write(given.json, numbers)


if __name__ == "__main__":
    main()
