"""Safe file access: reading with checks, atomic writing.

One reader of JSON, one lock, one way to write a file or a folder atomically, and one
digest, for all modules.
"""

import contextlib
import errno
import fcntl
import functools
import hashlib
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO, TypeVar, cast

import msgspec

from bert_jax.run.exits import UsageError

CHECK = "check"  # key of a JSON object: the digest of its other keys
LARGEST_JSON = 200_000_000  # bytes; a larger file was not written by bert_jax
SETTLED = 2.0  # seconds after which a change surely shows in a file's times
TRIES, PAUSE = 5, 0.05  # to take a lock, which others take briefly to test it

# Errors of a disk, with remedies. Libraries wrap them in messages of their own.
FULL = "free some space, then run the same command again"
REMEDIES = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: "the limit of this system on a file (ulimit -f) is too low",
    errno.EROFS: "name another folder, or make the disk writable",
    errno.EIO: "the disk fails: name another",
}
LONGEST_NAME = 200  # characters of a path shown in messages
# Errors of a program, not of a disk or path.
PROGRAM_ERRORS = (errno.EBADF, errno.EINVAL)

Shape = TypeVar("Shape")


def read_json(path: Path, shape: type[Shape] = dict) -> Shape:
    """Read the JSON value of a file, whose types must match `shape`.

    `shape` is a type, such as dict or a TypedDict; keys that a TypedDict does not name
    are kept. A `check`, if there is one, must match. Raises UsageError, one line that
    names the file, for a file that cannot be read, is too large, is no JSON, holds a
    number that is not finite, or has other types.
    """
    return parse_json(read_bytes(path, LARGEST_JSON), shape, str(path))


def parse_json(content: bytes | str, shape: type[Shape], name: str) -> Shape:
    """Parse JSON content as `read_json` does; `name` names its source in messages."""
    try:
        msgspec.json.decode(content, type=shape)
        value: Any = msgspec.json.decode(content)  # with keys that the shape lacks
    except msgspec.ValidationError as error:
        raise UsageError(f"{name} is not what it should be: {error}") from None
    except RecursionError:
        raise UsageError(f"{name} is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{name} is not JSON: {error}") from None
    if isinstance(value, dict) and CHECK in value and value[CHECK] != check_of(value):
        raise UsageError(
            f"{name} was edited or damaged: its check is {value[CHECK]!r:.40}, and its "
            f"content gives {check_of(value)!r}"
        )
    return cast(Shape, value)


def parse_written(where: str, content: str | bytes) -> Any:
    """Parse JSON that a person wrote. UsageError for what is none."""
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if error.lineno > 1 else ""
        reason = f"no JSON ({error.msg}, column {error.colno})"
        raise UsageError(f"{where}{line}: {reason}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: no JSON ({error})") from error


def check_of(value: Mapping[str, Any]) -> str:
    """The digest of all keys of a JSON object but `check`."""
    content = {key: item for key, item in value.items() if key != CHECK}
    return digest(json.dumps(content, sort_keys=True), length=16)


def checked(value: Mapping[str, Any]) -> dict[str, Any]:
    """The object with the `check` that `read_json` verifies."""
    plain = json.loads(json.dumps(value, allow_nan=False))  # keys become text
    return {**plain, CHECK: check_of(plain)}


def digest(*parts: str | bytes, length: int) -> str:
    """The first `length` hexadecimal digits of the SHA-256 of the parts with their
    sizes."""
    hasher = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        hasher.update(len(content).to_bytes(8, "big") + content)
    return hasher.hexdigest()[:length]


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fault(error: BaseException) -> str:
    """Describe an error of the operating system: the file, the reason, the remedy.

    "" if neither the error nor its causes are such an error.
    """
    cause: BaseException | None = error
    while cause is not None:
        if (
            isinstance(cause, OSError)
            and cause.errno
            and cause.errno not in PROGRAM_ERRORS
        ):
            name, remedy = str(cause.filename or ""), REMEDIES.get(cause.errno, "")
            if os.path.islink(name) and not os.path.exists(name):
                return f"{name} is a link to {os.readlink(name)}, which is not there"
            if len(name) > LONGEST_NAME:
                name = f"{name[:LONGEST_NAME]}... ({len(name):,} characters)"
            return ": ".join(filter(None, [name, cause.strerror, remedy]))
        for number, remedy in REMEDIES.items():
            if os.strerror(number) in str(cause):
                return f"{' '.join(str(cause).split())}: {remedy}"
        cause = cause.__cause__ or cause.__context__
    return ""


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the path to OSErrors raised inside: a write to an open file lacks it."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def content_digest(path: Path) -> str:
    """`file_digest`, cached by this process until the file changes."""
    stat = path.stat()
    if time.time() - stat.st_ctime < SETTLED:
        return file_digest(path)
    state = stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
    return _digest_in(path.resolve(), state)


@functools.cache
def _digest_in(path: Path, state: tuple[int, ...]) -> str:
    return file_digest(path)


@contextlib.contextmanager
def warn_if_not_drawn(path: Path) -> Iterator[None]:
    """Turn OSErrors into a warning: a failed figure must not fail a run."""
    try:
        yield
    except OSError as error:
        print(f"warning: {path} is not drawn: {fault(error) or error}", file=sys.stderr)


def prefix_digest(path: Path, size: int) -> str:
    """The SHA-256 of the first `size` bytes of a file, which may be absent."""
    hasher = hashlib.sha256()
    with path.open("rb") if path.exists() else io.BytesIO() as file:
        while size and (part := file.read(min(size, 1 << 20))):
            hasher.update(part)
            size -= len(part)
    return hasher.hexdigest()


def read_bytes(path: Path, largest: int) -> bytes:
    """Read a file of at most `largest` bytes. Raises UsageError."""
    try:
        if (size := path.stat().st_size) > largest:
            raise UsageError(f"{path} has {size:,} bytes, more than {largest:,}")
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"there is no {path}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def read_text(path: Path, largest: int = LARGEST_JSON) -> str:
    """Read a UTF-8 text file. Raises UsageError."""
    try:
        return read_bytes(path, largest).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text: {error}") from None


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file. Raises ValueError for a number that is not finite."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    write_parts(path, [content])


def write_parts(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file atomically, even if the disk is full or the machine crashes."""
    staging = beside_of(path)
    try:
        with naming(path), staging.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        with naming(path):
            staging.replace(path)
    finally:
        with contextlib.suppress(OSError):  # on a failing disk, keep the first error
            staging.unlink(missing_ok=True)
    sync_directory(path.parent)


@contextlib.contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """Make a folder that replaces `target` if the block succeeds, else is removed.

    `target` must then be absent or empty.
    """
    staging = beside_of(target)
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        yield staging
        sync_directory(staging)
        staging.replace(target)
        sync_directory(target.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def beside_of(path: Path) -> Path:
    """The temporary path of a file or folder before it is renamed."""
    return path.with_name(f".{path.name}.tmp")


def sync_directory(directory: Path) -> None:
    """Flush a directory, without which a rename may not survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Locked(Exception):
    """Error: another process has the lock; the text is what it wrote into it."""


@contextlib.contextmanager
def lock(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[TextIO]:
    """Lock a file for one process; the kernel releases the lock if that is killed.

    Yields the open file, in which the holder may identify itself. If another process
    has the lock: calls `waiting` once and waits, or, without `waiting`, raises Locked.
    Raises OSError if the file system has no locks.
    """
    with path.open("a+", encoding="utf-8") as file:
        for _ in range(TRIES):
            if _try_lock(file):
                break
            time.sleep(PAUSE)
        else:
            if waiting is None:
                file.seek(0)
                raise Locked(file.read().strip())
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _try_lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Whether a process has that lock. The test takes it briefly."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
