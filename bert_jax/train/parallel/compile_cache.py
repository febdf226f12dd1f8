"""Compiled programs, kept for the processes that come later."""

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import filelock
import jax
from jax.experimental.compilation_cache import compilation_cache

from bert_jax.run import hardware

MOST = 2**32  # bytes of them that are kept; those unused for longest go first


@contextlib.contextmanager
def kept(folder: Path) -> Generator[None]:
    """Keep compiled programs: one that took long is kept in the folder, and one that is
    there already is not compiled again, by this process or another.

    One folder for each kind of processor. Where JAX_COMPILATION_CACHE_DIR is set, its
    folder is used instead; where nothing can be written, nothing is kept.
    """
    place = folder.absolute() / f"compiled-{hardware.processor()}"
    if _get("dir") or not _clear_unfinished(place):
        yield
        return
    # JAX asks once whether there is a cache.
    compilation_cache.reset_cache()
    ours = {"dir": str(place), "max_size": MOST}
    before = {name: _get(name) for name in ours}
    try:
        _set(ours)
        yield
    finally:
        _set(before)
        compilation_cache.reset_cache()


def _get(name: str) -> Any:
    return getattr(jax.config, f"jax_compilation_cache_{name}")


def _set(values: dict[str, Any]) -> None:
    for name, value in values.items():
        jax.config.update(f"jax_compilation_cache_{name}", value)


def _clear_unfinished(place: Path) -> bool:
    """Delete programs whose writing was cut short: JAX would never write them again.

    With a bound on their size it writes, under this lock, first the program and then
    the time of its use. Returns whether it can.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(place / ".lockfile"):
            for program in place.glob("*-cache"):
                if not Path(f"{str(program).removesuffix('-cache')}-atime").exists():
                    program.unlink()
    except OSError:
        return False
    return True
