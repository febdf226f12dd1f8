"""The files of a run, their format, and the lease of the one process that writes it.

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
STACKS = "stacks.txt"  # of all threads, where the watchdog ended a process
FINITE = "train/finite"  # a metric: 0 where a run diverged, else left out
FORMAT = 2  # of run.json, result.json and the manifests of checkpoints
DIGITS = 9  # of a step, at most
COMMIT = "COMMIT"  # beside the package in a snapshot of the code, which has no git
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


# What an imported model keeps of two files of theirs, for an export to write back.
Kept = TypedDict(
    "Kept", {"config.json": dict[str, Any], "tokenizer_config.json": dict[str, Any]}
)


class Began(TypedDict):
    """run.json. Format 1, which has no number, has no check either."""

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
    """Makes the directory; refuses one that holds something else than a whole run."""
    if not workdir.is_dir() and os.path.lexists(workdir):
        kind = "a link to nothing" if workdir.is_symlink() else "a file"
        raise UsageError(f"--workdir={workdir} is {kind}; choose a directory")
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {workdir}: {error.strerror}") from None
    own = {*NAMES, *(files.beside_of(workdir / name).name for name in NAMES)}
    strangers = sorted({entry.name for entry in workdir.iterdir()} - own)
    if strangers and not is_run(workdir):
        raise UsageError(
            f"{workdir} is no run, and holds {strangers[0]}; choose another --workdir"
        )
    _check_not_half(workdir)


def _check_not_half(workdir: Path) -> None:
    """Refuse what a run left that lost config.json or run.json: both are written before
    anything else but the vocabulary, config.json last."""
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
    return not _missing(workdir)


def _missing(workdir: Path) -> str:
    names = [name for name in (CONFIG, RUN) if not (workdir / name).is_file()]
    return " and ".join(names)


def lacking(result: Mapping[str, Any], config: Any) -> list[str]:
    """The prefixes of the shared rows of a config that a finished run was not evaluated
    on, or on rows of another length."""
    lengths = result.get("row_lengths", {})
    prefixes = [f"valid/{kind}" for kind in rules.shared_rows(config)]
    return [name for name in prefixes if lengths.get(name) != config.eval.length]


def check_is_run(workdir: Path) -> None:
    if missing := _missing(workdir):
        raise UsageError(f"{workdir} is no run: it lacks {missing}")


def began(workdir: Path) -> Began:
    """The run.json of a run. Raises UsageError."""
    check_is_run(workdir)
    path = workdir / RUN
    run = files.read_json(path, Began)
    check_format(run, path)
    return run


def check_format(written: Mapping[str, Any], path: Path) -> None:
    """Refuse what a later version wrote, and what lost its format or its check."""
    form = written.get("format", 1)
    if form not in (1, FORMAT):
        raise UsageError(
            f"{path} has format {form}, and this code reads up to {FORMAT}"
        )
    if (form == FORMAT) != (files.CHECK in written):
        raise UsageError(f"{path} was edited or damaged: format {form} and its check")


def steps(directory: Path) -> list[int]:
    """The steps that have a checkpoint in a folder, verified or not, in order."""
    if not directory.is_dir():
        return []
    found = (step_of(path.name) for path in directory.iterdir() if path.is_dir())
    return sorted(step for step in found if step is not None)


def step_of(name: str) -> int | None:
    """The step whose checkpoint a folder of that name is, None of any other name."""
    known = name.isascii() and name.isdigit() and len(name) <= DIGITS
    return int(name) if known and str(int(name)) == name else None


def source(text: str) -> tuple[Path, int | None]:
    """`RUN` or `RUN/checkpoints/STEP` -> the run and the step, None for no certain one."""
    path = Path(text)
    step = step_of(path.name)
    if step is not None and path.parent.name == CHECKPOINTS:
        return path.parent.parent, step
    return path, None


def read(workdir: Path, name: str) -> dict[str, Any]:
    """One of the JSON files of a run, by itself: `record.read` compares them."""
    check_is_run(workdir)
    if not (workdir / name).is_file():
        raise UsageError(f"{workdir} has no {name}")
    return files.read_json(workdir / name)


def append_metrics(workdir: Path) -> TextIO:
    return history.append(workdir / METRICS)


def metrics_line(step: int, metrics: Mapping[str, float]) -> str:
    return history.line(step, metrics)


def read_metrics(workdir: Path) -> History:
    """metrics.jsonl: step to values, ascending."""
    return history.read(workdir / METRICS)


@contextlib.contextmanager
def lease(workdir: Path, option: str) -> Iterator[None]:
    """Held by the one process that writes this run; the kernel frees it at a kill.

    A directory in which nothing came of it is removed again. `option` is that of
    launch.py which names the directory.
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
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
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
    """What the code ran on, for run.json."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "commit": commit(),
        **packages,
    }


def commit() -> str:
    """The commit of this checkout, "-dirty" if edited since; that which a snapshot was
    taken of; "" outside git."""
    root = Path(__file__).parents[2]
    if (root / COMMIT).is_file():
        return files.read_text(root / COMMIT).strip()
    # Naming the git directory keeps git from taking an enclosing repository for ours.
    command = ["git", f"--git-dir={root / '.git'}", f"--work-tree={root}"]
    command += ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`key: old -> new` of every leaf that differs between two nested dicts."""
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
