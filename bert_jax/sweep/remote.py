"""Launchers that hand runs to a cluster and do not wait for them."""

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
from bert_jax.sweep.cluster.task import RunTask

MANIFEST = "kubernetes.yaml"
JOB = ".job"  # suffix of the folder with a run's code and its submissions
Chain = tuple[RunTask, ...]


class Launcher(NamedTuple):
    """Resources of a run on one target, and the function that starts runs there.

    devices: of one run, on `hosts` hosts; 0 for all devices of this machine. check:
    refuses a folder that jobs cannot name. start: (chains, code, folder, name) ->
    message for the user.
    """

    devices: int
    hosts: int
    flops_per_second: float
    check: Callable[[Path], None]
    start: Callable[[Sequence[Chain], Path, Path, str], str]


def launcher(on: str, cluster: Path | None) -> Launcher:
    """Return the launcher of `--on` with the profile of `--cluster`. Raises
    UsageError."""
    if cluster is None:
        if on == "local":
            return Launcher(0, 1, 0.0, _accept, _start_nothing)
        raise UsageError(f"--on={on} needs --cluster=FILE: copy {profiles.EXAMPLE}")
    known = profiles.load(cluster)
    if on == "local":
        return Launcher(0, 1, known.flops_per_second, _accept, _start_nothing)
    if on == "slurm" and known.slurm:
        hosts = known.slurm.nodes
        devices = hosts * max(1, known.slurm.gpus_per_node)
        rate, start = known.flops_per_second, _slurm_start(known)
        return Launcher(devices, hosts, rate, slurm.check, start)
    if on == "kubernetes" and known.kubernetes:
        hosts = known.kubernetes.hosts
        devices = hosts * known.kubernetes.devices_per_host
        rate, start = known.flops_per_second, _kubernetes_start(known)
        return Launcher(devices, hosts, rate, kubernetes.check, start)
    raise UsageError(f"{cluster} has no table [{on}]; see {profiles.EXAMPLE}")


def _accept(folder: Path) -> None:
    """Accept any path: local processes have no restriction."""


def _start_nothing(chains, code, folder, name) -> str:
    return ""


def _slurm_start(known: Profile) -> Callable:
    return lambda chains, code, folder, name: slurm.submit(
        chains, code, folder, known, name
    )


def _kubernetes_start(known: Profile) -> Callable:
    def write(chains, code, folder, name) -> str:
        text = kubernetes.manifest(chains, code, folder, known, name)
        files.write_text(folder / MANIFEST, text)
        return f"{len(chains)} JobSets: kubectl apply -f {folder / MANIFEST}"

    return write


def group_chains(tasks: Sequence[RunTask]) -> list[Chain]:
    """Group tasks into chains: all tasks of one folder, or of the folders of runs that
    are lanes of one process."""
    pretraining_folder = {
        lane.workdir.parent: task.workdir.parent
        for task in tasks
        for lane in task.lanes
        if not lane.needs
    }
    groups: dict[Path, list[RunTask]] = {}
    for task in tasks:
        folder = task.workdir.parent
        groups.setdefault(pretraining_folder.get(folder, folder), []).append(task)
    return [tuple(group) for group in groups.values()]


def queue(folder: Path) -> dict[str, str]:
    """The state of each submitted chain of a sweep, as SLURM reports it."""
    if not (folder / slurm.RECORDS).is_dir() or not shutil.which("squeue"):
        return {}
    return slurm.status(folder, folder.name)


def train(
    config: FrozenConfigDict, workdir: Path, on: str, cluster: Path | None
) -> int:
    """Submit one run to a cluster, with a copy of the code; the exit code.

    The same command submits it again unless it is queued or running.
    """
    target = launcher(on, cluster)
    mesh.fitted(config.parallel.mesh, target.devices, mesh.batches(config))
    folder = workdir.with_name(workdir.name + JOB)
    target.check(folder)
    task = RunTask(f"{workdir.name}/train", workdir, "")
    new = not (folder / snapshot.CODE).is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with rundir.lease(folder, "--workdir"):
        if new:
            snapshot.take(folder)
        files.write_text(task.config, configs.canonical(config))
        try:
            print(target.start([(task,)], folder / snapshot.CODE, folder, workdir.name))
        except UsageError:
            if new:  # remove the files of a refused submission
                task.config.unlink()
                shutil.rmtree(folder / snapshot.CODE)
            raise
    return exits.DONE
