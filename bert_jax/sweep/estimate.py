"""Cost estimates of a sweep before it starts."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict, FrozenConfigDict

from bert_jax.data import store
from bert_jax.data.pipeline import Pipeline
from bert_jax.run import config as configs
from bert_jax.run import flops, record, rules
from bert_jax.run.config import UsageError
from bert_jax.sweep import states
from bert_jax.sweep.plan import PlannedRun
from bert_jax.tasks import kinds, read

# Default if neither a finished run nor a profile states it: FLOP/s of one CPU core on
# small models.
RATE = 1e10


class CostEstimate(NamedTuple):
    """Cost of one run: steps, tokens with padding, FLOPs; nan if they depend on data
    that cannot be read."""

    steps: float
    tokens: float
    flops: float


def estimate_cost(run: PlannedRun) -> CostEstimate:
    """Estimate the cost of a run if its rows are full."""
    config = ConfigDict(run.config.to_dict())
    config.model.vocab_size = config.model.vocab_size or config.tokenizer.vocab_size
    steps, length = _steps(config), config.data.length
    operations = steps * flops.training_flops(config, 1, length)
    return CostEstimate(steps, steps * config.train.batch * length, operations)


def _steps(config: ConfigDict | FrozenConfigDict) -> float:
    scheduled = _scheduled(config)
    return scheduled.train.steps if scheduled else math.nan


def _scheduled(config: ConfigDict | FrozenConfigDict) -> FrozenConfigDict | None:
    """The config with its steps counted, None if its data cannot be read yet."""
    fixed = FrozenConfigDict(config)
    if not config.train.epochs:
        return fixed
    try:
        count = _examples(fixed)
    except UsageError:
        return None
    return configs.scheduled(fixed, count) if count else None


def _examples(config: FrozenConfigDict) -> int:
    """Number of examples of an epoch; 0 for a corpus that is not prepared yet."""
    if rules.is_task(config):
        return len(read.read(config).train)
    directory = Path(config.data.cache) / store.key(config)
    if not (directory / store.MANIFEST).exists():
        return 0
    data = store.open(directory)
    return Pipeline(data.train, data.tokenizer, config.data, seed=0).num_examples


def check(runs: Sequence[PlannedRun]) -> None:
    """Refuse runs whose number of steps, if known, is below their warm-up."""
    for run in runs:
        scheduled = _scheduled(run.config)
        # If a record may make several examples, steps are known only at launch.
        if scheduled and (
            not rules.is_task(run.config)
            or kinds.kind(run.config.objective.kind).one_to_one
        ):
            try:
                configs.check_warmup(scheduled)
            except UsageError as error:
                raise UsageError(f"{run.name}: {error}") from None


def relative_work(run: PlannedRun) -> float:
    """Approximate tokens of a run, as weight for the estimate of the time left."""
    config: FrozenConfigDict = run.config
    if rules.is_task(config) and config.train.epochs:
        return 1.0
    return config.train.steps * config.train.batch * config.data.length


def measured_rate(folder: Path, runs: Sequence[PlannedRun]) -> float | None:
    """FLOP/s of a device, measured on the finished runs of this sweep; None if none."""
    operations = seconds = 0.0
    for run in runs:
        if states.run_state(folder, run) == states.DONE:
            begun = record.read(folder / run.name)
            if begun.result:
                operations += begun.result["flops"]
                seconds += begun.result["seconds"] * len(begun.run["devices"])
    return operations / seconds if seconds else None


def table(folder: Path, runs: Sequence[PlannedRun], stated: float) -> str:
    """A line for each arm and stage. `stated` is a profile's FLOP/s of a device, 0 for
    none."""
    measured = measured_rate(folder, runs)
    rate = stated or measured or RATE
    basis = (
        "as the profile states"
        if stated
        else "as the finished runs had it"
        if measured
        else "a guess for one processor core: state flops_per_second in --cluster=FILE"
    )
    groups: dict[tuple[str, str], list[PlannedRun]] = {}
    for run in runs:
        groups.setdefault((run.arm, run.stage), []).append(run)
    width = max(len("arm"), *(len(arm) for arm, _ in groups))
    stages = max(len("stage"), *(len(stage) for _, stage in groups))
    head = f"{'arm':<{width}}  {'stage':<{stages}}  seeds  states"
    lines = [f"{head:<{width + stages + 30}}  steps  M tokens    FLOPs  device hours"]
    total = 0.0
    unread: set[str] = set()
    for (arm, stage), members in groups.items():
        cost = estimate_cost(members[0])
        unread |= {stage} if math.isnan(cost.steps) else set()
        operations = cost.flops * len(members)
        label = f"{arm:<{width}}  {stage:<{stages}}  {len(members):5}  "
        label += _states(folder, members)
        lines.append(
            f"{label:<{width + stages + 30}} {cost.steps:6,} {cost.tokens / 1e6:9.2f} "
            f"{operations:8.2g} {operations / rate / 3600:13.2g}"
        )
        total += 0 if math.isnan(operations) else operations
    lines.append(
        f"{len(runs)} runs, {total:.3g} FLOPs, {total / rate / 3600:.3g} device hours at "
        f"{rate / 1e9:,.3g} GFLOP/s a device ({basis})"
    )
    lines += [f"{name} not counted: its data cannot be read here" for name in unread]
    return "\n".join(lines)


def _states(folder: Path, runs: Sequence[PlannedRun]) -> str:
    counts = Counter(states.sweep_state(folder, run) for run in runs)
    return ", ".join(f"{count} {state}" for state, count in counts.items())
