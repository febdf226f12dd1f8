"""SIGKILL at random moments of every verb that writes; then the same command again.

  python -m tests.attacks.kills --count=200 --record=tests/attacks/kills.md

Each kill begins in a fresh copy of the golden run directories. The killed command is run
to its end, and all that it leaves must equal what an uninterrupted one leaves: parameters
and metrics bit for bit but for the clock, stores, exports and reports byte for byte, and
nothing unfinished lying about. The exit code is 1 if anything differs.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from bert_jax import checkpoint, files, rundir, stop

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
PARENT = "runs/masks/few/seed_0/pretrain"
UNFINISHED = re.compile(r"\.tmp$|\.building$|orbax-checkpoint-tmp")
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


def main(count: int, record: Path, names: list[str]) -> int:
    draw, begun = random.Random(0), time.monotonic()
    rows, findings = {name: [0, 0, 0] for name in names}, []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        references = {name: reference(folder, name) for name in names}
        for number in range(count):
            name = names[number % len(names)]
            whole, seconds = references[name]
            after = draw.uniform(0, seconds)
            killed, problem = attack(folder / "killed", name, whole, after)
            rows[name][0] += 1
            rows[name][1] += killed
            rows[name][2] += bool(problem)
            findings += [f"{name}, killed after {after:.2f} s: {problem}"] * bool(
                problem
            )
            left = (time.monotonic() - begun) / (number + 1) * (count - number - 1)
            print(
                f"{number + 1} of {count}, {left / 60:.0f} min left: {name} after "
                f"{after:.2f} s{f': {problem}' if problem else ''}",
                flush=True,
            )
            write(record, rows, findings)
    return 1 if findings else 0


def reference(place: Path, name: str) -> tuple[dict[str, Any], float]:
    """What the command leaves that nothing interrupts, and how long it takes."""
    folder = place / name
    fresh(folder)
    begun = time.monotonic()
    process = start(folder, name)
    said = process.communicate()[0]
    assert process.returncode == stop.DONE, said
    return left_by(folder, ATTACKS[name]), time.monotonic() - begun


def attack(
    folder: Path, name: str, whole: dict[str, Any], after: float
) -> tuple[bool, str]:
    """Whether the kill came before the end, and what then differs, "" for nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    fresh(folder)
    process = start(folder, name)
    time.sleep(after)
    killed = process.poll() is None
    if killed:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for _ in range(AGAIN):
        process = start(folder, name)
        said = process.communicate()[0]
        if process.returncode != stop.PREEMPTED:
            break
    if process.returncode != stop.DONE:
        last = said.strip().splitlines()[-1:]
        return killed, f"exit code {process.returncode}: {' '.join(last)}"
    return killed, difference(whole, left_by(folder, ATTACKS[name]))


def fresh(folder: Path) -> None:
    """The golden runs without what the commands are to write."""
    folder.mkdir(parents=True)
    for archive in sorted(GOLDEN.glob("*.tar.xz")):
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    shutil.rmtree(folder / "data_cache")
    (folder / "other.py").write_text(OTHER)
    (folder / "seeds.py").write_text(EXPERIMENT)


def start(folder: Path, name: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "launch.py"), *ATTACKS[name].arguments],
        cwd=folder,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def left_by(folder: Path, attack: Attack) -> dict[str, Any]:
    """Everything that a command leaves, by name, without what depends on the clock."""
    found: dict[str, Any] = {}
    paths = [p for top in folder.glob(attack.written) for p in (top, *top.rglob("*"))]
    for path in paths:
        name = str(path.relative_to(folder))
        if UNFINISHED.search(path.name):
            found[f"unfinished: {name}"] = True
        elif path.name == rundir.METRICS:
            found[name] = metrics(path.parent)
        elif path.name == rundir.RESULT:
            found[name] = result(path)
        elif path.name == rundir.CHECKPOINTS:
            found |= checkpoints(path.parent, name)
        elif path.is_file() and is_compared(path):
            found[name] = path.read_bytes()
    return found


def is_compared(path: Path) -> bool:
    """Not pictures, logs, locks, TensorBoard, compiled programs, and checkpoints, whose
    arrays are compared."""
    parts = (rundir.CHECKPOINTS, rundir.TENSORBOARD, "compiled", "code")
    named = path.name in (rundir.LEASE, rundir.CURVE, rundir.RUN)
    kind = path.suffix in (".lock", ".log", ".png")
    return not (named or kind or any(part in path.parts for part in parts))


def without_time(values: dict[str, Any]) -> dict[str, Any]:
    return {name: v for name, v in values.items() if not name.startswith("time/")}


def metrics(workdir: Path) -> dict[int, dict[str, float]]:
    found = rundir.read_metrics(workdir)
    return {step: without_time(values) for step, values in found.items()}


def result(path: Path) -> dict[str, Any]:
    told = files.read_json(path)
    clock = ("seconds", "goodput", "metrics_bytes", "metrics_sha256", files.CHECK)
    kept = {name: value for name, value in told.items() if name not in clock}
    return kept | {"metrics": without_time(told["metrics"])}


def checkpoints(workdir: Path, name: str) -> dict[str, Any]:
    """The steps that there are, and the parameters of the newest, in bytes."""
    steps = checkpoint.steps(workdir / rundir.CHECKPOINTS)
    params = checkpoint.restore_alone(workdir, steps[-1])
    leaves = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(params)]
    return {f"{name}: steps": steps, f"{name}: parameters": leaves}


def difference(whole: dict[str, Any], found: dict[str, Any]) -> str:
    names = sorted(whole.keys() | found.keys())
    other = [name for name in names if whole.get(name) != found.get(name)]
    return f"differs: {', '.join(other[:3])}" if other else ""


def write(record: Path, rows: dict[str, list[int]], findings: list[str]) -> None:
    """The record of what was done so far."""
    done = sum(row[0] for row in rows.values())
    lines = [
        "# Kills at random moments",
        "",
        f"{done} attacks on commit {rundir.commit()[:12]}, {time.strftime('%Y-%m-%d')}.",
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
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--only", default=",".join(ATTACKS), help="verbs, by commas")
    given = parser.parse_args()
    sys.exit(main(given.count, given.record, given.only.split(",")))
