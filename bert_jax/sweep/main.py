"""The verb `sweep`: plan, check, freeze, and start what is missing."""

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
from bert_jax.sweep.cluster.task import Task, together
from bert_jax.sweep.experiment import PRETRAIN
from bert_jax.sweep.plan import Planned

RETRIES = 2  # of a run that crashed
FAILED = 1  # some run did not end, and will not by itself

LOOKS = {
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
    """What the arguments of launch.py ask for; the exit code. Raises UsageError."""
    path, root, place = args.experiment, args.root, remote.place(args.on, args.cluster)
    if args.status:
        return status(path, root)
    if args.cancel:
        return cancel(path, root)
    if args.lanes < 1:
        raise UsageError(f"--lanes={args.lanes}: one or more are expected")
    if args.lanes > 1 and place.hosts > 1:
        raise UsageError(
            f"--lanes={args.lanes}: lanes live on one host, and each run has "
            f"{place.hosts} in {args.cluster}"
        )
    if args.dry_run:
        devices = place.devices or machine.share(args.slots)[0].devices
        return dry_run(path, root, devices, place.flops_per_second)
    if args.on == "local":
        return local(path, root, args.slots, args.lanes)
    folder, runs = drawn(path, root, place.devices)
    place.check(folder)
    with launched(folder, runs, args.lanes) as tasks:
        chains = remote.chains(tasks)
        print(place.start(chains, folder / snapshot.CODE, folder, folder.name))
    return exits.DONE


def local(path: Path, root: Path, slots: int, lanes: int) -> int:
    """Runs what is missing of a sweep on this machine, up to so many runs of one shape
    in a process; the exit code.

    The same command goes on after any interruption, and starts nothing that is done.
    Raises UsageError.
    """
    share = machine.share(slots)
    folder, runs = drawn(path, root, share[0].devices)
    by_name = {run.name: run for run in runs}

    def look(task: Task) -> str:
        return LOOKS[states.left(folder, by_name[task.name])]

    with launched(folder, runs, lanes) as tasks:
        code = folder / snapshot.CODE
        running = Local(tasks, look, code, folder, share, RETRIES)
        board = Board(folder, runs, running)
        for event in running.run():
            board.tell(event)
        board.close()
    return _end(path, folder, runs, running.stopping)


def dry_run(path: Path, root: Path, devices: int, rate: float) -> int:
    """Prints what a sweep would run and cost; `rate` is a device's FLOP/s, 0 if nobody
    stated it. Writes nothing. Raises UsageError."""
    folder, runs = drawn(path, root, devices)
    estimate.check(runs)
    print(estimate.table(folder, runs, rate))
    return exits.DONE


def status(path: Path, root: Path) -> int:
    """Prints the state of every run of the plan, from the run directories; of those
    that have not begun or ended, what SLURM says."""
    folder = root / path.stem
    runs = plan.read(folder).runs
    print(table(folder, runs, remote.queue(folder)))
    return exits.DONE


def cancel(path: Path, root: Path) -> int:
    """Takes the jobs of a sweep from SLURM; those that run save first."""
    folder = root / path.stem
    plan.read(folder)
    print(f"{slurm.cancel(folder, folder.name)} jobs cancelled; what ran saves")
    return exits.DONE


def drawn(path: Path, root: Path, devices: int) -> tuple[Path, tuple[Planned, ...]]:
    """The folder of a sweep and its runs, checked. Raises UsageError."""
    found, problems = experiment.read(path)
    folder = root / found.name
    return folder, plan.draw(found, problems, folder, devices)


@contextlib.contextmanager
def launched(folder: Path, runs: Sequence[Planned], lanes: int) -> Iterator[list[Task]]:
    """What is left of the runs, as tasks that may be started; one launcher at a time is
    in here."""
    folder.mkdir(parents=True, exist_ok=True)
    with rundir.lease(folder, "--root"):
        plan.freeze(folder, tuple(runs))
        _refuse_foreign(folder, runs)
        inputs.prepare(folder, _unfinished(folder, runs), say)
        yield beside(folder, _unfinished(folder, runs), lanes)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _refuse_foreign(folder: Path, runs: Sequence[Planned]) -> None:
    problems = [
        f"{folder / run.name} holds another run than the plan's: move it away, or "
        "choose another --root"
        for run in runs
        if states.left(folder, run) == states.FOREIGN
    ]
    if problems:
        raise UsageError("\n".join(problems))


def _unfinished(folder: Path, runs: Sequence[Planned]) -> list[Planned]:
    """The runs of those chains in which something is left to do."""
    left = {run.chain for run in runs if states.left(folder, run) not in states.ENDED}
    return [run for run in runs if run.chain in left]


def beside(folder: Path, runs: Sequence[Planned], lanes: int) -> list[Task]:
    """The runs as tasks, each of up to so many pretraining runs of one shape."""
    groups: dict[str, list[Planned]] = {}
    for run in runs:
        mark = run.name
        left = states.left(folder, run) not in states.ENDED
        if lanes > 1 and left and run.stage == PRETRAIN:
            mesh.check_lane(run.config.parallel.mesh)
            mark = json.dumps(configs.shape(run.config), sort_keys=True)
        groups.setdefault(mark, []).append(run)
    parts = [
        group[start : start + lanes]
        for group in groups.values()
        for start in range(0, len(group), lanes)
    ]
    return [together([_task(folder, run) for run in part]) for part in parts]


def _task(folder: Path, run: Planned) -> Task:
    task = Task(run.name, folder / run.name, run.needs)
    text = snapshot.readable(folder, run.config)
    if not task.config.is_file() or task.config.read_text(encoding="utf-8") != text:
        task.config.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(task.config, text)
    return task


def _end(path: Path, folder: Path, runs: Sequence[Planned], stopping: bool) -> int:
    found = {run.name: states.left(folder, run) for run in runs}
    left = [name for name, state in found.items() if state not in states.ENDED]
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


def table(folder: Path, runs: Sequence[Planned], queue: dict[str, str]) -> str:
    """A line for each run; `queue` says what a cluster knows of chains."""
    found = {run: states.left(folder, run) for run in runs}
    rows = []
    for run, state in found.items():
        settled = state in (states.WAITING, *states.ENDED)
        known = state if settled else queue.get(run.chain, state)
        rows.append((run.name, known, _detail(folder, run, state)))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in rows]
    return "\n".join(line.rstrip() for line in lines)


def _detail(folder: Path, run: Planned, state: str) -> str:
    """What is known of a run besides its state."""
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
            return last_line(Task(run.name, workdir, run.needs).log)
