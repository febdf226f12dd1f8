"""The `sweep` command: plan, check, freeze, and start missing runs."""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bert_jax.run import config as configs
from bert_jax.run import exits, files, mesh, rundir
from bert_jax.run.config import UsageError
from bert_jax.sweep import (
    estimate,
    experiment,
    inputs,
    plan,
    remote,
    snapshot,
    states,
)
from bert_jax.sweep.board import Board, last_line, progress
from bert_jax.sweep.cluster import slots as machine
from bert_jax.sweep.cluster import slurm
from bert_jax.sweep.cluster.local import BUSY, OVER, READY, WAITING, Local
from bert_jax.sweep.cluster.task import RunTask, join_lanes
from bert_jax.sweep.experiment import PRETRAIN
from bert_jax.sweep.plan import PlannedRun

RETRIES = 2  # of a run that crashed
FAILED = 1  # exit code: some run did not end

TASK_STATES = {
    states.WAITING: WAITING,
    states.READY: READY,
    states.STOPPED: READY,
    states.LACKING: READY,
    states.RUNNING: BUSY,
    states.DIVERGED: OVER,
    states.DONE: OVER,
    states.FOREIGN: OVER,
}


def main(args) -> int:
    """Run `launch.py sweep` with parsed arguments; the exit code. Raises UsageError."""
    path, root, target = (
        args.experiment,
        args.root,
        remote.launcher(args.on, args.cluster),
    )
    if args.status:
        return status(path, root)
    if args.cancel:
        return cancel(path, root)
    if args.lanes < 1:
        raise UsageError(f"--lanes={args.lanes}: one or more are expected")
    if args.lanes > 1 and target.hosts > 1:
        raise UsageError(
            f"--lanes={args.lanes}: lanes live on one host, and each run has "
            f"{target.hosts} in {args.cluster}"
        )
    if args.dry_run:
        devices = target.devices or machine.split_machine(args.slots)[0].devices
        return dry_run(path, root, devices, target.flops_per_second)
    if args.on == "local":
        return local(path, root, args.slots, args.lanes)
    folder, runs = resolve_runs(path, root, target.devices)
    target.check(folder)
    with launching(folder, runs, args.lanes) as tasks:
        chains = remote.group_chains(tasks)
        print(target.start(chains, folder / snapshot.CODE, folder, folder.name))
    return exits.DONE


def local(path: Path, root: Path, slots: int, lanes: int) -> int:
    """Run what is missing of a sweep on this machine; the exit code.

    Each process trains up to `lanes` runs of one shape. The same command continues
    after any interruption and repeats no finished run. Raises UsageError.
    """
    share = machine.split_machine(slots)
    folder, runs = resolve_runs(path, root, share[0].devices)
    by_name = {run.name: run for run in runs}

    def task_state(task: RunTask) -> str:
        return TASK_STATES[states.sweep_state(folder, by_name[task.name])]

    with launching(folder, runs, lanes) as tasks:
        code = folder / snapshot.CODE
        running = Local(tasks, task_state, code, folder, share, RETRIES)
        board = Board(folder, runs, running)
        for event in running.run():
            board.show(event)
        board.close()
    return _report_end(path, folder, runs, running.stopping)


def dry_run(path: Path, root: Path, devices: int, rate: float) -> int:
    """Print what a sweep would run and cost. Writes nothing. Raises UsageError.

    rate: a device's FLOP/s, 0 if unknown.
    """
    folder, runs = resolve_runs(path, root, devices)
    estimate.check(runs)
    print(estimate.table(folder, runs, rate))
    return exits.DONE


def status(path: Path, root: Path) -> int:
    """Print the state of every run of the plan, from the run directories and, for runs
    that have not begun or ended, from SLURM."""
    folder = root / path.stem
    runs = plan.read(folder).runs
    print(table(folder, runs, remote.queue(folder)))
    return exits.DONE


def cancel(path: Path, root: Path) -> int:
    """Cancel the SLURM jobs of a sweep; running jobs save first."""
    folder = root / path.stem
    plan.read(folder)
    print(f"{slurm.cancel(folder, folder.name)} jobs cancelled; what ran saves")
    return exits.DONE


def resolve_runs(
    path: Path, root: Path, devices: int
) -> tuple[Path, tuple[PlannedRun, ...]]:
    """Return the folder of a sweep and its checked runs. Raises UsageError."""
    spec, problems = experiment.read(path)
    folder = root / spec.name
    return folder, plan.resolve(spec, problems, folder, devices)


@contextlib.contextmanager
def launching(
    folder: Path, runs: Sequence[PlannedRun], lanes: int
) -> Iterator[list[RunTask]]:
    """Lock the sweep's folder and yield the unfinished runs as tasks."""
    folder.mkdir(parents=True, exist_ok=True)
    with rundir.lease(folder, "--root"):
        plan.freeze(folder, tuple(runs))
        _refuse_foreign(folder, runs)
        inputs.prepare(folder, _unfinished(folder, runs), say)
        yield group_lanes(folder, _unfinished(folder, runs), lanes)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _refuse_foreign(folder: Path, runs: Sequence[PlannedRun]) -> None:
    problems = [
        f"{folder / run.name} holds another run than the plan's: move it away, or "
        "choose another --root"
        for run in runs
        if states.sweep_state(folder, run) == states.FOREIGN
    ]
    if problems:
        raise UsageError("\n".join(problems))


def _unfinished(folder: Path, runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """The runs of all chains with an unfinished run."""
    left = {
        run.chain for run in runs if states.sweep_state(folder, run) not in states.ENDED
    }
    return [run for run in runs if run.chain in left]


def group_lanes(folder: Path, runs: Sequence[PlannedRun], lanes: int) -> list[RunTask]:
    """Group runs into tasks, each of up to `lanes` pretraining runs of one shape."""
    groups: dict[str, list[PlannedRun]] = {}
    for run in runs:
        key = run.name
        left = states.sweep_state(folder, run) not in states.ENDED
        if lanes > 1 and left and run.stage == PRETRAIN:
            mesh.check_lane(run.config.parallel.mesh)
            key = json.dumps(configs.shape(run.config), sort_keys=True)
        groups.setdefault(key, []).append(run)
    parts = [
        group[start : start + lanes]
        for group in groups.values()
        for start in range(0, len(group), lanes)
    ]
    return [join_lanes([_task(folder, run) for run in part]) for part in parts]


def _task(folder: Path, run: PlannedRun) -> RunTask:
    task = RunTask(run.name, folder / run.name, run.needs)
    text = snapshot.config_text(folder, run.config)
    if not task.config.is_file() or task.config.read_text(encoding="utf-8") != text:
        task.config.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(task.config, text)
    return task


def _report_end(
    path: Path, folder: Path, runs: Sequence[PlannedRun], stopping: bool
) -> int:
    by_name = {run.name: states.sweep_state(folder, run) for run in runs}
    left = [name for name, state in by_name.items() if state not in states.ENDED]
    if left and stopping:
        say(f"{len(left)} of {len(runs)} runs are left; the same command continues")
        return exits.PREEMPTED
    if left:
        say(f"{len(left)} of {len(runs)} runs did not end:")
        say(table(folder, [run for run in runs if run.name in left], {}))
        return FAILED
    say(
        f"{len(runs)} runs ended: python launch.py report {path} --root={folder.parent}"
    )
    return exits.DONE


def table(folder: Path, runs: Sequence[PlannedRun], queue: dict[str, str]) -> str:
    """A line for each run; `queue` has the SLURM state of chains."""
    by_run = {run: states.sweep_state(folder, run) for run in runs}
    rows = []
    for run, state in by_run.items():
        settled = state in (states.WAITING, *states.ENDED)
        known = state if settled else queue.get(run.chain, state)
        rows.append((run.name, known, _detail(folder, run, state)))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in rows]
    return "\n".join(line.rstrip() for line in lines)


def _detail(folder: Path, run: PlannedRun, state: str) -> str:
    """Details of a run: its steps, progress or last log line."""
    workdir = folder / run.name
    match state:
        case states.DONE | states.LACKING:
            result = states.result_of(workdir)
            return f"{result['steps']} steps" if result else ""
        case states.WAITING | states.FOREIGN:
            return ""
        case states.RUNNING:
            return progress(workdir)
        case _:
            return last_line(RunTask(run.name, workdir, run.needs).log)
