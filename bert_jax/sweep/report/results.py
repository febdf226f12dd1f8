"""Results of a sweep's runs, read from their directories, and their comparability."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import FrozenConfigDict

from bert_jax.run import record, rules, rundir
from bert_jax.run.config import UsageError
from bert_jax.run.history import History
from bert_jax.sweep import states
from bert_jax.sweep.experiment import PRETRAIN
from bert_jax.sweep.plan import PlannedRun, SweepPlan

NUMBERS = ("steps", "tokens", "flops", "seconds")  # of result.json
SOFTWARE = ("jax", "python", "platform")  # of run.json's versions
SHOWN = 3  # differences that one message names


class RunResult(NamedTuple):
    """Result of a planned run.

    Texts are "" before it began and if it is foreign, numbers nan unless it is done.
    metrics: of result.json, finite. measured: prefix of a metric -> fingerprint of the
    rows that it was measured on; {} if the run did not record them. goodput: phase ->
    seconds. log: of metrics.jsonl.
    """

    planned: PlannedRun
    state: str
    id: str
    parent: str
    commit: str
    data: str
    tokenizer: str
    devices: tuple[str, ...]
    machine: str
    steps: float
    tokens: float
    flops: float
    seconds: float
    metrics: dict[str, float]
    measured: dict[str, str]
    goodput: dict[str, float]
    log: History

    @property
    def name(self) -> str:
        return self.planned.name

    @property
    def done(self) -> bool:
        return self.state == states.DONE

    @property
    def device_hours(self) -> float:
        return self.seconds * len(self.devices) / 3600

    @property
    def degenerate(self) -> bool:
        return self.done and is_degenerate(self.planned.config, self.metrics)


def read(folder: Path, plan: SweepPlan) -> list[RunResult]:
    """Read every run of the plan, in its order. Raises UsageError for inconsistent
    files."""
    by_name: dict[str, RunResult] = {}
    for planned in plan.runs:
        state = states.run_state(folder, planned)
        if state == states.DONE and planned.needs and not by_name[planned.needs].done:
            state = states.FOREIGN  # a copied folder: its parent was another run
        by_name[planned.name] = _read(folder, planned, state)
    return list(by_name.values())


def _read(folder: Path, planned: PlannedRun, state: str) -> RunResult:
    workdir = folder / planned.name
    readable = state != states.FOREIGN and rundir.is_run(workdir)
    recorded = record.read(workdir) if readable else None
    result = recorded.result if recorded and state == states.DONE else None
    return RunResult(
        planned,
        state,
        **_began(recorded.run if recorded else {}),
        **_ended(result or {}),
        log=rundir.read_metrics(workdir) if readable else History(),
    )


def _began(run: Mapping[str, Any]) -> dict[str, Any]:
    if not run:
        texts = ("id", "parent", "commit", "data", "tokenizer", "machine")
        return dict.fromkeys(texts, "") | {"devices": ()}
    return {
        "id": run["fingerprint"],
        "parent": run["parent"],
        "commit": run["versions"]["commit"],
        "data": run["data"],
        "tokenizer": run["tokenizer"],
        "devices": tuple(run["devices"]),
        "machine": _machine(run["devices"], run["versions"]),
    }


def _machine(devices: list[str], versions: Mapping[str, str]) -> str:
    """Describe a machine: `1 x cpu; jax 0.10.2, python 3.11.7, platform Linux-...`."""
    named = [f"{name} {versions[name]}" for name in SOFTWARE if name in versions]
    return f"{len(devices)} x {''.join(devices[:1])}; {', '.join(named)}"


def _ended(result: Mapping[str, Any]) -> dict[str, Any]:
    if not result:
        nothing: dict[str, Any] = {"metrics": {}, "measured": {}, "goodput": {}}
        return dict.fromkeys(NUMBERS, math.nan) | nothing
    values = {name: float(value) for name, value in result["metrics"].items()}
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    seconds = result.get("goodput", {}).items()  # absent in older runs
    return {name: float(result[name]) for name in NUMBERS} | {
        "metrics": finite,
        "measured": {k: str(mark) for k, mark in result.get("measured", {}).items()},
        "goodput": {phase: float(value) for phase, value in seconds},
    }


def is_degenerate(config: FrozenConfigDict, metrics: Mapping[str, float]) -> bool:
    """Whether a finished run learnt nothing.

    A task's score is then no better than a constant prediction's, a pretraining's loss
    not below the unigram loss.
    """
    if rules.is_task(config):
        split = "test" if config.task.test else "valid"
        score = metrics.get(f"{split}/{rules.metric(config)}", math.nan)
        return not score > metrics.get(f"{split}/baseline", -math.inf)
    loss = "valid/lm_loss" if config.objective.kind == "clm" else "valid/mlm_loss"
    return not metrics.get(loss, math.nan) < metrics.get("valid/unigram_loss", math.inf)


def check_comparable(runs: list[RunResult]) -> None:
    """Refuse finished runs of one stage and seed with different data, vocabulary or
    steps: one table cannot compare them."""
    problems = list(_differences(runs))
    if problems:
        more = len(problems) - SHOWN
        raise UsageError(
            "\n".join(problems[:SHOWN])
            + (f"\n... and {more} more such differences" if more > 0 else "")
            + "\nOne table compares like with like: run the odd ones again under "
            "another --root, or split the arms into two experiments"
        )


def mismatch(runs: list[RunResult], key: str) -> str:
    """Describe how runs differ in the rows this metric was measured on or, for a task,
    in the training data; "" if they do not or if nothing is recorded."""
    rows: dict[str, list[RunResult]] = defaultdict(list)
    for run in runs:
        if mark := rows_of(run, key):
            rows[mark].append(run)
    if len(rows) > 1:
        sides = [f"`{mark}` of {_names(some, runs)}" for mark, some in rows.items()]
        return f"the rows differ: {'; '.join(sides)}"
    return next(_differences([r for r in runs if r.planned.stage != PRETRAIN]), "")


def rows_of(run: RunResult, key: str) -> str:
    """The fingerprint of the rows that a run's metric was measured on, "" if
    unknown."""
    return run.measured.get(key.rpartition("/")[0], "")


def _names(subset: list[RunResult], runs: list[RunResult]) -> str:
    """Name runs by their arm; by arm and seed if the arm has other runs."""
    left = {run.planned.arm for run in runs if run not in subset}
    names = [
        run.planned.chain if run.planned.arm in left else run.planned.arm
        for run in subset
    ]
    return ", ".join(dict.fromkeys(names))


def _differences(runs: list[RunResult]) -> Iterator[str]:
    groups: dict[tuple[str, int], list[RunResult]] = defaultdict(list)
    for run in runs:
        if run.done:
            groups[run.planned.stage, run.planned.seed].append(run)
    for (stage, _), group in groups.items():
        yield from _mismatches(group, "data", {run.name: run.data for run in group})
        if stage == PRETRAIN:
            values = {run.name: run.tokenizer for run in group}
            yield from _mismatches(group, "tokenizer", values)
        patient = stage != PRETRAIN and any(
            run.planned.config.train.patience for run in group
        )
        if not patient:
            values = {run.name: f"{run.steps:.0f}" for run in group}
            yield from _mismatches(group, "steps", values)


def _mismatches(
    group: list[RunResult], field: str, values: Mapping[str, str]
) -> Iterator[str]:
    """Describe differences of a field, among values of one fingerprint version.

    Fingerprints of different versions cannot be compared: runs of older versions do not
    record what they were measured on.
    """
    versions: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for run in group:
        value = values[run.name]
        versions[value.rpartition(":")[0]][value].append(run.name)
    for names in versions.values():
        if len(names) == 1:
            continue
        sides = [f"{value} of {', '.join(who)}" for value, who in names.items()]
        yield f"{field} differ: {'; '.join(sides)}"
