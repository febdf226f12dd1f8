"""Held-out documents -> metrics; the verb prints them beside their baselines."""

from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np

from bert_jax import checkpoint, curve
from bert_jax.config import UsageError
from bert_jax.metrics import wilson
from bert_jax.objectives.base import means
from bert_jax.setup import Setup, reopen
from bert_jax.step import make_evaluation

Sums = dict[str, tuple[float, float]]


def compiled(setup: Setup) -> Callable:
    """The evaluation of one batch, placed on the devices."""
    place = setup.placement
    return place.evaluate(make_evaluation(setup.held_out, place.total))


def batches(setup: Setup) -> Iterator[dict]:
    """The held-out examples, the same for every run and seed, on the devices."""
    config, place = setup.config.eval, setup.placement
    rows = place.rows(config.batch)
    for batch in setup.valid.evaluation(config.batch, config.max_examples, rows):
        yield place.batch(batch)


def total(
    function: Callable, params, batches: Iterator[dict], stopping: Callable[[], bool]
) -> Sums | None:
    """(total, count) of every metric over all batches; None if asked to stop.

    The sums of each batch are fetched one batch late and added in float64.
    """
    sums: dict[str, np.ndarray] = {}
    previous = None
    for batch in batches:
        if stopping():
            return None
        current = function(params, batch)
        _add(sums, previous)
        previous = current
    _add(sums, previous)
    return {name: (float(pair[0]), float(pair[1])) for name, pair in sums.items()}


def _add(sums: dict[str, np.ndarray], batch_sums) -> None:
    for name, pair in jax.device_get(batch_sums or {}).items():
        sums[name] = sums.get(name, np.zeros(2)) + np.array(pair, np.float64)


def named(sums: Sums) -> dict[str, float]:
    """The means, as the names that metrics.jsonl knows."""
    return {f"valid/{name}": value for name, value in means(sums).items()}


def main(workdir: Path, step: int | None) -> int:
    """Evaluate one checkpoint of a run on its held-out documents and say how it did."""
    setup = reopen(workdir)
    step = checkpoint.chosen(workdir, step)
    shapes = setup.param_shapes()
    params = checkpoint.restore_params(workdir, step, shapes)
    params = setup.placement.local(params)
    sums = total(compiled(setup), params, batches(setup), lambda: False)
    if sums is None:
        raise UsageError("the evaluation was stopped")
    if jax.process_index() == 0:
        print(table(step, sums))
        print(f"learning curve: {curve.draw(workdir)}")
    return 0


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
