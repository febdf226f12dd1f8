"""What a run says of itself, checked against itself: the one door to a run directory.

config.json and run.json must tell one fingerprint, result.json the same, and its numbers
must be those of metrics.jsonl. Files of format 1 are checked by what they have. Never
imports jax.
"""

import functools
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

from ml_collections import ConfigDict, FrozenConfigDict

from bert_jax.run import config as configs
from bert_jax.run import files, history, rundir
from bert_jax.run.exits import UsageError
from bert_jax.run.history import History
from bert_jax.run.rundir import CONFIG, FORMAT, METRICS, RESULT, RUN, Began

SECONDS = "time/seconds"


class Ended(TypedDict):
    """result.json: written last, whole."""

    format: NotRequired[int]
    fingerprint: str
    steps: int
    tokens: float
    seconds: float
    flops: float
    metrics: dict[str, float]
    best_step: NotRequired[int]
    measured: NotRequired[dict[str, str]]
    goodput: NotRequired[dict[str, float]]
    skipped: NotRequired[int]
    metrics_bytes: NotRequired[int]
    metrics_sha256: NotRequired[str]
    check: NotRequired[str]


class Record(NamedTuple):
    """config: with every key of today. result: None of a run that has not ended."""

    workdir: Path
    config: FrozenConfigDict
    run: Began
    result: Ended | None


def read(workdir: Path) -> Record:
    """The record of a run that has begun. Raises UsageError, which names both sides, if
    its files do not agree."""
    run = rundir.began(workdir)
    config = _config(workdir, run)
    result = _result(workdir, run) if (workdir / RESULT).is_file() else None
    if "format" not in run:
        history.say_once(
            f"{workdir} was written by an older version: its {CONFIG} and {RUN} have no "
            "check of their own, and are compared with each other alone"
        )
    return Record(workdir, config, run, result)


def is_done(workdir: Path, fingerprint: str) -> bool:
    """Whether the run of this config has finished in this directory."""
    if not (workdir / RESULT).is_file():
        return False
    result = read(workdir).result
    return result is not None and result["fingerprint"] == fingerprint


def write_began(
    workdir: Path, config: ConfigDict | FrozenConfigDict, run: Mapping[str, Any]
) -> None:
    """run.json, then config.json: with the second the run has begun."""
    written = files.checked({**run, "format": FORMAT})
    files.write_json(workdir / RUN, written)
    files.write_text(workdir / CONFIG, configs.canonical(config))


def write_result(workdir: Path, result: Mapping[str, Any]) -> None:
    """result.json, and in it how far metrics.jsonl went. Whole or not at all."""
    path = workdir / METRICS
    size = flushed(path)
    facts = {
        "format": FORMAT,
        "metrics_bytes": size,
        "metrics_sha256": files.prefix_digest(path, size),
    }
    content = {name: value for name, value in result.items() if name != files.CHECK}
    files.write_json(workdir / RESULT, files.checked(content | facts))


def flushed(path: Path) -> int:
    """The size of metrics.jsonl, of which all is on the disk then."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size


def differs(workdir: Path, size: int, digest: str) -> str:
    """How metrics.jsonl differs from what it was, "" if its first bytes are the same."""
    path = workdir / METRICS
    there = path.stat().st_size if path.exists() else 0
    if not 0 <= size <= there:
        return f"{METRICS} has {there} bytes instead of {size}"
    found = files.prefix_digest(path, size)
    if found != digest:
        return (
            f"the first {size} bytes of {METRICS} have sha256 {found[:16]} instead of "
            f"{digest[:16]}"
        )
    return ""


def _config(workdir: Path, run: Began) -> FrozenConfigDict:
    path = workdir / CONFIG
    text = files.read_text(path)
    written = files.parse_json(text, dict, str(path))
    if (files.CHECK in written) != ("format" in run):
        has = "has" if files.CHECK in written else "lacks"
        raise UsageError(
            f"{path} {has} a check and {RUN} has format {run.get('format', 1)}: "
            "one of them was edited or damaged"
        )
    written.pop(files.CHECK, None)
    try:
        config = configs.frozen(configs.from_json(text))
    except UsageError as error:
        raise UsageError(f"{path}: {'; '.join(str(error).splitlines())}") from None
    now = configs.fingerprint(config, run["parent"])
    # A version that had fewer keys took it of those alone.
    then = configs.fingerprint(ConfigDict(written), run["parent"])
    if run["fingerprint"] not in (now, then):
        raise UsageError(
            f"{workdir}: {CONFIG} has fingerprint {now} and {RUN} says "
            f"{run['fingerprint']}: one of them was edited or damaged, restore it"
        )
    return config


def _result(workdir: Path, run: Began) -> Ended:
    path = workdir / RESULT
    result = files.read_json(path, Ended)
    rundir.check_format(result, path)
    if "format" in run and "format" not in result:
        raise UsageError(f"{path} was edited or damaged: it has no format, {RUN} has")
    if result["fingerprint"] != run["fingerprint"]:
        raise UsageError(
            f"{workdir}: {RESULT} has fingerprint {result['fingerprint']} and {RUN} "
            f"says {run['fingerprint']}: one of them is another run's"
        )
    if reason := _unlike_metrics(workdir, result):
        raise UsageError(
            f"{path}: {reason}. Restore the damaged file, or remove {RESULT} and "
            "train again: the run goes on from its last checkpoint that verifies"
        )
    return result


def _unlike_metrics(workdir: Path, result: Ended) -> str:
    """How result.json and metrics.jsonl differ, "" if they do not."""
    if "metrics_bytes" in result and "metrics_sha256" in result:
        return differs(workdir, result["metrics_bytes"], result["metrics_sha256"])
    if "format" in result:
        return "it does not say what metrics.jsonl was"
    paths = [workdir / name for name in (RESULT, METRICS)]
    stamps = [path.stat().st_mtime_ns for path in paths if path.exists()]
    return _unlike_values(workdir, *stamps)


@functools.cache
def _unlike_values(workdir: Path, *stamps: int) -> str:
    """The first number of a result.json of format 1 that metrics.jsonl does not have."""
    result = files.read_json(workdir / RESULT, Ended)
    log = history.read(workdir / METRICS)
    if len(log) and (last := max(log)) != result["steps"]:
        return f"steps is {result['steps']}, and the last of {METRICS} is {last}"
    seconds = log.series(SECONDS).values
    if len(seconds) and seconds.max() != result["seconds"]:
        return f"seconds is {result['seconds']}, and {METRICS} has {seconds.max()}"
    chosen = log.get(result.get("best_step", result["steps"]), {})
    for name, value in result["metrics"].items():
        known = [*_last_finite(log, name), *(chosen[n] for n in (name,) if n in chosen)]
        if known and value not in known:
            return f"{name} is {value}, and {METRICS} has {known[0]}"
    return ""


def _last_finite(log: History, name: str) -> list[float]:
    values = [v for v in log.series(name).values.tolist() if math.isfinite(v)]
    return values[-1:]
