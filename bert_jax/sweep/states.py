"""States of the runs of a sweep, derived from their directories alone."""

import math
from pathlib import Path

from bert_jax.run import config as configs
from bert_jax.run import record, rundir
from bert_jax.run.record import Ended, Record
from bert_jax.sweep.plan import PlannedRun

WAITING = "waiting"  # for the run that it starts from
READY = "ready"
RUNNING = "running"
STOPPED = "stopped"  # begun; the sweep continues it
DIVERGED = "diverged"
FOREIGN = "foreign"  # the directory holds another run
LACKING = "lacks rows"  # done, but some shared rows of the plan are not evaluated
DONE = "done"
ENDED = (DIVERGED, FOREIGN, DONE)


def run_state(folder: Path, run: PlannedRun) -> str:
    """Return the state of a run in a sweep's folder. Raises UsageError if its files are
    inconsistent."""
    workdir = folder / run.name
    begun = record.read(workdir) if rundir.is_run(workdir) else None
    parent = _parent(folder, run, begun)
    if parent is None:
        return WAITING
    if begun is None:
        return RUNNING if rundir.is_leased(workdir) else READY
    if begun.run["fingerprint"] != configs.fingerprint(run.config, parent):
        return FOREIGN
    if begun.result:
        return DONE
    if rundir.is_leased(workdir):
        return RUNNING
    return DIVERGED if _is_diverged(workdir) else STOPPED


def sweep_state(folder: Path, run: PlannedRun) -> str:
    """The state of a run for scheduling: `run_state`, but LACKING for a done run that
    lacks shared rows of the plan."""
    state, workdir = run_state(folder, run), folder / run.name
    result = result_of(workdir)
    if state != DONE or not result or not rundir.lacking(result, run.config):
        return state
    return RUNNING if rundir.is_leased(workdir) else LACKING


def result_of(workdir: Path) -> Ended | None:
    """The contents of a run's result.json, None if there is none."""
    return record.read(workdir).result if rundir.is_run(workdir) else None


def _parent(folder: Path, run: PlannedRun, begun: Record | None) -> str | None:
    """The identity of the parent run, None if that is not done.

    For a parent outside the sweep, the identity that the run recorded.
    """
    if not run.needs:
        return begun.run["parent"] if begun else ""
    result = result_of(folder / run.needs)
    return f"{result['fingerprint']}/{result['steps']}" if result else None


def _is_diverged(workdir: Path) -> bool:
    """Whether the last log line records divergence; in older versions, a last loss that
    is not finite."""
    log = rundir.read_metrics(workdir)
    if not log:
        return False
    if rundir.FINITE in log[max(log)]:
        return True
    losses = log.series("train/loss").values
    skips = "train/skipped" in log.names()
    return len(losses) > 0 and not skips and not math.isfinite(losses[-1])
