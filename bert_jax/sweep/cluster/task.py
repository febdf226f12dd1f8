"""One run to be started: where it lives, its command, its environment."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bert_jax.run import hardware
from bert_jax.run.exits import UsageError

COMPILED = "compiled"
PYTHONPATH = ":"  # parts it, with no way to write one that does not


class Task(NamedTuple):
    """needs: the name of the task whose run this one starts from, "" for none.
    beside: those that the same process trains, as lanes of one step."""

    name: str
    workdir: Path
    needs: str
    beside: tuple["Task", ...] = ()

    @property
    def lanes(self) -> tuple["Task", ...]:
        """Each run of the process as a task by itself."""
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


def command(code: Path, task: Task) -> list[str]:
    """Starts or continues the run with the launch.py of that folder."""
    launch = [sys.executable, str(code / "launch.py"), "train"]
    for lane in task.lanes:
        launch += [f"--config={lane.config}", f"--workdir={lane.workdir}"]
    return launch


def together(lanes: Sequence[Task]) -> Task:
    """One task of several, or of one."""
    return lanes[0]._replace(beside=tuple(lanes[1:]))


def check_path(folder: Path, forbidden: str) -> None:
    """Refuse a folder with a character that whatever starts its jobs reads as another.

    Raises UsageError.
    """
    path = str(folder.absolute())
    if bad := [character for character in path if character in forbidden]:
        raise UsageError(
            f"{path} holds {bad[0]!r}, which jobs cannot have in their paths: choose a "
            "--root or --workdir without it"
        )


def environment(folder: Path) -> dict[str, str]:
    """That of this process, with the sweep's compilation cache.

    Programs that are equal are compiled once for all runs. What was compiled for one
    kind of processor may not run on another, so each kind has its own.
    """
    cache = folder / COMPILED / hardware.processor()
    return {
        "JAX_COMPILATION_CACHE_DIR": str(cache.absolute()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        **os.environ,
    }
