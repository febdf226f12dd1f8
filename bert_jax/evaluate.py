"""Held-out examples -> metrics; the verb prints them beside their baselines."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from bert_jax import checkpoint, curve, rules, tasks
from bert_jax.config import UsageError
from bert_jax.data.dataset import Dataset
from bert_jax.metrics import wilson
from bert_jax.objectives.base import means
from bert_jax.setup import Setup, reopen
from bert_jax.step import make_evaluation

Sums = dict[str, tuple[float, float]]


class Found(NamedTuple):
    """sums: (total, count) of every metric of the objective, over all batches.
    outputs: of a task, what the network says of each example by its number."""

    sums: Sums
    outputs: dict[int, np.ndarray]


def compiled(setup: Setup) -> Callable:
    """The evaluation of one batch, placed on the devices."""
    place, kind = setup.placement, setup.config.objective.kind
    output = tasks.KINDS[kind].output if rules.is_task(setup.config) else ""
    function = make_evaluation(setup.held_out, place.total, place.whole, output)
    return place.evaluate(function)


def split(
    setup: Setup,
    function: Callable,
    params: Any,
    name: str,
    stopping: Callable[[], bool],
) -> dict[str, float] | None:
    """The metrics of the split "valid" or "test", as metrics.jsonl knows them; None if
    asked to stop."""
    found = total(function, params, batches(setup, name), stopping)
    return None if found is None else named(setup, name, found)


def batches(setup: Setup, name: str) -> Iterator[dict]:
    """The examples of a split, the same for every run and seed, on the devices."""
    config, place = setup.config.eval, setup.placement
    rows = place.rows(config.batch)
    most = config.max_examples if name == "valid" else 0
    for batch in examples_of(setup, name).evaluation(config.batch, most, rows):
        yield place.batch(batch)


def examples_of(setup: Setup, name: str) -> Any:
    return setup.valid if name == "valid" else setup.test


def total(
    function: Callable, params, batches: Iterator[dict], stopping: Callable[[], bool]
) -> Found | None:
    """What all batches give together; None if asked to stop.

    The results of each batch are fetched one batch late, sums added in float64.
    """
    found = Found({}, {})
    sums: dict[str, np.ndarray] = {}
    previous = None
    for batch in batches:
        if stopping():
            return None
        current = function(params, batch)
        _add(sums, found.outputs, previous)
        previous = current
    _add(sums, found.outputs, previous)
    pairs = {name: (float(pair[0]), float(pair[1])) for name, pair in sums.items()}
    return Found(pairs, found.outputs)


def _add(sums: dict[str, np.ndarray], outputs: dict[int, np.ndarray], result) -> None:
    if result is None:
        return
    batch_sums, seen = jax.device_get(result)
    for name, pair in batch_sums.items():
        sums[name] = sums.get(name, np.zeros(2)) + np.array(pair, np.float64)
    if seen:
        real = np.flatnonzero(seen["weights"])
        outputs.update((int(seen["example_ids"][i]), seen["output"][i]) for i in real)


def named(setup: Setup, name: str, found: Found) -> dict[str, float]:
    """The metrics of a split under their names."""
    mean = means(found.sums)
    if isinstance(setup.data, Dataset):
        examples = examples_of(setup, name)
        mean = {"task_loss": mean["task_loss"]} | tasks.evaluate(
            setup.config,
            examples.records,
            setup.data.labels,
            examples.features,
            found.outputs,
        )
    return {f"{name}/{metric}": value for metric, value in mean.items()}


def main(workdir: Path, step: int | None) -> int:
    """Evaluate one checkpoint of a run on its held-out examples and say how it did."""
    setup = reopen(workdir)
    step = checkpoint.chosen(workdir, step)
    shapes = setup.param_shapes()
    params = checkpoint.restore_params(workdir, step, shapes)
    params = setup.placement.local(params)
    function = compiled(setup)
    for name in ("valid", "test") if setup.test else ("valid",):
        found = total(function, params, batches(setup, name), lambda: False)
        if found is None:
            raise UsageError("the evaluation was stopped")
        if jax.process_index() == 0:
            print(_table_of(setup, step, name, found))
    if jax.process_index() == 0:
        print(f"learning curve: {curve.draw(workdir)}")
    return 0


def _table_of(setup: Setup, step: int, name: str, found: Found) -> str:
    if not isinstance(setup.data, Dataset):
        return table(step, found.sums)
    values = named(setup, name, found)
    metrics = {key.removeprefix(f"{name}/"): value for key, value in values.items()}
    examples = examples_of(setup, name)
    seen = {int(examples.features.owners[number]) for number in found.outputs}
    records = [examples.records[number] for number in seen]
    count = tasks.count(setup.config.objective.kind, records)
    return task_table(setup.config, step, name, metrics, count)


def task_table(
    config: Any, step: int, name: str, metrics: dict[str, float], count: int
) -> str:
    """The metrics of a task; the one that decides first, with what it must beat.

    `count` examples were scored (tags: words): accuracies have a 95 % interval.
    """
    decides, baseline = rules.metric(config), metrics.pop("baseline")
    rows = []
    for metric in sorted(metrics, key=lambda metric: metric != decides):
        value, note = metrics[metric], []
        if metric == "accuracy":
            low, high = wilson(value * count, count)
            note.append(f"95 % interval {100 * low:.1f} to {100 * high:.1f} %")
        if metric == decides:
            worse = "; no better than that" if value <= baseline else ""
            note.append(f"looking at nothing gives {_shown(metric, baseline)}{worse}")
        rows.append((metric, _shown(metric, value), "; ".join(note)))
    lines = [f"  {name:<15}{value:>12}  {note}".rstrip() for name, value, note in rows]
    return "\n".join([f"{name}, {count:,} scored, step {step}", *lines])


def _shown(metric: str, value: float) -> str:
    if metric in ("task_loss", "matthews", "pearson", "spearman"):
        return f"{value:.3f}"
    return f"{100 * value:.1f} %"


def table(step: int, sums: Sums) -> str:
    """What a person wants to see of an evaluation, each number with its baseline."""
    mean = means(sums)
    rows = []
    for name in ("mlm", "lm"):
        if f"{name}_loss" in mean:
            gain = mean["unigram_loss"] - mean[f"{name}_loss"]
            rows += [
                (f"{name}_loss", f"{mean[f'{name}_loss']:.3f} nats", ""),
                ("unigram_loss", f"{mean['unigram_loss']:.3f} nats", "of those tokens"),
                ("gain", f"{gain:.3f} nats", "below the unigram loss"),
                (f"{name}_accuracy", f"{100 * mean[f'{name}_accuracy']:.1f} %", ""),
            ]
    if "pair_accuracy" in sums:
        right, count = sums["pair_accuracy"]
        low, high = wilson(right, count)
        chance = "; still at chance, 50 %" if low <= 0.5 <= high else ""
        note = f"95 % interval {100 * low:.1f} to {100 * high:.1f} %{chance}"
        rows.append(("pair_accuracy", f"{100 * right / count:.1f} %", note))
    lines = [f"  {name:<15}{value:>12}  {note}".rstrip() for name, value, note in rows]
    return "\n".join([f"held-out documents, step {step}", *lines])
