"""SIGKILL at random moments of every verb that writes; then the same command again.

  python -m tests.attacks.kills --count=200 --record=tests/attacks/kills.md

Each attack begins in a fresh copy of the golden run directories. A command is killed at a
random moment after its first write, run again to its end, and all that it leaves must equal
what an undisturbed one leaves: the whole state of every checkpoint and the metrics bit for
bit but for the clock, all else byte for byte, and nothing unfinished lying about. The exit
code is 1 if anything differs.
"""

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tarfile
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import launch
from bert_jax.run import exits, files, rundir
from tests.attacks.remains import difference, left_by

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
PARENT = "runs/masks/few/seed_0/pretrain"
SAID = "said.log"
IMPORTED = ["train", "lanes", "seeds", "exchange", "data.prepare", "sweep.main"]
FORKS = multiprocessing.get_context("forkserver")
AGAIN = 5  # times that a command is run again, while it says that it was stopped
OTHER = """
import pretrain


def get_config():
    config = pretrain.get_config()
    config.seed = 1
    return config
"""
EXPERIMENT = '''"""Is one seed like another?"""

BASE = "pretrain.py"
METRIC = "valid/mlm_loss"
BASELINE = "only"
SEEDS = 2


def arms():
    yield "only", {}
'''


class Attack(NamedTuple):
    """A command of launch.py in a folder of golden runs, and where it writes."""

    arguments: list[str]
    written: str


SAVING = ["--config.train.save_every=1", "--config.train.keep_every=0"]
ATTACKS = {
    "prepare": Attack(["prepare", "--config=pretrain.py"], "data_cache"),
    "train": Attack(
        ["train", "--config=pretrain.py", *SAVING, "--workdir=runs/own"], "runs/own"
    ),
    "seeds": Attack(
        ["train", "--config=classify.py", f"--config.init_from={PARENT}"]
        + ["--seeds=2", "--workdir=runs/seeds"],
        "runs/seeds",
    ),
    "lanes": Attack(
        ["train", "--config=pretrain.py", "--workdir=runs/lanes/0"]
        + ["--config=other.py", "--workdir=runs/lanes/1", *SAVING],
        "runs/lanes",
    ),
    "sweep": Attack(["sweep", "seeds.py", "--root=runs"], "runs/seeds"),
    "import": Attack(["import", "--from=theirs", "--workdir=runs/again"], "runs/again"),
    "export": Attack(["export", f"--workdir={PARENT}", "--to=exported"], "exported"),
    "report": Attack(["report", "masks.py", "--root=runs"], "masks.*"),
}


def main(count: int, seed: int, record: Path, names: list[str]) -> int:
    os.environ["JAX_PLATFORMS"] = "cpu"
    FORKS.set_forkserver_preload([f"bert_jax.{module}" for module in IMPORTED])
    draw, begun = random.Random(seed), time.monotonic()
    rows, findings = {name: [0, 0, 0] for name in names}, []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        references = {name: reference(folder / name, name) for name in names}
        print(f"{time.monotonic() - begun:.0f} s for what is undisturbed", flush=True)
        begun = time.monotonic()
        for number in range(count):
            name = names[number % len(names)]
            undisturbed, seconds = references[name]
            after = draw.uniform(0, seconds)
            shutil.rmtree(folder / "killed", ignore_errors=True)
            fresh(folder / "killed", folder / name)
            killed, problem = attack(folder / "killed", name, undisturbed, after)
            rows[name] = [sum(x) for x in zip(rows[name], (1, killed, bool(problem)))]
            said = f"{name}, killed {after:.2f} s after its first write"
            said += f": {problem}" if problem else ""
            findings += [said] if problem else []
            left = (time.monotonic() - begun) / (number + 1) * (count - number - 1)
            print(
                f"{number + 1} of {count}, {left / 60:.0f} min left: {said}", flush=True
            )
            write(record, seed, rows, findings)
    return 1 if findings else 0


def reference(folder: Path, name: str) -> tuple[dict[str, Any], float]:
    """What the command leaves that nothing interrupts, and how long it takes from its
    first write on; run twice, the second time with the compiled programs of the first."""
    for place, compiled in ((folder, None), (folder / "again", folder)):
        fresh(place, compiled)
        process = start(place, name)
        await_write(place, process)
        begun = time.monotonic()
        process.join()
        assert process.exitcode == exits.DONE, (place / SAID).read_text()
    seconds = time.monotonic() - begun
    undisturbed = left_by(folder, ATTACKS[name].written)
    other = difference(undisturbed, left_by(folder / "again", ATTACKS[name].written))
    assert not other, f"{name}, undisturbed: {other}"
    shutil.rmtree(folder / "again")
    return undisturbed, seconds


def attack(
    folder: Path, name: str, undisturbed: dict[str, Any], after: float
) -> tuple[bool, str]:
    """Whether the kill came before the end, and what then differs, "" for nothing."""
    process = start(folder, name)
    await_write(folder, process)
    time.sleep(after)
    killed = process.is_alive()
    if killed:
        assert process.pid
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    for _ in range(AGAIN):
        process = start(folder, name)
        process.join()
        if process.exitcode != exits.PREEMPTED:
            break
    other = difference(undisturbed, left_by(folder, ATTACKS[name].written))
    # Import and export refuse what is done: the kill came after the last rename.
    refused = process.exitcode == exits.USAGE and name in ("import", "export")
    if process.exitcode != exits.DONE and (other or not refused):
        last = (folder / SAID).read_text().strip().splitlines()[-1:]
        return killed, f"exit code {process.exitcode}: {' '.join(last)}"
    return killed, other


def await_write(folder: Path, process: BaseProcess) -> None:
    """Return when something is there that was not, or the process has ended."""
    before = len(list(folder.rglob("*")))
    while process.is_alive() and len(list(folder.rglob("*"))) == before:
        time.sleep(0.02)


def fresh(folder: Path, compiled: Path | None) -> None:
    """The golden runs without what the commands are to write, but with the compiled
    programs of another such folder."""
    folder.mkdir(parents=True)
    for archive in sorted(GOLDEN.glob("*.tar.xz")):
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    shutil.rmtree(folder / "data_cache")
    (folder / SAID).touch()
    (folder / "other.py").write_text(OTHER)
    (folder / "seeds.py").write_text(EXPERIMENT)
    if compiled:
        for path in compiled.glob("**/compiled-*/"):
            shutil.copytree(path, folder / path.relative_to(compiled))


def start(folder: Path, name: str) -> BaseProcess:
    """The command, forked of a process that has imported what it needs: to import takes
    longer than to train."""
    process = FORKS.Process(target=run, args=(folder, ATTACKS[name].arguments))
    process.start()
    return process


def run(folder: Path, arguments: list[str]) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ["PYTHONPATH"] = str(folder)
    sys.path.insert(0, str(folder))
    said = os.open(SAID, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.exit(launch.main(arguments))


def write(
    record: Path, seed: int, rows: dict[str, list[int]], findings: list[str]
) -> None:
    """The record of what was done so far."""
    done = sum(row[0] for row in rows.values())
    lines = [
        "# Kills at random moments",
        "",
        f"{done} attacks on commit {rundir.commit()[:12]}, by seed {seed}.",
        "",
        "| verb | attacks | killed before the end | findings |",
        "|---|---|---|---|",
        *(f"| {name} | {a} | {b} | {c} |" for name, (a, b, c) in rows.items()),
        "",
        *(f"* {finding}" for finding in findings),
        *([] if findings else ["Nothing was lost, repeated, or left unfinished."]),
    ]
    files.write_text(record, "\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--only", default=",".join(ATTACKS), help="verbs, by commas")
    given = parser.parse_args()
    sys.exit(main(given.count, given.seed, given.record, given.only.split(",")))
