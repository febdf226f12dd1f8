"""The runs of a sweep as their directories tell them, and which may share a table."""

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
from bert_jax.sweep.plan import Plan, Planned

NUMBERS = ("steps", "tokens", "flops", "seconds")  # of result.json
SOFTWARE = ("jax", "python", "platform")  # of run.json's versions
SHOWN = 3  # differences that one message names


class Run(NamedTuple):
    """A planned run and what came of it.

    Texts are "" before it began and if it is foreign, numbers nan unless it is done.
    metrics: of result.json, finite. measured: prefix of a metric -> fingerprint of the
    rows that it was measured on; {} of a run that did not note them. goodput: phase ->
    seconds. log: of metrics.jsonl.
    """

    planned: Planned
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


def read(folder: Path, plan: Plan) -> list[Run]:
    """Every run of the plan, in its order. Raises UsageError for one whose files do not
    agree."""
    found: dict[str, Run] = {}
    for planned in plan.runs:
        state = states.of(folder, planned)
        if state == states.DONE and planned.needs and not found[planned.needs].done:
            state = states.FOREIGN  # a copied folder: it started from another's run
        found[planned.name] = _read(folder, planned, state)
    return list(found.values())


def _read(folder: Path, planned: Planned, state: str) -> Run:
    workdir = folder / planned.name
    ours = state != states.FOREIGN and rundir.is_run(workdir)
    found = record.read(workdir) if ours else None
    result = found.result if found and state == states.DONE else None
    return Run(
        planned,
        state,
        **_began(found.run if found else {}),
        **_ended(result or {}),
        log=rundir.read_metrics(workdir) if ours else History(),
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
    """`1 x cpu; jax 0.10.2, python 3.11.7, platform Linux-...`."""
    named = [f"{name} {versions[name]}" for name in SOFTWARE if name in versions]
    return f"{len(devices)} x {''.join(devices[:1])}; {', '.join(named)}"


def _ended(result: Mapping[str, Any]) -> dict[str, Any]:
    if not result:
        nothing: dict[str, Any] = {"metrics": {}, "measured": {}, "goodput": {}}
        return dict.fromkeys(NUMBERS, math.nan) | nothing
    values = {name: float(value) for name, value in result["metrics"].items()}
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    seconds = result.get("goodput", {}).items()  # older runs have neither of the two
    return {name: float(result[name]) for name in NUMBERS} | {
        "metrics": finite,
        "measured": {k: str(mark) for k, mark in result.get("measured", {}).items()},
        "goodput": {phase: float(value) for phase, value in seconds},
    }


def is_degenerate(config: FrozenConfigDict, metrics: Mapping[str, float]) -> bool:
    """Whether a finished run learnt nothing: a task's score is no better than that of
    looking at nothing, a pretraining's loss not below that of the unigram frequencies.
    """
    if rules.is_task(config):
        split = "test" if config.task.test else "valid"
        score = metrics.get(f"{split}/{rules.metric(config)}", math.nan)
        return not score > metrics.get(f"{split}/baseline", -math.inf)
    loss = "valid/lm_loss" if config.objective.kind == "clm" else "valid/mlm_loss"
    return not metrics.get(loss, math.nan) < metrics.get("valid/unigram_loss", math.inf)


def check_comparable(runs: list[Run]) -> None:
    """Refuse finished runs of one stage and seed that had other data, another
    vocabulary or other steps than each other: no table can hold them all."""
    problems = list(_differences(runs))
    if problems:
        more = len(problems) - SHOWN
        raise UsageError(
            "\n".join(problems[:SHOWN])
            + (f"\n... and {more} more such differences" if more > 0 else "")
            + "\nOne table compares like with like: run the odd ones again under "
            "another --root, or split the arms into two experiments"
        )


def unlike(runs: list[Run], key: str) -> str:
    """How the runs of one table differ in what this metric was measured on, or, of a
    task, trained on; "" if they do not, as far as they say."""
    rows: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if mark := rows_of(run, key):
            rows[mark].append(run)
    if len(rows) > 1:
        sides = [f"`{mark}` of {_named(some, runs)}" for mark, some in rows.items()]
        return f"the rows differ: {'; '.join(sides)}"
    return next(_differences([r for r in runs if r.planned.stage != PRETRAIN]), "")


def rows_of(run: Run, key: str) -> str:
    """The fingerprint of what that metric of a run was measured on, "" if unknown."""
    return run.measured.get(key.rpartition("/")[0], "")


def _named(some: list[Run], runs: list[Run]) -> str:
    """Some of the runs by their arms; by arm and seed those whose arm has others."""
    left = {run.planned.arm for run in runs if run not in some}
    names = [
        run.planned.chain if run.planned.arm in left else run.planned.arm
        for run in some
    ]
    return ", ".join(dict.fromkeys(names))


def _differences(runs: list[Run]) -> Iterator[str]:
    groups: dict[tuple[str, int], list[Run]] = defaultdict(list)
    for run in runs:
        if run.done:
            groups[run.planned.stage, run.planned.seed].append(run)
    for (stage, _), group in groups.items():
        yield from _unlike(group, "data", {run.name: run.data for run in group})
        if stage == PRETRAIN:
            found = {run.name: run.tokenizer for run in group}
            yield from _unlike(group, "tokenizer", found)
        patient = stage != PRETRAIN and any(
            run.planned.config.train.patience for run in group
        )
        if not patient:
            found = {run.name: f"{run.steps:.0f}" for run in group}
            yield from _unlike(group, "steps", found)


def _unlike(group: list[Run], what: str, found: Mapping[str, str]) -> Iterator[str]:
    """Between versions of a fingerprint nothing is known: the runs of the older one do
    not say what they were measured on either."""
    versions: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for run in group:
        value = found[run.name]
        versions[value.rpartition(":")[0]][value].append(run.name)
    for names in versions.values():
        if len(names) == 1:
            continue
        sides = [f"{value} of {', '.join(who)}" for value, who in names.items()]
        yield f"{what} differ: {'; '.join(sides)}"
