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
ROWS = 256  # of which all vectors are held at once


class Split(NamedTuple):
    """n texts, or n words of tagged sentences: then also the words, and where they
    stand, and the tags of all words of these sentences, read or not."""

    name: str
    vectors: np.ndarray  # (n, L + 1, D) float32
    targets: np.ndarray  # (n,) int
    words: list[str]  # n, or none of texts
    places: list[tuple[int, int]]  # the sentence of each, and the number of the word
    tags: list[tuple[str, ...]]  # of each sentence


class Sets(NamedTuple):
    """The splits in vectors. labels: by number. test: None where there is none."""

    labels: tuple[str, ...]
    train: Split
    valid: Split
    test: Split | None

    @property
    def seen(self) -> list[Split]:
        """Those that a probe is evaluated on."""
        return [split for split in (self.valid, self.test) if split]


def read(model: Model, data: Dataset, most: int, seed: int) -> Sets:
    """At most `most` units of each split, drawn by the seed; see probe.read."""
    return Sets(
        data.labels,
        _split(model, TRAIN, data.train, most, seed),
        _split(model, VALID, data.valid, most, seed),
        _split(model, TEST, data.test, most, seed) if data.test else None,
    )


def _split(model: Model, name: str, examples: Examples, most: int, seed: int) -> Split:
    order = permutation(stream(seed, f"probe {name}"), 0, examples.num_examples)
    if examples.features.places:
        return _words(model, name, examples, most, order, seed)
    chosen = np.sort(order[:most])
    found = _vectors(model, examples, chosen.tolist(), None)
    return Split(name, found, examples.features.targets[chosen], [], [], [])


def _words(
    model: Model,
    name: str,
    examples: Examples,
    most: int,
    order: np.ndarray,
    seed: int,
) -> Split:
    """Words that have a piece: of train any, else those of whole sentences."""
    made, records = examples.features, examples.records
    if name == TRAIN:
        units = _units(made.places, range(len(records)))
        drawn = permutation(stream(seed, "probe words"), 0, len(units))[:most]
        units = [units[i] for i in sorted(drawn)]
    else:
        counts = np.array([(made.places[number] >= 0).sum() for number in order])
        fit = max(int((np.cumsum(counts) <= most).sum()), 1)
        units = _units(made.places, sorted(order[:fit].tolist()))
    numbers = sorted({number for number, _ in units})
    pieces: dict[int, list[int]] = {number: [] for number in numbers}
    for number, word in units:
        pieces[number].append(int(made.places[number][word]))
    starts = [made.starts[number] + made.places[number][word] for number, word in units]
    row = {number: i for i, number in enumerate(numbers)}
    return Split(
        name,
        _vectors(model, examples, numbers, [pieces[number] for number in numbers]),
        made.targets[np.array(starts, int)],
        [records[number].words[word] for number, word in units],
        [(row[number], word) for number, word in units],
        [records[number].tags for number in numbers],
    )


def _units(
    places: Sequence[np.ndarray], numbers: Sequence[int]
) -> list[tuple[int, int]]:
    """The sentence and the number of each word that has a piece."""
    return [
        (number, int(word))
        for number in numbers
        for word in np.flatnonzero(places[number] >= 0)
    ]


def _vectors(
    model: Model,
    examples: Examples,
    numbers: Sequence[int],
    pieces: list[list[int]] | None,
) -> np.ndarray:
    """(n, L + 1, D) float32: of each example the mean over its tokens, or the vectors of
    these pieces of it, example after example."""
    found: list[np.ndarray] = [np.zeros(0)] * len(numbers)
    rows = [_row(examples, number) for number in numbers]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    for begin in range(0, len(order), ROWS):
        own = order[begin : begin + ROWS]
        lines = [_lines(rows[i], pieces[i] if pieces else None) for i in own]
        means = states.averages(model, [rows[i] for i in own], lines)
        for i, vectors in zip(own, means, strict=True):
            # A copy, as what it is cut from is as large as a whole batch.
            found[i] = vectors[: len(pieces[i]) if pieces else 1].copy()
    shape = (-1, states.count(model), model.config.model.model_dim)
    return np.concatenate(found).reshape(shape) if found else np.zeros((0, *shape[1:]))


def _row(examples: Examples, number: int) -> Row:
    made = examples.features
    inside = slice(made.starts[number], made.starts[number + 1])
    return Row(made.ids[inside], made.types[inside], [])


def _lines(row: Row, pieces: list[int] | None) -> np.ndarray:
    """The weights of the mean, (1, T); or (T, T), of each piece a line that has it
    alone, then zeros, so that there is one shape, and compilation, a width."""
    width = len(row.ids)
    if pieces is None:
        return np.full((1, width), 1 / width, np.float32)
    lines = np.zeros((width, width), np.float32)
    lines[np.arange(len(pieces)), pieces] = 1
    return lines
