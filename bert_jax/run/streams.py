"""Standard streams that are closed, full, or no longer read.

They end no work: output that cannot be printed is dropped. A verb that only prints
exits, as nobody reads its output.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Callable
from typing import Any

from bert_jax.run import exits

STANDARD = (0, 1, 2)


class Unread(BaseException):
    """Standard output cannot be written; the text is the reason, "" if its reader left.

    Like KeyboardInterrupt no Exception, so that handlers of run or file errors do not
    catch it.
    """


class TolerantStream:
    """A text stream that drops output it cannot write, and calls `lost` each time."""

    def __init__(self, stream: Any, lost: Callable[[OSError], None]):
        self._stream, self._lost = stream, lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            with contextlib.suppress(OSError):  # a stream may have no file
                _open_null(self._stream.fileno())  # for the rest of its buffer
            self._lost(error)


def run_tolerantly(name: str, only_prints: bool, work: Callable[[], int]) -> int:
    """Run `work` with tolerant standard streams; its exit code.

    Lost standard output is reported on standard error, unless its reader left. Work
    that `only_prints` is ended by the loss, with code 2 or, if the reader left, 0.
    `name` prefixes messages.
    """
    closed = sys.stdout is None
    _open_closed()

    def lost(error: OSError) -> None:
        why = "" if error.errno == errno.EPIPE else f"{error.strerror}"
        if only_prints:
            raise Unread(why and f"standard output cannot be written: {why}")
        if why:
            print(
                f"{name}: warning: standard output cannot be written: {why}; "
                "the work goes on without it",
                file=sys.stderr,
            )

    def printed() -> int:
        if closed and only_prints:
            raise Unread("standard output is closed, and there is nothing but to print")
        code = work()
        sys.stdout.flush()
        return code

    out = TolerantStream(sys.stdout, lost)
    err = TolerantStream(sys.stderr, lambda error: None)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):  # pyright: ignore[reportArgumentType]
        try:
            return printed()
        except Unread as error:
            if not str(error):
                return exits.DONE
            print(f"{name}: {error}", file=sys.stderr)
            return exits.USAGE


def _open_closed() -> None:
    """Open closed standard streams on the null device, so that no other file gets their
    number."""
    for number in STANDARD:
        try:
            os.fstat(number)
        except OSError:
            _open_null(number)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


def _open_null(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null == number:
        os.set_inheritable(null, True)
    else:
        os.dup2(null, number)
        os.close(null)
