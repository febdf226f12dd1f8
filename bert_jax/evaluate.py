"""Held-out examples -> metrics, while a run is trained or of one that is there."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from bert_jax import rules, tasks
from bert_jax.data.dataset import Dataset
from bert_jax.objectives.base import means
from bert_jax.setup import Setup
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
