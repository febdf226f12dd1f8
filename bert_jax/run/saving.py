"""What surrounds the save of a checkpoint: room on the disk, one line for a disk that is
full, silence, and what a killed save left. Never imports jax."""

import asyncio
import contextlib
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from bert_jax.run import manifest, rundir
from bert_jax.run.exits import UsageError

PATIENCE = 60  # seconds that a failed save is given to end what it began


class EventLoop(asyncio.SelectorEventLoop):
    """An event loop that lets its tasks end before it closes.

    Orbax writes arrays side by side and closes its loop at the first that fails; those
    that fail after it would each print a traceback, of a loop that is closed.
    """

    def close(self) -> None:
        if not self.is_closed() and (tasks := asyncio.all_tasks(self)):
            self.run_until_complete(asyncio.wait(tasks, timeout=PATIENCE))
        super().close()


class EventLoops(asyncio.DefaultEventLoopPolicy):
    """The policy by which a process that saves makes its event loops: the threads of
    orbax take theirs from nowhere else."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return EventLoop()


def require_room(target: Path, needed: int) -> None:
    """Refuse to begin a save of so many bytes that the disk has no room for."""
    free = shutil.disk_usage(target.parents[1]).free
    if free < needed:
        raise UsageError(
            f"no space left on the device for {target}: it needs {needed / 1e6:.0f} MB "
            f"and {free / 1e6:.0f} MB are free; free some and run again; the "
            "checkpoints before it are intact"
        )


@contextlib.contextmanager
def named(target: Path) -> Iterator[None]:
    """Turns a write that a full disk failed into one line that names the checkpoint."""
    try:
        yield
    except Exception as error:  # orbax raises several kinds
        if not re.search(r"[Nn]o space|ENOSPC|RESOURCE_EXHAUST", str(error)):
            raise
        shutil.rmtree(target, ignore_errors=True)
        remove_unfinished(target.parent)
        raise UsageError(
            f"no space left on the device while saving {target}: free some "
            "and run again; the checkpoints before it are intact"
        ) from error


def remove_unfinished(directory: Path) -> None:
    """Delete what a killed save left: orbax's temporaries, steps without manifest."""
    if not directory.is_dir():
        return
    for path in directory.iterdir():
        is_step = rundir.step_of(path.name) is not None
        unfinished = is_step and not (path / manifest.FILE).exists()
        if unfinished or ".orbax-checkpoint-tmp" in path.name:
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what orbax logs: of what fails, a traceback a thread, and it raises it too."""

    def drop(record: logging.LogRecord) -> bool:
        return False

    log = logging.getLogger("absl")
    log.addFilter(drop)
    try:
        yield
    finally:
        log.removeFilter(drop)
