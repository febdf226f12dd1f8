"""How far each run of a sweep is, told by its directory and nothing else."""

import math
from pathlib import Path
from typing import Any

from bert_jax import config as configs
from bert_jax import rundir
from bert_jax.config import UsageError
from bert_jax.sweep.plan import Planned

WAITING = "waiting"  # for the run that it starts from
READY = "ready"
RUNNING = "running"
STOPPED = "stopped"  # begun, and to be continued
DIVERGED = "diverged"
FOREIGN = "foreign"  # the directory holds another run
LACKING = "lacks rows"  # done, but not evaluated on all shared rows of the plan
DONE = "done"
ENDED = (DIVERGED, FOREIGN, DONE)


def of(folder: Path, run: Planned) -> str:
    """The state of a run of the sweep in that folder."""
    workdir = folder / run.name
    try:
        began = _began(workdir)
        parent = _parent(folder, run, began)
        if parent is None:
            return WAITING
        if not began:
            return RUNNING if rundir.is_held(workdir) else READY
        identity = configs.fingerprint(run.config, parent)
        ended = (workdir / rundir.RESULT).is_file()
        marks = {began["fingerprint"]}
        marks |= {result_of(workdir)["fingerprint"]} if ended else set()
        if marks != {identity}:
            return FOREIGN
    except (UsageError, KeyError, TypeError):  # what is there is not ours
        return FOREIGN
    if ended:
        return DONE
    if rundir.is_held(workdir):
        return RUNNING
    return DIVERGED if _is_diverged(workdir) else STOPPED


def left(folder: Path, run: Planned) -> str:
    """The state of a run as far as a sweep has work with it: `of`, but a done run that
    lacks shared rows of the plan is not done with."""
    state, workdir = of(folder, run), folder / run.name
    if state != DONE or not rundir.lacking(result_of(workdir), run.config):
        return state
    return RUNNING if rundir.is_held(workdir) else LACKING


def result_of(workdir: Path) -> dict[str, Any]:
    """Its result.json, {} before there is one."""
    there = (workdir / rundir.RESULT).is_file()
    return rundir.read(workdir, rundir.RESULT) if there else {}


def _began(workdir: Path) -> dict[str, Any]:
    return rundir.read(workdir, rundir.RUN) if rundir.is_run(workdir) else {}


def _parent(folder: Path, run: Planned, began: dict[str, Any]) -> str | None:
    """The identity of what the run starts from, None while that is not done.

    Of a run outside the sweep it is what the run itself wrote down.
    """
    if not run.needs:
        return began["parent"] if began else ""
    result = result_of(folder / run.needs)
    return f"{result['fingerprint']}/{result['steps']}" if result else None


def _is_diverged(workdir: Path) -> bool:
    """Whether its last line says so, or of an older version its last loss."""
    log = rundir.read_metrics(workdir)
    if not log:
        return False
    if rundir.FINITE in log[max(log)]:
        return True
    losses = [row["train/loss"] for row in log.values() if "train/loss" in row]
    skips = any("train/skipped" in row for row in log.values())
    return bool(losses) and not skips and not math.isfinite(losses[-1])
