"""How far each run of a sweep is, told by its directory and nothing else."""

import math
from pathlib import Path

from bert_jax.run import config as configs
from bert_jax.run import record, rundir
from bert_jax.run.record import Ended, Record
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
    """The state of a run of the sweep in that folder. Raises UsageError for a run whose
    files do not agree."""
    workdir = folder / run.name
    begun = record.read(workdir) if rundir.is_run(workdir) else None
    parent = _parent(folder, run, begun)
    if parent is None:
        return WAITING
    if begun is None:
        return RUNNING if rundir.is_held(workdir) else READY
    if begun.run["fingerprint"] != configs.fingerprint(run.config, parent):
        return FOREIGN
    if begun.result:
        return DONE
    if rundir.is_held(workdir):
        return RUNNING
    return DIVERGED if _is_diverged(workdir) else STOPPED


def left(folder: Path, run: Planned) -> str:
    """The state of a run as far as a sweep has work with it: `of`, but a done run that
    lacks shared rows of the plan is not done with."""
    state, workdir = of(folder, run), folder / run.name
    result = result_of(workdir)
    if state != DONE or not result or not rundir.lacking(result, run.config):
        return state
    return RUNNING if rundir.is_held(workdir) else LACKING


def result_of(workdir: Path) -> Ended | None:
    """Its result.json, None before there is one."""
    return record.read(workdir).result if rundir.is_run(workdir) else None


def _parent(folder: Path, run: Planned, begun: Record | None) -> str | None:
    """The identity of what the run starts from, None while that is not done.

    Of a run outside the sweep it is what the run itself wrote down.
    """
    if not run.needs:
        return begun.run["parent"] if begun else ""
    result = result_of(folder / run.needs)
    return f"{result['fingerprint']}/{result['steps']}" if result else None


def _is_diverged(workdir: Path) -> bool:
    """Whether its last line says so, or of an older version its last loss."""
    log = rundir.read_metrics(workdir)
    if not log:
        return False
    if rundir.FINITE in log[max(log)]:
        return True
    losses = log.series("train/loss").values
    skips = "train/skipped" in log.names()
    return len(losses) > 0 and not skips and not math.isfinite(losses[-1])
