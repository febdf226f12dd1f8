"""What a sweep will cost, before it costs anything."""

import math
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
from bert_jax.sweep.plan import Planned
from bert_jax.tasks import kinds, read

# Where neither a finished run nor a profile says better: FLOP/s of one processor core
# on the small models that processors train.
RATE = 1e10


class Cost(NamedTuple):
    """Of one run: steps, tokens with padding, FLOPs; nan where the data tell them and
    cannot be read."""

    steps: float
    tokens: float
    flops: float


def cost(run: Planned) -> Cost:
    """What a run will take if its rows are full."""
    config = ConfigDict(run.config.to_dict())
    config.model.vocab_size = config.model.vocab_size or config.tokenizer.vocab_size
    steps, length = _steps(config), config.data.length
    operations = steps * flops.training_flops(config, 1, length)
    return Cost(steps, steps * config.train.batch * length, operations)


def _steps(config: ConfigDict | FrozenConfigDict) -> float:
    found = _scheduled(config)
    return found.train.steps if found else math.nan


def _scheduled(config: ConfigDict | FrozenConfigDict) -> FrozenConfigDict | None:
    """The config with its steps counted, None where its data cannot tell them yet."""
    fixed = FrozenConfigDict(config)
    if not config.train.epochs:
        return fixed
    try:
        count = _examples(fixed)
    except UsageError:
        return None
    return configs.scheduled(fixed, count) if count else None


def _examples(config: FrozenConfigDict) -> int:
    """Of an epoch; 0 for a corpus that was not prepared yet."""
    if rules.is_task(config):
        return len(read.read(config).train)
    directory = Path(config.data.cache) / store.key(config)
    if not (directory / store.MANIFEST).exists():
        return 0
    found = store.open(directory)
    return Pipeline(found.train, found.tokenizer, config.data, seed=0).num_examples


def check(runs: Sequence[Planned]) -> None:
    """Refuse runs whose steps, where they are known, end before their warm-up."""
    for run in runs:
        scheduled = _scheduled(run.config)
        # Where a record may make several examples, steps are known at the launch.
        if scheduled and (
            not rules.is_task(run.config)
            or kinds.KINDS[run.config.objective.kind].one_to_one
        ):
            try:
                configs.check_warmup(scheduled)
            except UsageError as error:
                raise UsageError(f"{run.name}: {error}") from None


def work(run: Planned) -> float:
    """Tokens, roughly: what the time that is left is divided by."""
    config: FrozenConfigDict = run.config
    if rules.is_task(config) and config.train.epochs:
        return 1.0
    return config.train.steps * config.train.batch * config.data.length


def measured(folder: Path, runs: Sequence[Planned]) -> float | None:
    """FLOP/s of a device, as the finished runs of this sweep had it."""
    operations = seconds = 0.0
    for run in runs:
        if states.of(folder, run) == states.DONE:
            found = record.read(folder / run.name)
            if found.result:
                operations += found.result["flops"]
                seconds += found.result["seconds"] * len(found.run["devices"])
    return operations / seconds if seconds else None


def table(folder: Path, runs: Sequence[Planned], stated: float) -> str:
    """A line for each arm and stage. `stated` is a profile's FLOP/s of a device, 0 for
    none."""
    found = measured(folder, runs)
    rate = stated or found or RATE
    basis = (
        "as the profile states"
        if stated
        else "as the finished runs had it"
        if found
        else "a guess for one processor core: state flops_per_second in --cluster=FILE"
    )
    groups: dict[tuple[str, str], list[Planned]] = {}
    for run in runs:
        groups.setdefault((run.arm, run.stage), []).append(run)
    width = max(len("arm"), *(len(arm) for arm, _ in groups))
    stages = max(len("stage"), *(len(stage) for _, stage in groups))
    head = f"{'arm':<{width}}  {'stage':<{stages}}  seeds  states"
    lines = [f"{head:<{width + stages + 30}}  steps  M tokens    FLOPs  device hours"]
    total = 0.0
    unread: set[str] = set()
    for (arm, stage), members in groups.items():
        each = cost(members[0])
        unread |= {stage} if math.isnan(each.steps) else set()
        operations = each.flops * len(members)
        label = f"{arm:<{width}}  {stage:<{stages}}  {len(members):5}  "
        label += _states(folder, members)
        lines.append(
            f"{label:<{width + stages + 30}} {each.steps:6,} {each.tokens / 1e6:9.2f} "
            f"{operations:8.2g} {operations / rate / 3600:13.2g}"
        )
        total += 0 if math.isnan(operations) else operations
    lines.append(
        f"{len(runs)} runs, {total:.3g} FLOPs, {total / rate / 3600:.3g} device hours at "
        f"{rate / 1e9:,.3g} GFLOP/s a device ({basis})"
    )
    lines += [f"{name} not counted: its data cannot be read here" for name in unread]
    return "\n".join(lines)


def _states(folder: Path, runs: Sequence[Planned]) -> str:
    found = [states.left(folder, run) for run in runs]
    counts = {state: found.count(state) for state in dict.fromkeys(found)}
    return ", ".join(f"{count} {state}" for state, count in counts.items())
