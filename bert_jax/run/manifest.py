"""Manifests of checkpoints: size and SHA-256 of each file, run, step, and length of
metrics.jsonl.

Orbax calls no fsync, and its checksums do not cover the values of arrays: without a
manifest a flipped bit loads silently. Also helpers of a save: disk space, one-line
errors for a full disk, logging, removal of unfinished saves. Never imports jax.
"""

import contextlib
import logging
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from bert_jax.run import files, record, rundir
from bert_jax.run.exits import UsageError
from bert_jax.run.rundir import Began

FILE = "manifest.json"
NOT_PARAMS = "rest/"  # prefix of a checkpoint's files without parameters
THREADS = 4  # hashing releases the GIL


class FileEntry(TypedDict):
    size: int
    sha256: str


class Manifest(TypedDict):
    """Contents of manifest.json. Format 1, which has no number, has only `files`."""

    files: dict[str, FileEntry]
    format: NotRequired[int]
    fingerprint: NotRequired[str]
    step: NotRequired[int]
    metrics_bytes: NotRequired[int]
    metrics_sha256: NotRequired[str]
    check: NotRequired[str]


def fault(directory: Path, run: Began) -> str:
    """Describe what is wrong with a checkpoint's state or with metrics.jsonl up to it;
    "" if both verify."""
    state_fault = _fault(directory, run, "")
    return state_fault or metrics_fault(directory)


def params_fault(directory: Path, run: Began) -> str:
    """Describe what is wrong with the files that a reader of parameters needs."""
    return _fault(directory, run, NOT_PARAMS)


def _fault(directory: Path, run: Began, excluded: str) -> str:
    try:
        written = read(directory)
    except UsageError as error:
        return str(error)
    if written is None:
        return "its save never finished"
    return _identity_fault(written, directory, run) or _files_fault(
        written, directory, excluded
    )


def read(directory: Path) -> Manifest | None:
    """Read a manifest, None if there is none. Raises UsageError if it is damaged."""
    path = directory / FILE
    if not path.is_file():
        return None
    written = files.read_json(path, Manifest)
    rundir.check_format(written, path)
    return written


def metrics_bytes(directory: Path) -> int | None:
    """The size of metrics.jsonl when this checkpoint was saved, None if unknown."""
    written = read(directory)
    return written.get("metrics_bytes") if written else None


def metrics_fault(directory: Path) -> str:
    """Describe how metrics.jsonl changed since this checkpoint was saved, "" if it did
    not."""
    written = read(directory)
    if written is None or "format" not in written:
        return ""
    size, digest = written.get("metrics_bytes"), written.get("metrics_sha256")
    if size is None or digest is None:
        return f"{FILE} does not say what {rundir.METRICS} was"
    return record.differs(directory.parents[1], size, digest)


def _identity_fault(written: Manifest, directory: Path, run: Began) -> str:
    if "format" not in written:
        return f"{FILE} has no format, {rundir.RUN} has" if "format" in run else ""
    owner, step = written.get("fingerprint"), written.get("step")
    if owner != run["fingerprint"]:
        return f"it is of run {owner!r:.40}, not of {run['fingerprint']}"
    if str(step) != directory.name:
        return f"it is of step {step!r:.40}, not of {directory.name}"
    return ""


def _files_fault(written: Manifest, directory: Path, excluded: str) -> str:
    listed, present = written["files"], _files(directory)
    for name in sorted(listed.keys() | present.keys()):
        if name not in present:
            return f"{name} is missing"
        if name not in listed:
            return f"{name} is not in its {FILE}"
        if (size := present[name].stat().st_size) != listed[name]["size"]:
            return f"{name} has {size} bytes instead of {listed[name]['size']}"
    names = [name for name in listed if not (excluded and name.startswith(excluded))]
    with ThreadPoolExecutor(THREADS) as pool:
        digests = pool.map(files.file_digest, [present[name] for name in names])
        for name, digest in zip(names, digests, strict=True):
            if digest != listed[name]["sha256"]:
                return f"{name} does not match its sha256"
    return ""


def _files(directory: Path) -> dict[str, Path]:
    """The files of a checkpoint without its manifest."""
    return {
        str(path.relative_to(directory)): path
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path != directory / FILE
    }


def write(directory: Path, fingerprint: str, metrics_bytes: int) -> None:
    """Flush all files to the disk, then write the manifest.

    The folder is named like its step; `metrics_bytes` is the size of metrics.jsonl.
    """
    listed = {}
    for name, path in _files(directory).items():
        with path.open("rb") as file:
            os.fsync(file.fileno())
        listed[name] = {"size": path.stat().st_size, "sha256": files.file_digest(path)}
    for folder in [p for p in directory.rglob("*") if p.is_dir()] + [directory]:
        files.sync_directory(folder)
    metrics = directory.parents[1] / rundir.METRICS
    content: dict[str, Any] = {
        "files": listed,
        "format": rundir.FORMAT,
        "fingerprint": fingerprint,
        "step": int(directory.name),
        "metrics_bytes": metrics_bytes,
        "metrics_sha256": files.prefix_digest(metrics, metrics_bytes),
    }
    files.write_json(directory / FILE, files.checked(content))
    files.sync_directory(directory.parent)


def require_room(target: Path, needed: int) -> None:
    """Refuse to begin a save for which the disk has no room."""
    free = shutil.disk_usage(target.parents[1]).free
    if free < needed:
        raise UsageError(
            f"no space left on the device for {target}: it needs {needed / 1e6:.0f} MB "
            f"and {free / 1e6:.0f} MB are free; free some and run again; the "
            "checkpoints before it are intact"
        )


@contextlib.contextmanager
def naming(target: Path) -> Iterator[None]:
    """Turn the error of a full disk into one line that names the checkpoint."""
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
        unfinished = is_step and not (path / FILE).exists()
        if unfinished or ".orbax-checkpoint-tmp" in path.name:
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop orbax's log, which has a traceback a thread for errors that are also
    raised."""

    def drop(record: logging.LogRecord) -> bool:
        return False

    log = logging.getLogger("absl")
    log.addFilter(drop)
    try:
        yield
    finally:
        log.removeFilter(drop)
