"""A task's labelled data as batches: what `store` is for pretraining."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_jax.data import tokenizer as tokenizers
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.run import files
from bert_jax.run.config import Config, UsageError, stream
from bert_jax.tasks import kinds, read
from bert_jax.tasks.examples import Examples
from bert_jax.tasks.records import listed


class Dataset(NamedTuple):
    tokenizer: Tokenizer
    fingerprint: str  # of the content: texts, labels, tokens and targets of all splits
    labels: tuple[str, ...]
    unseen: tuple[str, ...]  # labels of which there is no example to train on
    train: Examples
    valid: Examples
    test: Examples | None

    @property
    def splits(self) -> dict[str, Examples]:
        named = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: examples for name, examples in named.items() if examples}

    def has_fingerprint(self, known: str) -> bool:
        """Whether that is a fingerprint of these data, by the law of its version."""
        first = _fingerprint_1(self.labels, list(self.splits.values()))
        return known in (self.fingerprint, first)


def prepare(config: Config) -> Dataset:
    """The splits of a config, in tokens of its tokenizer. Raises UsageError."""
    if not config.tokenizer.path:
        raise UsageError(
            "a task needs a vocabulary: set init_from to a run, or tokenizer.path"
        )
    settings = config.tokenizer
    tokenizer = tokenizers.load(
        settings.path, settings.lowercase, settings.strip_accents
    )
    splits = read.read(config)
    task = kinds.of_config(config, splits.labels)
    seed = stream(config.seed, "data")

    def examples(records: list[Any]) -> Examples:
        made = task.features(records, tokenizer, config.data.length)
        return Examples(records, made, tokenizer.pad_id, config.data.length, seed)

    train, valid = examples(splits.train), examples(splits.valid)
    test = examples(splits.test) if splits.test else None
    counts = task.label_counts(train.features.targets) if splits.labels else ()
    unseen = tuple(x for x, n in zip(splits.labels, counts, strict=True) if not n)
    data = Dataset(tokenizer, "", splits.labels, unseen, train, valid, test)
    return data._replace(fingerprint=_fingerprint(data))


def describe(train: Any, valid: Any, test: Any, most: int) -> Iterator[str]:
    """A line on the batches of each split that there is; at most so many examples of
    `valid` are evaluated, 0 for all."""
    yield f"train: {train.describe()}"
    yield f"valid: {valid.describe_evaluation(most)}"
    if test is not None:
        yield f"test: {test.describe()}"


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
        weights = np.array([float(part) for part in listed(text)], np.float32)
    except ValueError:
        weights = np.zeros(0, np.float32)
    if len(weights) != len(labels) or not (np.isfinite(weights) & (weights > 0)).all():
        raise UsageError(
            f"task.class_weights is balanced or {len(labels)} positive numbers, one for "
            f"each of {', '.join(labels)}, not {text!r}"
        )
    return weights


def _fingerprint(data: Dataset) -> str:
    parts = [data.tokenizer.fingerprint, json.dumps(data.labels)]
    for name, examples in data.splits.items():
        made = examples.features
        parts += [name, _digest_of_records(examples.records), str(made.choices)]
        arrays = made.ids, made.types, made.starts, made.targets, made.owners
        parts += map(_digest_of_array, arrays)
    return "2:" + files.digest(*parts, length=12)


def _digest_of_records(records: Sequence[Any]) -> str:
    """Digest of texts and labels, independent of the file they come from."""
    texts = (json.dumps(record._replace(where="")) for record in records)
    return files.digest(*(files.digest(text, length=64) for text in texts), length=64)


def _digest_of_array(array: np.ndarray) -> str:
    kind = f"{array.dtype.str} {array.shape}"
    return files.digest(kind, np.ascontiguousarray(array).tobytes(), length=64)


def _fingerprint_1(labels: tuple[str, ...], splits: list[Examples]) -> str:
    """The fingerprint that runs of version 1 wrote."""
    digest = hashlib.blake2b(repr(labels).encode(), digest_size=6)
    for examples in splits:
        made = examples.features
        for array in (made.ids, made.starts, made.targets):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
