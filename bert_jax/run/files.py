"""Files that people, disks and kills can damage: read with checks, written whole.

One reader of JSON, one lock, one way to write a file or a folder whole or not at all,
and one digest, for every module.
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

CHECK = "check"  # the key of a JSON object that digests all its other keys
LARGEST_JSON = 200_000_000  # bytes; a larger file is none of ours
SETTLED = 2.0  # seconds after which a change of a file shows in its times for sure
TRIES, PAUSE = 5, 0.05  # to take a lock: others hold it for an instant to look

# What a disk refuses, and the mend. Libraries say it in a text of their own.
FULL = "free some space, then run the same command again"
MENDS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: "the limit of this system on a file (ulimit -f) is too low",
    errno.EROFS: "name another folder, or make the disk writable",
    errno.EIO: "the disk fails: name another",
}
LONGEST_NAME = 200  # characters of a path that are shown
OURS = (errno.EBADF, errno.EINVAL)  # mistakes of a program, not of a disk or a path

Shape = TypeVar("Shape")


def read_json(path: Path, shape: type[Shape] = dict) -> Shape:
    """The JSON value of a file, whose types must be those of `shape`.

    `shape` is a type, such as dict or a TypedDict; keys that a TypedDict does not name
    are kept. A `check`, where there is one, must match. Raises UsageError, one line that
    names the file, for a file that cannot be read, is too large, is no JSON, holds a
    number that is not finite, or holds another kind of value.
    """
    return parse_json(read_bytes(path, LARGEST_JSON), shape, str(path))


def parse_json(content: bytes | str, shape: type[Shape], name: str) -> Shape:
    """`read_json` of content that was read already; `name` says where it stands."""
    try:
        msgspec.json.decode(content, type=shape)
        value: Any = msgspec.json.decode(content)  # with keys that the shape leaves out
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


def check_of(value: Mapping[str, Any]) -> str:
    """The digest of all keys of a JSON object but `check`."""
    content = {key: item for key, item in value.items() if key != CHECK}
    return digest(json.dumps(content, sort_keys=True), length=16)


def checked(value: Mapping[str, Any]) -> dict[str, Any]:
    """The object with the `check` that `read_json` compares."""
    plain = json.loads(json.dumps(value, allow_nan=False))  # keys are text in a file
    return {**plain, CHECK: check_of(plain)}


def digest(*parts: str | bytes, length: int) -> str:
    """`length` hexadecimal digits of the SHA-256 of the parts, each with its size."""
    found = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        found.update(len(content).to_bytes(8, "big") + content)
    return found.hexdigest()[:length]


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fault(error: BaseException) -> str:
    """A line on what the system refused: the file, the reason, the mend.

    "" where the error, and those that it came from, are of another kind.
    """
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.errno and found.errno not in OURS:
            name, mend = str(found.filename or ""), MENDS.get(found.errno, "")
            if os.path.islink(name) and not os.path.exists(name):
                return f"{name} is a link to {os.readlink(name)}, which is not there"
            if len(name) > LONGEST_NAME:
                name = f"{name[:LONGEST_NAME]}... ({len(name):,} characters)"
            return ": ".join(filter(None, [name, found.strerror, mend]))
        for number, mend in MENDS.items():
            if os.strerror(number) in str(found):
                return f"{' '.join(str(found).split())}: {mend}"
        found = found.__cause__ or found.__context__
    return ""


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """OSErrors in here say that they are of this file: a write to an open one does not."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def content_digest(path: Path) -> str:
    """`file_digest`, remembered by this process until something is done to the file."""
    stat = path.stat()
    if time.time() - stat.st_ctime < SETTLED:
        return file_digest(path)
    state = stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
    return _digest_in(path.resolve(), state)


@functools.cache
def _digest_in(path: Path, state: tuple[int, ...]) -> str:
    return file_digest(path)


@contextlib.contextmanager
def only_drawn(path: Path) -> Iterator[None]:
    """A picture fails nothing: what the disk refuses in here is told, and all goes on."""
    try:
        yield
    except OSError as error:
        print(f"warning: {path} is not drawn: {fault(error) or error}", file=sys.stderr)


def prefix_digest(path: Path, size: int) -> str:
    """The SHA-256 of the first `size` bytes of a file, which may be absent."""
    found = hashlib.sha256()
    with path.open("rb") if path.exists() else io.BytesIO() as file:
        while size and (part := file.read(min(size, 1 << 20))):
            found.update(part)
            size -= len(part)
    return found.hexdigest()


def read_bytes(path: Path, largest: int) -> bytes:
    """The content of a file of at most `largest` bytes. Raises UsageError."""
    try:
        if (size := path.stat().st_size) > largest:
            raise UsageError(f"{path} has {size:,} bytes, more than {largest:,}")
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"there is no {path}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def read_text(path: Path, largest: int = LARGEST_JSON) -> str:
    """The UTF-8 text of a file. Raises UsageError."""
    try:
        return read_bytes(path, largest).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text: {error}") from None


def write_json(path: Path, value: Any) -> None:
    """Raises ValueError for a number that is not finite: JSON has none."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    write_parts(path, [content])


def write_parts(path: Path, parts: Iterable[bytes]) -> None:
    """Whole or not at all, also when the disk is full or the machine dies."""
    beside = beside_of(path)
    try:
        with naming(path), beside.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        with naming(path):
            beside.replace(path)
    finally:
        with contextlib.suppress(OSError):  # on a disk that fails, keep the first error
            beside.unlink(missing_ok=True)
    sync_directory(path.parent)


@contextlib.contextmanager
def whole_directory(target: Path) -> Iterator[Path]:
    """A new folder beside `target`, which takes its place when the block ends well and
    is removed when it does not. `target` must be absent or empty by then."""
    beside = beside_of(target)
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        sync_directory(beside)
        beside.replace(target)
        sync_directory(target.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def beside_of(path: Path) -> Path:
    """Where a file or folder is made before it is renamed."""
    return path.with_name(f".{path.name}.tmp")


def sync_directory(directory: Path) -> None:
    """A rename outlives a power cut only once its directory is on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Locked(Exception):
    """Another process holds the lock; the text is what that process wrote into it."""


@contextlib.contextmanager
def lock(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[TextIO]:
    """Held by one process at a time; the kernel frees it when that process is killed.

    Yields the open file, in which the holder may say who it is. While another holds it:
    calls `waiting` once and waits, or, without `waiting`, raises Locked. Raises OSError
    where the file system has no locks.
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
    """Whether a process holds that lock. Looking takes it for an instant."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
