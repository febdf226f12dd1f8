"""Held-out examples -> metrics, while a run is trained or of one that is there.

Metrics have a prefix: "valid" of a run's own held-out rows, "valid/single" and the like
of shared rows, "test" of a task's test set. Each prefix has a fingerprint of what its
metrics are measured on.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from bert_jax.objectives.base import means
from bert_jax.run import files, rules
from bert_jax.tasks import kinds
from bert_jax.tasks.dataset import Dataset
from bert_jax.tasks.examples import Examples
from bert_jax.train.setup import Setup
from bert_jax.train.step import evaluation_key, make_evaluation

Sums = dict[str, tuple[float, float]]
Params = Any
Stopping = Callable[[], bool]
ARRAYS = ("ids", "lengths", "positions", "targets", "target_weights")


class Evaluated(NamedTuple):
    """sums: (total, count) of every metric of the objective, over all batches.
    outputs: of a task, what the network says of each example by its number."""

    sums: Sums
    outputs: dict[int, np.ndarray]


def compiled(setup: Setup) -> Callable:
    """The evaluation of one batch, placed on the devices."""
    place, config = setup.placement, setup.config
    output = kinds.of_config(config, ()).output if rules.is_task(config) else ""
    function = make_evaluation(setup.held_out, place.psum, place.all_gather, output)
    return place.evaluate(function)


def prefixes(setup: Setup) -> list[str]:
    """Prefixes that are evaluated while a run is trained."""
    return ["valid", *(f"valid/{kind}" for kind in setup.shared)]


def left(setup: Setup, metrics: Mapping[str, float], last: bool) -> list[str]:
    """The prefixes that a step with these metrics lacks.

    At the last step shared rows are evaluated by whoever writes the result, which says
    what they are: an earlier process may have been asked for rows of another length.
    """
    there = {name.rpartition("/")[0] for name in metrics}
    there -= {name for name in there if last and "/" in name}
    return [name for name in prefixes(setup) if name not in there]


def of_prefixes(
    setup: Setup,
    function: Callable,
    params: Params,
    names: Iterable[str],
    stopping: Stopping,
) -> dict[str, float] | None:
    """The metrics of several prefixes; None if asked to stop."""
    metrics: dict[str, float] = {}
    for name in names:
        found = split(setup, function, params, name, stopping)
        if found is None:
            return None
        metrics |= found
    return metrics


def split(
    setup: Setup, function: Callable, params: Params, name: str, stopping: Stopping
) -> dict[str, float] | None:
    """The metrics of one prefix, as metrics.jsonl knows them; None if asked to stop."""
    found = total(function, params, batches(setup, name), stopping)
    return None if found is None else named(setup, name, found)


def batches(setup: Setup, name: str) -> Iterator[dict]:
    """The examples of a prefix, the same for every run and seed, on the devices."""
    size, most, place = setup.config.eval.batch, _most(setup, name), setup.placement
    for batch in examples_of(setup, name).evaluation(size, most, place.rows(size)):
        yield place.batch(batch)


def examples_of(setup: Setup, name: str) -> Any:
    splits = {"valid": setup.valid, "test": setup.test}
    return splits[name] if name in splits else setup.shared[name.removeprefix("valid/")]


def _most(setup: Setup, name: str) -> int:
    """The most examples that are evaluated, 0 for all."""
    return 0 if name == "test" else setup.config.eval.max_examples


def total(
    function: Callable, params: Params, batches: Iterator[dict], stopping: Stopping
) -> Evaluated | None:
    """Sums and outputs over all batches; None if asked to stop.

    The results of each batch are fetched one batch late, sums added in float64.
    """
    found = Evaluated({}, {})
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
    return Evaluated(pairs, found.outputs)


def _add(sums: dict[str, np.ndarray], outputs: dict[int, np.ndarray], result) -> None:
    if result is None:
        return
    batch_sums, seen = jax.device_get(result)
    for name, pair in batch_sums.items():
        sums[name] = sums.get(name, np.zeros(2)) + np.array(pair, np.float64)
    if seen:
        real = np.flatnonzero(seen["weights"])
        outputs.update((int(seen["example_ids"][i]), seen["output"][i]) for i in real)


def named(setup: Setup, name: str, found: Evaluated) -> dict[str, float]:
    """The metrics of a prefix under their names."""
    mean = means(meant(name, found.sums))
    if isinstance(setup.data, Dataset):
        examples = examples_of(setup, name)
        mean = {"task_loss": mean["task_loss"]} | kinds.evaluate(
            setup.config,
            examples.records,
            setup.data.labels,
            examples.features,
            found.outputs,
        )
    return {f"{name}/{metric}": value for metric, value in mean.items()}


def meant(name: str, sums: Sums) -> Sums:
    """The sums without those of a pair loss where no row is a random pair."""
    if "/" not in name or name == "valid/nsp":
        return sums
    return {key: pair for key, pair in sums.items() if not key.startswith("pair_")}


def fingerprint(setup: Setup, name: str) -> str:
    """Fingerprint of the data that the metrics of a prefix are measured on.

    Of a language model the rows as they are fed, the tokenizer and the unigram counts;
    of a task the texts and their labels. Devices, hosts and batch sizes change nothing.
    """
    examples, most = examples_of(setup, name), _most(setup, name)
    if isinstance(setup.data, Dataset):
        return _of_records(examples, most)
    rows = _of_rows(examples, setup.held_out.prepare, most, setup.config.eval.batch)
    counts = np.ascontiguousarray(setup.data.train.counts, "<i8").tobytes()
    return files.digest(*rows, setup.data.tokenizer.fingerprint, counts, length=16)


# Lanes share their examples, and each of them asks.
@functools.lru_cache(maxsize=16)
def _of_rows(examples: Any, prepare: Callable, most: int, size: int) -> list[bytes]:
    """The digest of each of `ARRAYS`, of all rows in order."""
    masked, key = jax.jit(prepare), evaluation_key()
    parts = {name: hashlib.sha256() for name in ARRAYS}
    for batch in examples.evaluation(size, most, slice(None)):
        fed = batch if "targets" in batch else jax.device_get(masked(batch, key)[0])
        real = batch["weights"] > 0
        for name, part in parts.items():
            part.update(np.ascontiguousarray(fed[name][real], "<i4").tobytes())
    return [part.digest() for part in parts.values()]


def _of_records(examples: Examples, most: int) -> str:
    owners = np.unique(examples.features.owners[examples.evaluated(most)])
    fields = (examples.records[owner]._asdict() for owner in owners)
    content = [{k: v for k, v in f.items() if k not in ("where", "id")} for f in fields]
    return files.digest(json.dumps(content), length=16)
