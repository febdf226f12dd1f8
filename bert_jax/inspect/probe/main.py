"""A linear probe of every layer (Alain & Bengio 2017), for a task of texts or tags."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bert_jax.inspect.draw.finding import Finding
from bert_jax.inspect.measure import linear, states
from bert_jax.inspect.probe import page
from bert_jax.inspect.probe import sets as probe_sets
from bert_jax.inspect.probe.page import Reading
from bert_jax.inspect.probe.sets import TRAIN, Sets
from bert_jax.predict.model import Model
from bert_jax.run import lineage, rundir
from bert_jax.run.config import UsageError, stream
from bert_jax.tasks import dataset, tag
from bert_jax.tasks.dataset import Dataset

MOST = 20_000  # texts or words of a split, by default


class ProbeRequest(NamedTuple):
    """The data of a task in tokens of the run, and the number of examples to read."""

    config: Any  # a ConfigDict: its attributes have no static types
    data: Dataset
    max_examples: int


def request(args: argparse.Namespace, overrides: Mapping[str, str]) -> ProbeRequest:
    """Read the task of --config. UsageError for a task that cannot be probed."""
    return prepare(args.workdir, args.config, overrides, args.max_examples)


def prepare(
    workdir: Path, spec: str, overrides: Mapping[str, str], max_examples: int
) -> ProbeRequest:
    """Read the data of a task's config as for fine-tuning the run: in its vocabulary,
    cut to `data.length` tokens.

    UsageError for kinds of tasks other than classify and tag, and for an override that
    names another run.
    """
    for key in ("init_from", "tokenizer.path"):
        if key in overrides:
            raise UsageError(
                f"--config.{key}: a probe looks at the run of --workdir, in its own "
                "vocabulary: leave it out"
            )
    if max_examples < 1:
        raise UsageError(f"--max_examples={max_examples}: it must be 1 or more")
    from_run = {
        "init_from": str(workdir),
        "tokenizer.path": str(workdir / rundir.TOKENIZER),
    }
    config = lineage.load(spec, {**overrides, **from_run})
    if config.objective.kind not in ("classify", "tag"):
        raise UsageError(
            f"{spec} is of objective.kind={config.objective.kind}: a probe reads texts "
            "with labels (classify) or words with tags (tag)"
        )
    return ProbeRequest(config, dataset.prepare(config), max_examples)


def read(model: Model, request: ProbeRequest) -> Sets:
    """The vectors of all layers, and the classes, of each split.

    A text (or pair) has the mean over its tokens, [CLS] and [SEP] included; a tagged
    word its first token. At most `max_examples` of each split are drawn, by the seed of
    the config: texts; of train any words, of the other splits complete sentences. Words
    that are cut or have no token are left out.
    """
    seed = request.config.seed
    return probe_sets.read(model, request.data, request.max_examples, seed)


def tell(sets: Sets, layer: int, seed: int) -> Reading:
    """Predict the other splits by a probe of one layer that is trained on the train
    split.

    Words also get a control task (Hewitt & Liang 2019, section 2), which a probe can
    only memorise. Chunk tags get none: most words lie outside of chunks, so that a
    control task would be as easy as the majority class.
    """
    predictions = _predictions(sets, layer, sets.train.targets)
    if not sets.train.words or tag.is_chunked(sets.labels):
        return Reading(predictions, {})
    drawn = control(sets, seed)
    control_predictions = _predictions(sets, layer, drawn[TRAIN])
    return Reading(
        predictions,
        {name: classes == drawn[name] for name, classes in control_predictions.items()},
    )


def control(sets: Sets, seed: int) -> dict[str, np.ndarray]:
    """Random classes (n,) int for the words of each split: fixed for each distinct
    word, with the class frequencies of train."""
    splits = [sets.train, *sets.evaluated]
    words = sorted({word for split in splits for word in split.words})
    draw = np.random.default_rng(stream(seed, "probe control"))
    number = dict(zip(words, draw.choice(sets.train.targets, len(words)), strict=True))
    return {
        split.name: np.array([number[word] for word in split.words], int)
        for split in splits
    }


def find(model: Model, request: ProbeRequest) -> Finding:
    """Probe every layer for the task."""
    sets, seed = read(model, request), request.config.seed
    readings = [tell(sets, layer, seed) for layer in range(states.count(model))]
    return page.finding(states.names(model), sets, readings, _facts(request, sets))


def _predictions(sets: Sets, layer: int, targets: np.ndarray) -> dict[str, np.ndarray]:
    """Predicted classes (n,) of each evaluated split, by a probe that is trained on
    `targets`."""
    train = sets.train.vectors[:, layer]
    probe = linear.fit(train, targets, len(sets.labels), linear.PENALTY)
    return {
        split.name: linear.predict(probe, split.vectors[:, layer])
        for split in sets.evaluated
    }


def _facts(request: ProbeRequest, sets: Sets) -> list[str]:
    task, data = request.config.task, request.data
    examples = {"train": data.train, "valid": data.valid, "test": data.test}
    what = "words" if sets.train.words else "texts"
    return [
        f"{split.name}: {len(split.targets):,} {what} of "
        f"`{Path(task[split.name]).name or 'train, held out'}` "
        f"({examples[split.name].describe()})"
        for split in (sets.train, *sets.evaluated)
    ]
