"""This checkout beside an earlier one, in paired rounds: what a change costs.

  git worktree add ../before 9e18c17
  python -m benchmarks.versions --before=../before --files='novels/*.txt'

In turns: steps of small-128 on one batch; batches of made-up text, of all kinds of
pairs; preparing a corpus into an empty cache, with a vocabulary that is there. A ratio
is the time of this checkout over that of the other one, round by round. Then, of this
checkout alone, the seconds in which a run of base size is opened for predict.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax

from benchmarks import cases, tables, worker
from benchmarks.cases import Side
from benchmarks.worker import ROOT
from bert_jax.data import store
from bert_jax.predict import model
from bert_jax.run import config as configs
from bert_jax.run import hugepages

PATIENCE = 3600.0  # seconds
ROW, DROPOUT = "small-128", 0.1

Turn = Callable[[Path], float]  # a checkout -> seconds


def pairs(before: Path, rounds: int, turn: Turn) -> list[tuple[float, float]]:
    """(this checkout, the other one) of each round, which goes first in turn."""
    found = []
    for number in range(rounds):
        order = [ROOT, before][:: -1 if number % 2 else 1]
        seconds = {root: turn(root) for root in order}
        found.append((seconds[ROOT], seconds[before]))
    return found


def steps(before: Path, rounds: int, count: int) -> list[tuple[float, float]]:
    case = cases.case_of(ROW, cases.BATCHES[ROW], DROPOUT)
    large = hugepages.environment(os.environ, hugepages.KERNEL)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        arguments = case, Side("ours", "float32")
        workers = {
            root: stack.enter_context(
                worker.running(
                    *(sys.executable, "benchmarks.ours", arguments),
                    *(folder / root.name, large, root),
                )
            )
            for root in (ROOT, before)
        }
        for one in workers.values():
            worker.ask(one, 5, PATIENCE)

        def turn(root: Path) -> float:
            return worker.ask(workers[root], count, PATIENCE)["seconds"]

        return pairs(before, rounds, turn)


def batches(before: Path, rounds: int) -> list[tuple[float, float]]:
    def turn(root: Path) -> float:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pipeline.json"
            run(root, "-m", "benchmarks.pipeline", "--repeats=2", f"--json={path}")
            rows = json.loads(path.read_text())["rows"]
        return sum(1 / row["batches_per_s"] for row in rows)

    return pairs(before, rounds, turn)


def preparing(before: Path, rounds: int, files: str) -> list[tuple[float, float]]:
    known = {"data.corpus": "files", "data.files": files}
    with tempfile.TemporaryDirectory() as place:
        cache = {"data.cache": str(Path(place) / "first")}
        config = configs.load("configs/pretrain/bert_base.py", known | cache)
        vocabulary = store.prepare(config).directory / "tokenizer.json"

        def turn(root: Path) -> float:
            with tempfile.TemporaryDirectory() as folder:
                values = known | {"data.cache": folder}
                values |= {"tokenizer.path": str(vocabulary)}
                flags = [f"--config.{key}={value}" for key, value in values.items()]
                config = "--config=configs/pretrain/bert_base.py"
                return run(root, "launch.py", "prepare", config, *flags)

        return pairs(before, rounds, turn)


def run(root: Path, *arguments: str) -> float:
    """The seconds of a command in a checkout."""
    begun = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(root)}
    subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - begun


def opening(workdir: Path) -> list[float]:
    """Seconds from a directory to a model, three times in this process."""
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        jax.block_until_ready(model.load(workdir).params)
        seconds.append(time.perf_counter() - begun)
    return seconds


def row(what: str, found: list[tuple[float, float]]) -> list[str]:
    ours, theirs = zip(*found, strict=True)
    ratios = [100 * (one / other - 1) for one, other in found]
    middle, least, most = statistics.median(ratios), min(ratios), max(ratios)
    change = f"{middle:+.1f} % ({least:+.1f} to {most:+.1f})"
    return [what, tables.spread(ours), tables.spread(theirs), change]


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--before", type=Path, required=True, help="a checkout")
    parser.add_argument("--files", required=True, help="to be prepared")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="of one round")
    parser.add_argument("--base", type=Path, help="a run of base size, to be opened")
    given = parser.parse_args()
    before, rounds = given.before.resolve(), given.rounds
    files = str(Path(given.files).absolute())
    rows = [row(f"{given.steps} steps", steps(before, rounds, given.steps))]
    rows.append(row("8 x 40 batches", batches(before, rounds)))
    rows.append(row("prepare", preparing(before, rounds, files)))
    header = ["what", "seconds", "before", "change by round"]
    print(tables.markdown(header, rows))
    if given.base:
        seconds = opening(given.base)
        print(f"\nopened for predict in {tables.spread(seconds)} s")
    versions = [f"jax {jax.__version__}"]
    print(f"\n{tables.conditions([cases.processor()], versions)}")


if __name__ == "__main__":
    main()
