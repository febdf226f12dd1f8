"""The watchdog: ends a process in which nothing moves any more, and says where it stood."""

import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from bert_jax.run import exits, rundir

# A thread inside of these traces or compiles, which takes as long as it takes.
COMPILERS = tuple(
    os.path.join("jax", "_src", *name)
    for name in (
        ("compiler.py",),
        ("interpreters", "mlir.py"),
        ("interpreters", "partial_eval.py"),
    )
)
LOOKS = 4  # in each span of the seconds that are allowed


class Watchdog:
    """Watches, inside of `with`, that `fed` is called every so many seconds, 0 for not
    at all.

    A step and a batch of an evaluation feed it; so does a file that grows while a
    checkpoint is saved. While the main thread compiles it waits. Otherwise the stacks
    of all threads go to the runs' directories, and the process ends with exits.STALLED.
    """

    def __init__(self, workdirs: Sequence[Path], seconds: float):
        self._workdirs, self._seconds = workdirs, seconds
        self._over = threading.Event()
        self._saved = 0
        self.fed()

    def __enter__(self) -> Self:
        if self._seconds:
            self._saves()
            self.fed()
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()

    def fed(self) -> None:
        self._fed = time.monotonic()

    def feeding(self, stopping: Callable[[], bool]) -> Callable[[], bool]:
        """The question whether to stop, which every step and batch asks."""

        def asked() -> bool:
            self.fed()
            return stopping()

        return asked

    def _watch(self) -> None:
        looked, pause = time.monotonic(), self._seconds / LOOKS
        while not self._over.wait(pause):
            # A process that was suspended as a whole has lost nothing.
            suspended = time.monotonic() - looked > 2 * pause
            looked = time.monotonic()
            if suspended or is_compiling() or self._saves():
                self.fed()
            if time.monotonic() - self._fed > self._seconds:
                self._end()

    def _saves(self) -> bool:
        """Whether checkpoints have grown since the last look."""
        before, self._saved = self._saved, sum(map(_size, self._workdirs))
        return self._saved > before

    def _end(self) -> None:
        places = []
        for workdir in self._workdirs:
            with contextlib.suppress(OSError), (workdir / rundir.STACKS).open("w") as f:
                faulthandler.dump_traceback(f, all_threads=True)
                places.append(str(workdir / rundir.STACKS))
        if not places:
            faulthandler.dump_traceback(sys.stderr, all_threads=True)
        text = (
            f"\nstalled: no step, no batch of an evaluation and no part of a save for "
            f"{self._seconds:g} s (train.watchdog); the stacks of all threads are in "
            f"{', '.join(places) or 'these lines'}. The same command continues\n"
        )
        os.write(2, text.encode())
        os._exit(exits.STALLED)


def is_compiling() -> bool:
    """Whether the main thread traces or compiles a program."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        if frame.f_code.co_filename.endswith(COMPILERS):
            return True
        frame = frame.f_back
    return False


def _size(workdir: Path) -> int:
    """Bytes of all checkpoints, as they are found."""
    total = 0
    for folder, _, names in os.walk(workdir / rundir.CHECKPOINTS):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(folder, name)).st_size
    return total
