"""Plan of a sweep: all runs resolved and checked before any starts, then frozen.

plan.json is written once. More arms or seeds may be added; a run in it never changes.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from ml_collections import ConfigDict, FrozenConfigDict

from bert_jax.run import config as configs
from bert_jax.run import files, lineage, mesh, record, rules, rundir
from bert_jax.run.config import UsageError
from bert_jax.sweep import snapshot
from bert_jax.sweep.experiment import PRETRAIN, Experiment, locate

FILE = "plan.json"
FORMAT = 1


class PlannedRun(NamedTuple):
    """A run of a sweep: arm, seed, stage and resolved config."""

    arm: str
    seed: int
    stage: str
    config: FrozenConfigDict

    @property
    def name(self) -> str:
        return f"{self.chain}/{self.stage}"

    @property
    def chain(self) -> str:
        """The name of the chain: all runs of one arm and seed."""
        return f"{self.arm}/seed_{self.seed}"

    @property
    def needs(self) -> str:
        """The name of the run that this one starts from, "" if none in the sweep."""
        return "" if self.stage == PRETRAIN else f"{self.chain}/{PRETRAIN}"


class SweepPlan(NamedTuple):
    """Contents of plan.json. runs: sorted by arm, seed, stage. code: commit and
    digest."""

    runs: tuple[PlannedRun, ...]
    code: dict[str, str]


class _SavedRun(TypedDict):
    arm: str
    seed: int
    stage: str
    config: dict[str, Any]


class _PlanContent(TypedDict):
    format: int
    code: dict[str, str]
    runs: list[_SavedRun]


class _PlanFile(TypedDict):
    digest: str
    content: _PlanContent


def resolve(
    experiment: Experiment, problems: list[str], folder: Path, devices: int
) -> tuple[PlannedRun, ...]:
    """Resolve and check every run of an experiment, for `devices` devices a run.

    Raises UsageError naming every mistake, including the given `problems`.
    """
    problems = list(problems)
    runs: list[PlannedRun] = []
    for arm, changes in experiment.arms.items():
        try:
            for config in _configs(experiment, folder / arm, changes, devices):
                runs += _seeded(experiment, arm, config)
        except UsageError as error:
            problems += [f"arm {arm}: {line}" for line in str(error).splitlines()]
    problems += [
        *_duplicate_arms(experiment, runs),
        *_unknown_metrics(experiment, runs),
    ]
    if problems:
        raise UsageError("\n".join(dict.fromkeys(problems)))
    order = {name: number for number, name in enumerate(experiment.stages)}
    arms = {name: number for number, name in enumerate(experiment.arms)}
    return tuple(sorted(runs, key=lambda r: (arms[r.arm], r.seed, order[r.stage])))


def _configs(
    experiment: Experiment, folder: Path, changes: Mapping[str, object], devices: int
) -> Iterator[tuple[str, ConfigDict]]:
    """The config of each stage of an arm, without seeds."""
    reserved = {key for key in ("seed", "init_from") if key in changes}
    if reserved:
        raise UsageError(
            f"{reserved.pop()} is the sweep's to set: leave it out of the arm"
        )
    first = configs.read(experiment.base, {})
    if first.init_from:
        run = rundir.source(first.init_from)[0]
        lineage.inherit(first, record.read(run).config, changes)
    first = configs.changed(first, changes)
    yield PRETRAIN, _checked(first, devices)
    for task, spec in experiment.then.items():
        config = configs.read(spec, {})
        config.init_from = str(folder / "seed_0" / PRETRAIN)
        try:
            lineage.inherit(config, first, {})
            yield task, _checked(config, devices)
        except UsageError as error:
            lines = str(error).splitlines()
            raise UsageError("\n".join(f"{task}: {line}" for line in lines)) from error


def _checked(config: ConfigDict, devices: int) -> ConfigDict:
    configs.check(config)
    mesh.fitted(config.parallel.mesh, devices, mesh.batches(config))
    return config


def _seeded(
    experiment: Experiment, arm: str, stage: tuple[str, ConfigDict]
) -> Iterator[PlannedRun]:
    name, config = stage
    for seed in experiment.seeds:
        full = ConfigDict(config.to_dict())
        full.seed = seed
        if name != PRETRAIN:
            path = Path(config.init_from).parents[1] / f"seed_{seed}" / PRETRAIN
            full.init_from = str(path)
        yield PlannedRun(arm, seed, name, FrozenConfigDict(full))


def _duplicate_arms(experiment: Experiment, runs: list[PlannedRun]) -> Iterator[str]:
    """Problems for arms that compute the same under different names."""
    seen: dict[str, str] = {}
    first = [run for run in runs if run.seed == experiment.seeds[0]]
    for run in sorted(first, key=lambda run: run.arm != experiment.baseline):
        if run.stage != PRETRAIN:
            continue
        identity = configs.fingerprint(run.config, "")
        if identity in seen:
            other = seen[identity]
            what = "the baseline" if other == experiment.baseline else "arm"
            yield f"arm {run.arm} changes nothing against {what} {other}: leave it out"
        seen.setdefault(identity, run.arm)


def _unknown_metrics(experiment: Experiment, runs: list[PlannedRun]) -> Iterator[str]:
    """Problems for metrics that no run of their stage has."""
    for metric in experiment.metrics:
        stage, key = locate(metric, experiment.then)
        split, _, name = key.partition("/")
        for run in runs:
            if run.stage != stage or run.seed != experiment.seeds[0]:
                continue
            known = _metrics(run.config)
            if split not in ("valid", "test") or name not in known:
                yield (
                    f"metric {metric}: {run.arm} has valid/ of {', '.join(known)}"
                    + (" and the same of test/" if rules.is_task(run.config) else "")
                )
            elif split == "test" and not run.config.task.test:
                yield f"metric {metric}: {stage} has no test set: set task.test"


def _metrics(config: FrozenConfigDict) -> tuple[str, ...]:
    kind = config.objective.kind
    if rules.is_task(config):
        return ("task_loss", *rules.METRICS[kind])
    if kind == "clm":
        return ("lm_loss", "lm_accuracy")
    pair = config.objective.pair
    masked = (
        "mlm_loss",
        "mlm_accuracy",
        *(["pair_accuracy"] if pair != "none" else []),
    )
    rows = rules.shared_rows(config)
    shared = [f"{row}/{name}" for row in rows for name in ("mlm_loss", "mlm_accuracy")]
    pair_metrics = ["nsp/pair_accuracy"] if "nsp" in rows and pair == "nsp" else []
    return (*masked, *shared, *pair_metrics)


def freeze(folder: Path, runs: tuple[PlannedRun, ...]) -> SweepPlan:
    """Write the plan with these runs: a new one, or the old one extended."""
    if not (folder / FILE).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        plan = SweepPlan(runs, snapshot.take(folder))
    else:
        plan = read(folder)
        _check_extends(folder, plan, runs)
        if plan.runs == runs:
            return plan
        plan = plan._replace(runs=runs)
    files.write_text(folder / FILE, _written(plan))
    return plan


def _check_extends(folder: Path, plan: SweepPlan, runs: tuple[PlannedRun, ...]) -> None:
    """Refuse runs that were changed or removed since the plan was frozen."""
    now = {run.name: run for run in runs}
    problems = []
    for old in plan.runs:
        if old.name not in now:
            problems.append(f"{old.name} is no longer asked for")
            continue
        before, after = map(
            configs.without_execution, (old.config, now[old.name].config)
        )
        changed = rundir.differences(before, after)
        problems += [f"{old.name}: {change}" for change in changed]
    if problems:
        shown = problems[:5]
        more = f"\n... and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise UsageError(
            f"{folder / FILE} has begun otherwise:\n" + "\n".join(shown) + more + "\n"
            "Change it back (arms and seeds may be added), or choose another --root"
        )


def read(folder: Path) -> SweepPlan:
    """Read the frozen plan of a folder. Raises UsageError if it, or the code beside it,
    was edited."""
    path = folder / FILE
    if not path.is_file():
        raise UsageError(
            f"{folder} has no {FILE}: launch the sweep first, or name its --root"
        )
    written = files.read_json(path, _PlanFile)
    content, mark = written["content"], written["digest"]
    if mark != _digest(content) or content["format"] != FORMAT:
        raise UsageError(
            f"{path} was edited since it was launched: change the experiment file "
            "instead, and this file back, or choose another --root"
        )
    if not snapshot.has_digest(folder, content["code"]["digest"]):
        raise UsageError(
            f"{folder / snapshot.CODE} was edited since it was copied: every run of "
            "this sweep uses that code. Change it back, or choose another --root"
        )
    runs = [
        PlannedRun(
            **{**run, "config": FrozenConfigDict(configs.completed(run["config"]))}
        )
        for run in content["runs"]
    ]
    return SweepPlan(tuple(runs), content["code"])


def _written(plan: SweepPlan) -> str:
    content = {
        "format": FORMAT,
        "code": plan.code,
        "runs": [run._asdict() | {"config": run.config.to_dict()} for run in plan.runs],
    }
    text = {"digest": _digest(content), "content": content}
    return json.dumps(text, indent=1, sort_keys=True) + "\n"


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
