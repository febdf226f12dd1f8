"""The splits of a task as vectors of all layers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bert_jax.data.draws import permutation
from bert_jax.inspect.measure import states
from bert_jax.inspect.measure.states import Row
from bert_jax.predict.model import Model
from bert_jax.run.config import stream
from bert_jax.tasks.dataset import Dataset
from bert_jax.tasks.examples import Examples

TRAIN, VALID, TEST = "train", "valid", "test"
ROWS = 256  # rows of which all vectors are in memory at once


class ProbeSplit(NamedTuple):
    """A split of n texts, or of n words of tagged sentences. For the latter also the
    words, their positions, and the tags of all words of the sentences, read or not."""

    name: str
    vectors: np.ndarray  # (n, L + 1, D) float32
    targets: np.ndarray  # (n,) int
    words: list[str]  # n; empty for texts
    places: list[tuple[int, int]]  # sentence number and word number of each word
    tags: list[tuple[str, ...]]  # of each sentence


class Sets(NamedTuple):
    """The splits of a task as vectors. labels: by class number. test: None if there is
    none."""

    labels: tuple[str, ...]
    train: ProbeSplit
    valid: ProbeSplit
    test: ProbeSplit | None

    @property
    def evaluated(self) -> list[ProbeSplit]:
        """The splits on which a probe is evaluated."""
        return [split for split in (self.valid, self.test) if split]


def read(model: Model, data: Dataset, most: int, seed: int) -> Sets:
    """Read at most `most` examples of each split, drawn by the seed; see probe.read."""
    return Sets(
        data.labels,
        _split(model, TRAIN, data.train, most, seed),
        _split(model, VALID, data.valid, most, seed),
        _split(model, TEST, data.test, most, seed) if data.test else None,
    )


def _split(
    model: Model, name: str, examples: Examples, most: int, seed: int
) -> ProbeSplit:
    order = permutation(stream(seed, f"probe {name}"), 0, examples.num_examples)
    if examples.features.places:
        return _words(model, name, examples, most, order, seed)
    chosen = np.sort(order[:most])
    vectors = _vectors(model, examples, chosen.tolist(), None)
    return ProbeSplit(name, vectors, examples.features.targets[chosen], [], [], [])


def _words(
    model: Model,
    name: str,
    examples: Examples,
    most: int,
    order: np.ndarray,
    seed: int,
) -> ProbeSplit:
    """Words that have a token: any words of train, else those of complete sentences."""
    features, records = examples.features, examples.records
    if name == TRAIN:
        units = _units(features.places, range(len(records)))
        drawn = permutation(stream(seed, "probe words"), 0, len(units))[:most]
        units = [units[i] for i in sorted(drawn)]
    else:
        counts = np.array([(features.places[number] >= 0).sum() for number in order])
        fit = max(int((np.cumsum(counts) <= most).sum()), 1)
        units = _units(features.places, sorted(order[:fit].tolist()))
    numbers = sorted({number for number, _ in units})
    tokens: dict[int, list[int]] = {number: [] for number in numbers}
    for number, word in units:
        tokens[number].append(int(features.places[number][word]))
    starts = [
        features.starts[number] + features.places[number][word]
        for number, word in units
    ]
    row = {number: i for i, number in enumerate(numbers)}
    return ProbeSplit(
        name,
        _vectors(model, examples, numbers, [tokens[number] for number in numbers]),
        features.targets[np.array(starts, int)],
        [records[number].words[word] for number, word in units],
        [(row[number], word) for number, word in units],
        [records[number].tags for number in numbers],
    )


def _units(
    places: Sequence[np.ndarray], numbers: Sequence[int]
) -> list[tuple[int, int]]:
    """The sentence number and the word number of each word that has a token."""
    return [
        (number, int(word))
        for number in numbers
        for word in np.flatnonzero(places[number] >= 0)
    ]


def _vectors(
    model: Model,
    examples: Examples,
    numbers: Sequence[int],
    tokens: list[list[int]] | None,
) -> np.ndarray:
    """Vectors (n, L + 1, D) float32: of each example the mean over its tokens, or the
    vectors of the given tokens, example after example."""
    per_example: list[np.ndarray] = [np.zeros(0)] * len(numbers)
    rows = [_row(examples, number) for number in numbers]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    for begin in range(0, len(order), ROWS):
        batch = order[begin : begin + ROWS]
        lines = [
            _averaging_weights(rows[i], tokens[i] if tokens else None) for i in batch
        ]
        means = states.averages(model, [rows[i] for i in batch], lines)
        for i, vectors in zip(batch, means, strict=True):
            # A copy, as a view would keep the whole batch in memory.
            per_example[i] = vectors[: len(tokens[i]) if tokens else 1].copy()
    shape = (-1, states.count(model), model.config.model.model_dim)
    return (
        np.concatenate(per_example).reshape(shape)
        if per_example
        else np.zeros((0, *shape[1:]))
    )


def _row(examples: Examples, number: int) -> Row:
    features = examples.features
    inside = slice(features.starts[number], features.starts[number + 1])
    return Row(features.ids[inside], features.types[inside], [])


def _averaging_weights(row: Row, tokens: list[int] | None) -> np.ndarray:
    """The averaging weights: (1, T) of the mean, or (T, T), a one-hot row for each
    token.

    The latter has unused rows of zeros, so that each width has one shape and compiles
    once.
    """
    width = len(row.ids)
    if tokens is None:
        return np.full((1, width), 1 / width, np.float32)
    lines = np.zeros((width, width), np.float32)
    lines[np.arange(len(tokens)), tokens] = 1
    return lines
