"""What surrounds the save of a checkpoint: room on the disk, one line for a disk that is
full, and what a killed save left. Never imports jax."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from bert_jax import manifest, rundir
from bert_jax.stop import UsageError


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
