"""A linear probe of every layer (Alain & Bengio 2017), for a task of texts or of tags."""

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

MOST = 20_000  # texts or words of a split, if nothing else is said


class Request(NamedTuple):
    """The data of a task in the pieces of the run, and how much of them is read."""

    config: Any  # a ConfigDict: its attributes have no static types
    data: Dataset
    max_examples: int


def request(args: argparse.Namespace, overrides: Mapping[str, str]) -> Request:
    """The task of --config, read. UsageError for what no probe can be of."""
    return prepare(args.workdir, args.config, overrides, args.max_examples)


def prepare(
    workdir: Path, spec: str, overrides: Mapping[str, str], max_examples: int
) -> Request:
    """The data of a task's config as the run would be fine-tuned on them: in its
    vocabulary, cut to `data.length` pieces. UsageError for tasks of other kinds than
    classify and tag, and for an override that names another run."""
    for key in ("init_from", "tokenizer.path"):
        if key in overrides:
            raise UsageError(
                f"--config.{key}: a probe looks at the run of --workdir, in its own "
                "vocabulary: leave it out"
            )
    if max_examples < 1:
        raise UsageError(f"--max_examples={max_examples}: it must be 1 or more")
    own = {"init_from": str(workdir), "tokenizer.path": str(workdir / rundir.TOKENIZER)}
    config = lineage.load(spec, {**overrides, **own})
    if config.objective.kind not in ("classify", "tag"):
        raise UsageError(
            f"{spec} is of objective.kind={config.objective.kind}: a probe reads texts "
            "with labels (classify) or words with tags (tag)"
        )
    return Request(config, dataset.prepare(config), max_examples)


def read(model: Model, request: Request) -> Sets:
    """The vectors of all layers, and the classes, of each split.

    Of a text (and its pair) the mean over its tokens, [CLS] and [SEP] included; of a
    tagged word its first piece. At most `max_examples` of each split, drawn by the seed
    of the config: texts; of train any words, and of the others whole sentences. Words
    that are cut or have no piece are left out.
    """
    seed = request.config.seed
    return probe_sets.read(model, request.data, request.max_examples, seed)


def tell(sets: Sets, layer: int, seed: int) -> Reading:
    """What a probe of one layer, learnt from train, says of the other splits.

    Of words there is a control task too (Hewitt & Liang 2019, section 2): a probe can
    only know it by heart. Not of tags that mark chunks: most words are outside of them,
    so that a control task is as easy as saying so.
    """
    said = _said(sets, layer, sets.train.targets)
    if not sets.train.words or tag.is_chunked(sets.labels):
        return Reading(said, {})
    drawn = control(sets, seed)
    heard = _said(sets, layer, drawn[TRAIN])
    return Reading(said, {name: own == drawn[name] for name, own in heard.items()})


def control(sets: Sets, seed: int) -> dict[str, np.ndarray]:
    """A class for each word of each split, (n,) int: always the same of one word,
    drawn as often as each is in train."""
    splits = [sets.train, *sets.seen]
    words = sorted({word for split in splits for word in split.words})
    draw = np.random.default_rng(stream(seed, "probe control"))
    number = dict(zip(words, draw.choice(sets.train.targets, len(words)), strict=True))
    return {
        split.name: np.array([number[word] for word in split.words], int)
        for split in splits
    }


def find(model: Model, request: Request) -> Finding:
    """What each layer tells of the task."""
    sets, seed = read(model, request), request.config.seed
    readings = [tell(sets, layer, seed) for layer in range(states.count(model))]
    return page.finding(states.names(model), sets, readings, _facts(request, sets))


def _said(sets: Sets, layer: int, targets: np.ndarray) -> dict[str, np.ndarray]:
    """The classes (n,) of each split by a probe that learns these from train."""
    train = sets.train.vectors[:, layer]
    probe = linear.fit(train, targets, len(sets.labels), linear.PENALTY)
    return {
        split.name: linear.predict(probe, split.vectors[:, layer])
        for split in sets.seen
    }


def _facts(request: Request, sets: Sets) -> list[str]:
    task, data = request.config.task, request.data
    examples = {"train": data.train, "valid": data.valid, "test": data.test}
    what = "words" if sets.train.words else "texts"
    return [
        f"{split.name}: {len(split.targets):,} {what} of "
        f"`{Path(task[split.name]).name or 'train, held out'}` "
        f"({examples[split.name].describe()})"
        for split in (sets.train, *sets.seen)
    ]
