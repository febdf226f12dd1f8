"""A task's labelled data as batches: what `store` is for pretraining."""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from bert_jax import tokenizer as tokenizers
from bert_jax.config import UsageError, stream
from bert_jax.data import features, tasks
from bert_jax.data.examples import Examples
from bert_jax.tokenizer import Tokenizer

Config = Any  # a ConfigDict: its attributes have no static types


class Dataset(NamedTuple):
    tokenizer: Tokenizer
    fingerprint: str  # of the content: pieces and targets of all splits
    labels: tuple[str, ...]
    unseen: tuple[str, ...]  # labels of which there is no example to train on
    train: Examples
    valid: Examples
    test: Examples | None


def prepare(config: Config) -> Dataset:
    """The splits of a config, in pieces of its tokenizer. Raises UsageError."""
    if not config.tokenizer.path:
        raise UsageError(
            "a task needs a vocabulary: set init_from to a run, or tokenizer.path"
        )
    settings = config.tokenizer
    tokenizer = tokenizers.load(
        settings.path, settings.lowercase, settings.strip_accents
    )
    splits = tasks.read(config)
    seed = stream(config.seed, "data")

    def examples(records: list[Any]) -> Examples:
        made = features.make(
            config.objective.kind,
            records,
            splits.labels,
            tokenizer,
            config.task,
            config.data.length,
        )
        return Examples(records, made, tokenizer.pad_id, config.data.length, seed)

    train, valid = examples(splits.train), examples(splits.valid)
    test = examples(splits.test) if splits.test else None
    mark = _fingerprint(splits.labels, [s for s in (train, valid, test) if s])
    unseen = _unseen(splits.labels, train.features.targets)
    return Dataset(tokenizer, mark, splits.labels, unseen, train, valid, test)


def describe(train: Any, valid: Any, test: Any, most: int) -> Iterator[str]:
    """A line on the batches of each split that there is; at most so many examples of
    `valid` are evaluated, 0 for all."""
    yield f"train: {train.describe()}"
    yield f"valid: {valid.describe_evaluation(most)}"
    if test is not None:
        yield f"test: {test.describe()}"


def _unseen(labels: tuple[str, ...], targets: np.ndarray) -> tuple[str, ...]:
    return tuple(x for number, x in enumerate(labels) if not (targets == number).any())


def class_weights(
    text: str, labels: tuple[str, ...], targets: np.ndarray
) -> np.ndarray:
    """(C,) float32: ones, as stated, or "balanced": each class counts as much.

    Balanced is N / (C * the class's count), as King & Zeng 2001 and scikit-learn have it.
    """
    if not text:
        return np.ones(len(labels), np.float32)
    if text == "balanced":
        counts = np.bincount(targets, minlength=len(labels))
        return (len(targets) / (len(labels) * np.maximum(counts, 1))).astype(np.float32)
    try:
        weights = np.array([float(part) for part in tasks.listed(text)], np.float32)
    except ValueError:
        weights = np.zeros(0, np.float32)
    if len(weights) != len(labels) or not (np.isfinite(weights) & (weights > 0)).all():
        raise UsageError(
            f"task.class_weights is balanced or {len(labels)} positive numbers, one for "
            f"each of {', '.join(labels)}, not {text!r}"
        )
    return weights


def _fingerprint(labels: tuple[str, ...], splits: list[Examples]) -> str:
    digest = hashlib.blake2b(repr(labels).encode(), digest_size=6)
    for examples in splits:
        made = examples.features
        for array in (made.ids, made.starts, made.targets):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
