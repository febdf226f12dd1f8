"""All that only a GPU can answer, in one command of ten minutes.

  python -m benchmarks.gpu --to=DIR --limit=550

Stages run one after the other, the most wanted first, each a benchmark of this folder
with its own JSON file in DIR, written after each row; log.txt has the tables of all.
None starts after the limit, and the one that runs then is stopped. Run again with the
same DIR, it goes on with what is not there yet: rows that are in a file are kept.
--flax=PYTHON names an interpreter with transformers 4, and adds that peer.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.worker import ROOT

# Fewer steps than by default: 70 in place of 170, so that every row fits.
STEPS = ["--warmup=10", "--rounds=3", "--steps=20", "--patience=240"]
PEERS = ["ours:bfloat16", "stock:bfloat16", "strong:bfloat16"]
ALL = ["base-128", "base-512", "large-128", "large-512"]


class Stage(NamedTuple):
    """A benchmark: its module, its options, and the least seconds that it is worth
    starting with."""

    name: str
    module: str
    options: list[str]
    least: float


def steps(name: str, rows: list[str], dropout: str, sides: list[str]) -> Stage:
    rest = ["--rows", *rows, "--dropout", dropout, "--sides", *sides]
    return Stage(name, "step", [*rest, *STEPS], 60)


STAGES = [
    steps("step_ours", ALL, "0", PEERS[:1]),
    steps("step_peers_128", ["base-128"], "0.1", PEERS),
    Stage("lanes", "lanes", ["--dtype=bfloat16", "--steps=50"], 60),
    Stage("loop", "loop", ["--steps=50", "--rounds=6"], 60),
    Stage("ops", "ops", [], 60),
    steps("step_peers_dropped", ALL[1:], "0.1", PEERS),
    steps("step_peers_plain", ALL, "0", PEERS),
]


def command_of(stage: Stage, folder: Path, left: float, flax: str) -> list[str]:
    command = [sys.executable, "-m", f"benchmarks.{stage.module}", *stage.options]
    command.append(f"--json={folder / stage.name}.json")
    if stage.module == "step":
        command.append(f"--limit={left - stage.least}")
    if flax and PEERS[-1] in stage.options:
        at = command.index(PEERS[-1]) + 1
        command[at:at] = ["flax:bfloat16", f"--flax={flax}"]
    return command


def run(command: list[str], folder: Path, left: float) -> str:
    """A stage, within the seconds left; how it ended."""
    since = time.monotonic()
    with (folder / "log.txt").open("a") as log:
        log.write(f"\n{' '.join(command[1:])}\n")
        log.flush()
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=log, process_group=0
        )
        try:
            code = process.wait(left)
        except subprocess.TimeoutExpired:
            stop(process)
            return "stopped by the limit"
    took = f"{time.monotonic() - since:.0f} s"
    return f"done in {took}" if code == 0 else f"ended with {code} after {took}"


def stop(process: subprocess.Popen) -> None:
    """Asks it to end, so that it ends its workers, and then kills it."""
    for number in (signal.SIGINT, signal.SIGKILL):
        os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
            return


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--limit", type=float, default=550, help="seconds in all")
    parser.add_argument("--flax", default="")
    parser.add_argument("--only", nargs="+", choices=[s.name for s in STAGES])
    given = parser.parse_args()
    folder, since = given.to.resolve(), time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    for stage in STAGES:
        left = given.limit - (time.monotonic() - since)
        if given.only and stage.name not in given.only:
            continue
        if (folder / f"{stage.name}.json").exists() and stage.module != "step":
            ended = "was there"
        elif left < stage.least:
            ended = "left out: no time"
        else:
            command = command_of(stage, folder, left, given.flax)
            ended = run(command, folder, left)
        print(f"{stage.name}: {ended}", flush=True)
    print((folder / "log.txt").read_text()[-10_000:])


if __name__ == "__main__":
    main()
