"""Run directories: files, their format, and the lease of the process that writes them.

Never imports jax: sweeps and reports read runs too.
"""

import contextlib
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NotRequired, TextIO, TypedDict

from bert_jax.run import files, history, rules
from bert_jax.run.exits import UsageError
from bert_jax.run.history import History

CONFIG = "config.json"
RUN = "run.json"
TOKENIZER = "tokenizer.json"
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
RESULT = "result.json"
LEASE = "lease"
CURVE = "curve.png"
STACKS = "stacks.txt"  # stacks of all threads when the watchdog ended a process
FINITE = "train/finite"  # a metric: 0 if a run diverged, else absent
FORMAT = 2  # of run.json, result.json and the manifests of checkpoints
DIGITS = 9  # of a step, at most
COMMIT = "COMMIT"  # beside the package in a code snapshot, which has no git
NAMES = (
    CONFIG,
    RUN,
    TOKENIZER,
    METRICS,
    CHECKPOINTS,
    TENSORBOARD,
    RESULT,
    LEASE,
    CURVE,
    STACKS,
)

PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "ml-collections",
    "numpy",
    "tokenizers",
)


# Parts of two Hugging Face files that an imported model keeps for an export.
Kept = TypedDict(
    "Kept", {"config.json": dict[str, Any], "tokenizer_config.json": dict[str, Any]}
)


class Began(TypedDict):
    """Contents of run.json. Format 1, which has no number, has no check either."""

    format: NotRequired[int]
    fingerprint: str
    parent: str
    seed: int
    versions: dict[str, str]
    devices: list[str]
    tokenizer: str
    data: str
    labels: NotRequired[list[str]]
    source: NotRequired[str]
    task: NotRequired[str]
    kept: NotRequired[Kept]
    check: NotRequired[str]


def create(workdir: Path) -> None:
    """Make the directory; refuse one with other contents than a complete run."""
    if not workdir.is_dir() and os.path.lexists(workdir):
        kind = "a link to nothing" if workdir.is_symlink() else "a file"
        raise UsageError(f"--workdir={workdir} is {kind}; choose a directory")
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {workdir}: {error.strerror}") from None
    known = {*NAMES, *(files.beside_of(workdir / name).name for name in NAMES)}
    strangers = sorted({entry.name for entry in workdir.iterdir()} - known)
    if strangers and not is_run(workdir):
        raise UsageError(
            f"{workdir} is no run, and holds {strangers[0]}; choose another --workdir"
        )
    _check_not_partial(workdir)


def _check_not_partial(workdir: Path) -> None:
    """Refuse a directory with results but without config.json or run.json.

    Both are written before anything else but the vocabulary, config.json last.
    """
    if is_run(workdir):
        return
    left = [name for name in (METRICS, RESULT) if (workdir / name).exists()]
    left += [CHECKPOINTS] if steps(workdir / CHECKPOINTS) else []
    left += [CONFIG] if (workdir / CONFIG).exists() else []
    if left:
        raise UsageError(
            f"{workdir} holds {' and '.join(left)} of a run, but lacks "
            f"{_missing(workdir)}: restore that from a copy, or choose another --workdir"
        )


def is_run(workdir: Path) -> bool:
    """Whether a directory has config.json and run.json."""
    return not _missing(workdir)


def _missing(workdir: Path) -> str:
    names = [name for name in (CONFIG, RUN) if not (workdir / name).is_file()]
    return " and ".join(names)


def lacking(result: Mapping[str, Any], config: Any) -> list[str]:
    """Prefixes of a config's shared rows that a finished run was not evaluated on with
    the same length."""
    lengths = result.get("row_lengths", {})
    prefixes = [f"valid/{kind}" for kind in rules.shared_rows(config)]
    return [name for name in prefixes if lengths.get(name) != config.eval.length]


def check_is_run(workdir: Path) -> None:
    """Refuse a directory that is no run. Raises UsageError."""
    if missing := _missing(workdir):
        raise UsageError(f"{workdir} is no run: it lacks {missing}")


def began(workdir: Path) -> Began:
    """Read the run.json of a run. Raises UsageError."""
    check_is_run(workdir)
    path = workdir / RUN
    run = files.read_json(path, Began)
    check_format(run, path)
    return run


def check_format(written: Mapping[str, Any], path: Path) -> None:
    """Refuse a file of a later version, or without its format or its check."""
    form = written.get("format", 1)
    if form not in (1, FORMAT):
        raise UsageError(
            f"{path} has format {form}, and this code reads up to {FORMAT}"
        )
    if (form == FORMAT) != (files.CHECK in written):
        raise UsageError(f"{path} was edited or damaged: format {form} and its check")


def steps(directory: Path) -> list[int]:
    """The steps with a checkpoint in a folder, verified or not, sorted."""
    if not directory.is_dir():
        return []
    numbers = (step_of(path.name) for path in directory.iterdir() if path.is_dir())
    return sorted(step for step in numbers if step is not None)


def step_of(name: str) -> int | None:
    """Parse the name of a checkpoint's folder to its step, None for any other name."""
    known = name.isascii() and name.isdigit() and len(name) <= DIGITS
    return int(name) if known and str(int(name)) == name else None


def source(text: str) -> tuple[Path, int | None]:
    """Parse `RUN` or `RUN/checkpoints/STEP` to run and step, None without a step."""
    path = Path(text)
    step = step_of(path.name)
    if step is not None and path.parent.name == CHECKPOINTS:
        return path.parent.parent, step
    return path, None


def read(workdir: Path, name: str) -> dict[str, Any]:
    """Read a JSON file of a run, without the comparisons of `record.read`."""
    check_is_run(workdir)
    if not (workdir / name).is_file():
        raise UsageError(f"{workdir} has no {name}")
    return files.read_json(workdir / name)


def append_metrics(workdir: Path) -> TextIO:
    return history.append(workdir / METRICS)


def metrics_line(step: int, metrics: Mapping[str, float]) -> str:
    return history.line(step, metrics)


def read_metrics(workdir: Path) -> History:
    """Read metrics.jsonl: step to values, ascending."""
    return history.read(workdir / METRICS)


@contextlib.contextmanager
def lease(workdir: Path, option: str) -> Iterator[None]:
    """Lock a run for the one process that writes it; the kernel releases it at a kill.

    A directory in which nothing was written is removed again. `option` is the option of
    launch.py that names the directory.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(files.lock(workdir / LEASE))
        except files.Locked as holder:
            raise UsageError(
                f"{workdir} is being written by {holder or 'another process'}; "
                f"stop it or choose another {option}"
            ) from None
        except OSError as error:
            raise UsageError(
                f"cannot lock {workdir}: {error.strerror}; "
                f"choose a {option} on a file system with locks"
            ) from None
        file.truncate(0)
        holder = f"process {os.getpid()} on host {socket.gethostname()}\n"
        with contextlib.suppress(OSError):  # on a full disk the lock still works
            os.write(file.fileno(), holder.encode())
        try:
            yield
        finally:
            if [entry.name for entry in workdir.iterdir()] == [LEASE]:
                (workdir / LEASE).unlink()
                workdir.rmdir()


def is_leased(workdir: Path) -> bool:
    """Whether a process writes that run."""
    return files.is_locked(workdir / LEASE)


def versions() -> dict[str, str]:
    """Versions of software and code, for run.json."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "commit": commit(),
        **packages,
    }


def commit() -> str:
    """The commit of this checkout, "-dirty" if edited since, or of the snapshot; ""
    outside git."""
    root = Path(__file__).parents[2]
    if (root / COMMIT).is_file():
        return files.read_text(root / COMMIT).strip()
    # Name the git directory, so that git does not use an enclosing repository.
    command = ["git", f"--git-dir={root / '.git'}", f"--work-tree={root}"]
    command += ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Describe leaves that differ between nested dicts as `key: old -> new`."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    return [
        f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value, ensure_ascii=False)
