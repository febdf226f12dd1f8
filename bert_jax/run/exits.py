"""Exit codes, the error of a person, and the signals that ask a run to save and leave."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, Self

DONE = 0
USAGE = 2  # a mistake in the command or the config
PREEMPTED = 75  # saved; the same command continues
STALLED = 76  # the watchdog saw no step; the same command continues
DIVERGED = 77  # it would end with numbers that are not finite

FINAL = (DONE, USAGE, DIVERGED)  # the same command again would only repeat it

# SLURM and submitit send SIGUSR1 or SIGUSR2 ahead of the time limit.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class UsageError(Exception):
    """What the person asked for cannot be done; its text names the thing and the mend.

    What cannot be printed of it, as of a damaged file, is shown as an escape.
    """

    def __str__(self) -> str:
        text = super().__str__()
        return "".join(
            c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text
        )


@contextlib.contextmanager
def handled(receive: Callable[[int, Any], None]) -> Iterator[None]:
    """Those signals go to `receive` in here, and to whom they went before after it."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, receive)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Stopping:
    """Whether any host was asked to stop; `with` puts the handlers in and back.

    `any_host` tells every host whether one of them says True, so that all leave at
    the same step: each must call at the same places.
    """

    def __init__(self, any_host: Callable[[bool], bool]):
        self._any_host = any_host
        self._received: list[int] = []
        self._before = {number: signal.getsignal(number) for number in SIGNALS}

    def install(self) -> None:
        """Call again after jax.distributed starts: XLA takes SIGTERM for itself."""
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
            # Not print: a handler may run inside another print.
            name = signal.Signals(number).name
            with contextlib.suppress(OSError):  # a log that is full
                os.write(2, f"\n{name}: stopping after this step; saving\n".encode())
        self._received.append(number)
