"""Record of a run: its files, read and checked against each other.

The fingerprints of config.json, run.json and result.json must agree, and the numbers of
result.json must be those of metrics.jsonl. Files of format 1 are checked as far as
possible. Never imports jax.
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
    """Contents of result.json, which is written last and atomically."""

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
    """Files of a run. config: with all current keys. result: None if the run has not
    ended."""

    workdir: Path
    config: FrozenConfigDict
    run: Began
    result: Ended | None


def read(workdir: Path) -> Record:
    """Read the record of a run that has begun. Raises UsageError for files that
    disagree."""
    run = rundir.began(workdir)
    config = _config(workdir, run)
    result = _result(workdir, run) if (workdir / RESULT).is_file() else None
    if "format" not in run:
        history.warn_once(
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
    """Write run.json, then config.json, with which the run has begun."""
    written = files.checked({**run, "format": FORMAT})
    files.write_json(workdir / RUN, written)
    files.write_text(workdir / CONFIG, configs.canonical(config))


def write_result(workdir: Path, result: Mapping[str, Any]) -> None:
    """Write result.json atomically, with size and digest of metrics.jsonl."""
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
    """Flush metrics.jsonl to the disk; its size."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size


def differs(workdir: Path, size: int, digest: str) -> str:
    """Describe how the first bytes of metrics.jsonl changed, "" if they did not."""
    path = workdir / METRICS
    actual_size = path.stat().st_size if path.exists() else 0
    if not 0 <= size <= actual_size:
        return f"{METRICS} has {actual_size} bytes instead of {size}"
    actual = files.prefix_digest(path, size)
    if actual != digest:
        return (
            f"the first {size} bytes of {METRICS} have sha256 {actual[:16]} instead of "
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
    # An older version hashed only the keys that it had.
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
    if reason := _metrics_difference(workdir, result):
        raise UsageError(
            f"{path}: {reason}. Restore the damaged file, or remove {RESULT} and "
            "train again: the run goes on from its last checkpoint that verifies"
        )
    return result


def _metrics_difference(workdir: Path, result: Ended) -> str:
    """Describe how result.json and metrics.jsonl differ, "" if they do not."""
    if "metrics_bytes" in result and "metrics_sha256" in result:
        return differs(workdir, result["metrics_bytes"], result["metrics_sha256"])
    if "format" in result:
        return "it does not say what metrics.jsonl was"
    paths = [workdir / name for name in (RESULT, METRICS)]
    stamps = [path.stat().st_mtime_ns for path in paths if path.exists()]
    return _value_difference(workdir, *stamps)


@functools.cache
def _value_difference(workdir: Path, *stamps: int) -> str:
    """Describe the first number of a format 1 result.json that is not in
    metrics.jsonl."""
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
