"""The files of a run, their format, and the lease of the one process that writes it.

Never imports jax: sweeps and reports read runs too.
"""

import contextlib
import importlib.metadata
import json
import math
import os
import platform
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from bert_jax import files, rules
from bert_jax.stop import UsageError

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


def create(workdir: Path) -> None:
    """Makes the directory; refuses one that holds something else than a run."""
    if workdir.exists() and not workdir.is_dir():
        raise UsageError(f"--workdir={workdir} is a file; choose a directory")
    workdir.mkdir(parents=True, exist_ok=True)
    own = {*NAMES, *(files.beside_of(workdir / name).name for name in NAMES)}
    strangers = sorted({entry.name for entry in workdir.iterdir()} - own)
    if strangers and not is_run(workdir):
        raise UsageError(
            f"{workdir} is no run, and holds {strangers[0]}; choose another --workdir"
        )


def is_run(workdir: Path) -> bool:
    return (workdir / CONFIG).is_file() and (workdir / RUN).is_file()


def is_done(workdir: Path, fingerprint: str) -> bool:
    """Whether the run of this config has finished in this directory."""
    if not (workdir / RESULT).is_file():
        return False
    return read(workdir, RESULT)["fingerprint"] == fingerprint


def lacking(result: Mapping[str, Any], config: Any) -> list[str]:
    """The prefixes of the shared rows of a config that a finished run was not evaluated
    on, or on rows of another length."""
    lengths = result.get("row_lengths", {})
    prefixes = [f"valid/{kind}" for kind in rules.shared_rows(config)]
    return [name for name in prefixes if lengths.get(name) != config.eval.length]


def check_is_run(workdir: Path) -> None:
    if not is_run(workdir):
        raise UsageError(f"{workdir} is no run: it lacks {CONFIG} or {RUN}")


def read(workdir: Path, name: str) -> dict[str, Any]:
    """One of the JSON files of a run."""
    try:
        return json.loads(read_text(workdir, name))
    except ValueError as error:
        raise UsageError(f"{workdir / name} is not JSON: {error}") from None


def read_text(workdir: Path, name: str) -> str:
    """One of the text files of a run."""
    check_is_run(workdir)
    try:
        return (workdir / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{workdir} has no {name}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{workdir / name} is no text: {error}") from None


def write_result(workdir: Path, result: Mapping[str, Any]) -> None:
    """What became of a run, whole or not at all."""
    files.write_json(workdir / RESULT, files.checked(result))


def append_metrics(workdir: Path) -> TextIO:
    """metrics.jsonl, opened so that the next line is not glued to a torn one."""
    path = workdir / METRICS
    written = path.read_bytes() if path.exists() else b""
    file = path.open("a", encoding="utf-8")
    if written and not written.endswith(b"\n"):
        file.write("\n")
    return file


def metrics_line(step: int, metrics: Mapping[str, float]) -> str:
    """A line of metrics.jsonl; JSON has no number that is not finite: null."""
    values = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
    return json.dumps({"step": step, **values}, allow_nan=False) + "\n"


def read_metrics(workdir: Path) -> dict[int, dict[str, float]]:
    """Step to values, ascending; of a repeated step and key the last line counts."""
    steps: dict[int, dict[str, float]] = {}
    path = workdir / METRICS
    lines = path.read_bytes().splitlines() if path.exists() else []
    for line in lines:
        try:
            values = json.loads(line)
        except ValueError:  # torn by a kill in the middle of a write
            continue
        step = values.pop("step")
        numbers = {k: math.nan if v is None else v for k, v in values.items()}
        steps.setdefault(step, {}).update(numbers)
    return dict(sorted(steps.items()))


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


def is_held(workdir: Path) -> bool:
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
    root = Path(__file__).parents[1]
    if (root / COMMIT).is_file():
        return (root / COMMIT).read_text(encoding="utf-8").strip()
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
