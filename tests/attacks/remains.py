"""What a command leaves in a folder, without what depends on the clock."""

import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from bert_jax.run import files, rundir
from bert_jax.train.optim import path_name

UNFINISHED = re.compile(r"\.tmp$|\.building$|orbax-checkpoint-tmp")
# What holds times, digests of times, or pictures; checkpoints are read, not compared.
SKIPPED_PARTS = {rundir.CHECKPOINTS, rundir.TENSORBOARD, "compiled", "code"}
SKIPPED_NAMES = {rundir.LEASE, rundir.CURVE}
SKIPPED_KINDS = {".lock", ".log", ".png"}
CLOCK = ("seconds", "goodput", "metrics_bytes", "metrics_sha256", files.CHECK)


def left_by(folder: Path, pattern: str) -> dict[str, Any]:
    """Everything that matches in a folder, and is in what matches, by name."""
    found: dict[str, Any] = {}
    for path in (p for top in folder.glob(pattern) for p in (top, *top.rglob("*"))):
        name = str(path.relative_to(folder))
        if UNFINISHED.search(path.name):
            found[f"unfinished: {name}"] = True
        elif path.name == rundir.CHECKPOINTS:
            found |= _states(path, name)
        elif path.is_file() and _is_compared(path.relative_to(folder)):
            found[name] = _contents(path)
    return found


def difference(whole: dict[str, Any], found: dict[str, Any]) -> str:
    """The names of what is not the same, "" for nothing."""
    names = sorted(whole.keys() | found.keys())
    other = [name for name in names if whole.get(name) != found.get(name)]
    return f"differs: {', '.join(other[:3])}" if other else ""


def _is_compared(path: Path) -> bool:
    skipped = path.name in SKIPPED_NAMES or path.suffix in SKIPPED_KINDS
    return not skipped and SKIPPED_PARTS.isdisjoint(path.parts)


def _contents(path: Path) -> Any:
    if path.name == rundir.METRICS:
        found = rundir.read_metrics(path.parent)
        return {step: _without_time(values) for step, values in found.items()}
    if path.name in (rundir.RESULT, rundir.RUN, rundir.CONFIG):
        told = files.read_json(path)
        kept = {name: value for name, value in told.items() if name not in CLOCK}
        return kept | {"metrics": _without_time(told.get("metrics", {}))}
    return path.read_bytes()


def _without_time(values: dict[str, Any]) -> dict[str, Any]:
    return {name: v for name, v in values.items() if not name.startswith("time/")}


def _states(checkpoints: Path, name: str) -> dict[str, Any]:
    """All that every checkpoint holds: parameters, moments, counters, in bytes."""
    found = {}
    for step in rundir.steps(checkpoints):
        for part in ("params", "rest"):
            tree = ocp.StandardCheckpointer().restore(
                (checkpoints / str(step) / part).absolute()
            )
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
                array = np.asarray(leaf)
                found[f"{name}/{step}/{part}/{path_name(path)}"] = (
                    array.dtype,
                    array.shape,
                    array.tobytes(),
                )
    return found
