"""Tasks: runs to be started, with their directory, command and environment."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bert_jax.run import hardware
from bert_jax.run.exits import UsageError

COMPILED = "compiled"
PYTHONPATH = ":"  # separator of PYTHONPATH, which cannot be escaped


class RunTask(NamedTuple):
    """A run to be started. needs: the name of the task whose run it starts from, "" for
    none. beside: further runs that the process trains, as lanes of one step."""

    name: str
    workdir: Path
    needs: str
    beside: tuple["RunTask", ...] = ()

    @property
    def lanes(self) -> tuple["RunTask", ...]:
        """The runs of the process, each as a task of one lane."""
        return (self._replace(beside=()), *self.beside)

    @property
    def title(self) -> str:
        more = len(self.beside)
        return f"{self.name} and {more} beside it" if more else self.name

    @property
    def config(self) -> Path:
        return self.workdir.with_name(f"{self.workdir.name}.json")

    @property
    def log(self) -> Path:
        return self.workdir.with_name(f"{self.workdir.name}.log")


def command(code: Path, task: RunTask) -> list[str]:
    """The command that starts or continues a run with the launch.py in `code`."""
    launch = [sys.executable, str(code / "launch.py"), "train"]
    for lane in task.lanes:
        launch += [f"--config={lane.config}", f"--workdir={lane.workdir}"]
    return launch


def join_lanes(lanes: Sequence[RunTask]) -> RunTask:
    """Join one or more tasks into one with several lanes."""
    return lanes[0]._replace(beside=tuple(lanes[1:]))


def check_path(folder: Path, forbidden: str) -> None:
    """Refuse a folder whose path holds a forbidden character. Raises UsageError."""
    path = str(folder.absolute())
    if bad := [character for character in path if character in forbidden]:
        raise UsageError(
            f"{path} holds {bad[0]!r}, which jobs cannot have in their paths: choose a "
            "--root or --workdir without it"
        )


def environment(folder: Path) -> dict[str, str]:
    """The environment of this process, with the sweep's compile cache.

    Equal programs are compiled once for all runs. Programs compiled for one kind of
    processor may not run on another, so each kind has its own cache.
    """
    cache = folder / COMPILED / hardware.processor()
    return {
        "JAX_COMPILATION_CACHE_DIR": str(cache.absolute()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        **os.environ,
    }
