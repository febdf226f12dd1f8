"""Runs that are handed to a cluster and not waited for."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ml_collections import FrozenConfigDict

from bert_jax.run import config as configs
from bert_jax.run import exits, files, mesh, rundir
from bert_jax.run.config import UsageError
from bert_jax.sweep import snapshot
from bert_jax.sweep.cluster import kubernetes, profiles, slurm
from bert_jax.sweep.cluster.profiles import Profile
from bert_jax.sweep.cluster.task import Task

MANIFEST = "kubernetes.yaml"
JOB = ".job"  # after the name of a run: the folder of its code and its submissions
Chain = tuple[Task, ...]


class Place(NamedTuple):
    """devices: of one run, 0 for what this machine has, on so many hosts. check: refuses
    a folder that jobs cannot name. start: (chains, code, folder, name) -> what to tell
    the person."""

    devices: int
    hosts: int
    flops_per_second: float
    check: Callable[[Path], None]
    start: Callable[[Sequence[Chain], Path, Path, str], str]


def place(on: str, cluster: Path | None) -> Place:
    """Where `--on` sends runs, by the profile in `--cluster`. Raises UsageError."""
    if cluster is None:
        if on == "local":
            return Place(0, 1, 0.0, _anywhere, _nowhere)
        raise UsageError(f"--on={on} needs --cluster=FILE: copy {profiles.EXAMPLE}")
    known = profiles.load(cluster)
    if on == "local":
        return Place(0, 1, known.flops_per_second, _anywhere, _nowhere)
    if on == "slurm" and known.slurm:
        hosts = known.slurm.nodes
        devices = hosts * max(1, known.slurm.gpus_per_node)
        rate, start = known.flops_per_second, _submitting(known)
        return Place(devices, hosts, rate, slurm.check, start)
    if on == "kubernetes" and known.kubernetes:
        hosts = known.kubernetes.hosts
        devices = hosts * known.kubernetes.devices_per_host
        rate, start = known.flops_per_second, _writing(known)
        return Place(devices, hosts, rate, kubernetes.check, start)
    raise UsageError(f"{cluster} has no table [{on}]; see {profiles.EXAMPLE}")


def _anywhere(folder: Path) -> None:
    """Processes of this machine take any path."""


def _nowhere(chains, code, folder, name) -> str:
    return ""


def _submitting(known: Profile) -> Callable:
    return lambda chains, code, folder, name: slurm.submit(
        chains, code, folder, known, name
    )


def _writing(known: Profile) -> Callable:
    def write(chains, code, folder, name) -> str:
        text = kubernetes.manifest(chains, code, folder, known, name)
        files.write_text(folder / MANIFEST, text)
        return f"{len(chains)} JobSets: kubectl apply -f {folder / MANIFEST}"

    return write


def chains(tasks: Sequence[Task]) -> list[Chain]:
    """The tasks by what they follow from: all that stand in one folder, or in those of
    runs that are lanes of one process."""
    first = {
        lane.workdir.parent: task.workdir.parent
        for task in tasks
        for lane in task.lanes
        if not lane.needs
    }
    found: dict[Path, list[Task]] = {}
    for task in tasks:
        folder = task.workdir.parent
        found.setdefault(first.get(folder, folder), []).append(task)
    return [tuple(each) for each in found.values()]


def queue(folder: Path) -> dict[str, str]:
    """What SLURM says of the chains of a sweep that it was given."""
    if not (folder / slurm.RECORDS).is_dir() or not shutil.which("squeue"):
        return {}
    return slurm.status(folder, folder.name)


def train(
    config: FrozenConfigDict, workdir: Path, on: str, cluster: Path | None
) -> int:
    """Hands one run to a cluster, with a copy of the code; the exit code.

    The same command again submits it again unless it is queued or running.
    """
    where = place(on, cluster)
    mesh.fitted(config.parallel.mesh, where.devices, mesh.batches(config))
    folder = workdir.with_name(workdir.name + JOB)
    where.check(folder)
    task = Task(f"{workdir.name}/train", workdir, "")
    new = not (folder / snapshot.CODE).is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with rundir.lease(folder, "--workdir"):
        if new:
            snapshot.take(folder)
        files.write_text(task.config, configs.canonical(config))
        try:
            print(where.start([(task,)], folder / snapshot.CODE, folder, workdir.name))
        except UsageError:
            if new:  # what was refused leaves nothing
                task.config.unlink()
                shutil.rmtree(folder / snapshot.CODE)
            raise
    return exits.DONE
