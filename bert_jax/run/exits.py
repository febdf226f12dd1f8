"""Exit codes, usage errors, and signals that ask a run to save and exit."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, Self

DONE = 0
USAGE = 2  # a mistake in the command or the config
PREEMPTED = 75  # saved; the same command continues
STALLED = 76  # the watchdog saw no step; the same command continues
DIVERGED = 77  # metrics or parameters are not finite

FINAL = (DONE, USAGE, DIVERGED)  # repeating the command would not help

# SLURM and submitit send SIGUSR1 or SIGUSR2 before the time limit.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class UsageError(Exception):
    """Error of a user's command; its text names the problem and the remedy.

    Unprintable characters, as of a damaged file, are shown as escapes.
    """

    def __str__(self) -> str:
        text = super().__str__()
        return "".join(
            c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text
        )


@contextlib.contextmanager
def handled(receive: Callable[[int, Any], None]) -> Iterator[None]:
    """Send stop signals to `receive` inside the block; restore the handlers after
    it."""
    previous = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, receive)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Stopping:
    """Whether any host was asked to stop; `with` installs and restores the handlers.

    `any_host` returns on every host whether one of them passed True, so that all stop
    at the same step: every host must call at the same places.
    """

    def __init__(self, any_host: Callable[[bool], bool]):
        self._any_host = any_host
        self._received: list[int] = []
        self._before = {number: signal.getsignal(number) for number in SIGNALS}

    def install(self) -> None:
        """Install the handlers; again after jax.distributed starts, as XLA takes
        SIGTERM."""
        for number in SIGNALS:
            signal.signal(number, self._receive)

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        return self._any_host(bool(self._received))

    def _receive(self, number: int, frame) -> None:
        if number == signal.SIGINT and signal.SIGINT in self._received:
            raise KeyboardInterrupt
        if not self._received:
            # Not print: a handler may interrupt another print.
            name = signal.Signals(number).name
            with contextlib.suppress(OSError):  # a full log
                os.write(2, f"\n{name}: stopping after this step; saving\n".encode())
        self._received.append(number)
