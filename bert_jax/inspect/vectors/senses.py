"""Word senses in sentences, in the format of CoarseWSD-20 (Loureiro et al. 2021).

They are read, and predicted by nearest neighbour and by linear probe: from contextual
vectors, and from static ones, which do not depend on the sentence.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bert_jax.inspect.measure import linear, states
from bert_jax.inspect.measure.cosines import unit
from bert_jax.inspect.measure.space import Space
from bert_jax.predict.model import Model
from bert_jax.run.config import UsageError
from bert_jax.run.files import parse_written
from bert_jax.tasks.metrics import Z95
from bert_jax.tasks.records import lines

MAP = "classes_map.txt"
CONTEXT = "sentence mean"  # of static vectors
NEAR = 1e-6  # cosines that differ by less are ties: it is rounding
BLOCK = 512  # test vectors compared at once


class Occurrences(NamedTuple):
    """A word in n sentences: its characters [start, end) in each, and its n senses."""

    texts: list[str]
    spans: list[tuple[int, int]]
    senses: np.ndarray

    @property
    def words(self) -> list[str]:
        return [text[a:b] for text, (a, b) in zip(self.texts, self.spans, strict=True)]


class Word(NamedTuple):
    """An ambiguous word. senses: their names, by number. train, test: its sentences."""

    name: str
    senses: list[str]
    train: Occurrences
    test: Occurrences


class SensePredictions(NamedTuple):
    """Predicted senses (m,) int of the test sentences, from one kind of vectors."""

    name: str  # "embeddings", "1", ..., states.LAST_FOUR, or of static vectors
    nearest: np.ndarray
    probe: np.ndarray


class Static(NamedTuple):
    """Predictions of static vectors. word: from the vector of the word, which is
    constant. context: from the mean over the words of the sentence."""

    name: str
    word: SensePredictions
    context: SensePredictions


class Difference(NamedTuple):
    """The difference of two shares of paired trials, with its 95 % interval."""

    value: float
    low: float
    high: float


def read(folder: Path) -> Word:
    """Read the folder of a word: MAP, and {train,test}.{data,gold}.txt.

    A line of data is the number of the word among those between spaces, from 0, a tab,
    and the sentence; a line of gold is the number of its sense. UsageError, with file
    and line, for anything else.
    """
    if not folder.is_dir():
        raise UsageError(f"--senses: {folder} is no folder of a word")
    name = folder.resolve().name
    senses = _map(folder / MAP, name)
    return Word(
        name,
        list(senses.values()),
        *(_occurrences(folder, split, list(senses)) for split in ("train", "test")),
    )


def nearest(
    train: np.ndarray, senses: np.ndarray, test: np.ndarray, classes: int
) -> np.ndarray:
    """The sense (m,) int of the nearest train vector (n, D) by cosine, for each test
    vector.

    Among equally near ones, as all are to a static vector, the most frequent sense
    wins; among equally frequent ones the lowest number.
    """
    train, test, votes = unit(train), unit(test), np.eye(classes)[senses]
    blocks = [np.zeros(0, int)]
    for begin in range(0, len(test), BLOCK):
        cosines = test[begin : begin + BLOCK] @ train.T
        best = cosines >= cosines.max(axis=1, keepdims=True) - NEAR
        blocks.append((best @ votes).argmax(axis=1))
    return np.concatenate(blocks)


def predict(
    name: str, word: Word, train: np.ndarray, test: np.ndarray
) -> SensePredictions:
    """Predict senses of the test sentences from vectors (n, D) of train and (m, D) of
    test."""
    count, senses = len(word.senses), word.train.senses
    probe = linear.fit(train, senses, count, linear.PENALTY)
    return SensePredictions(
        name, nearest(train, senses, test, count), linear.predict(probe, test)
    )


def layer_predictions(
    model: Model, word: Word, train: np.ndarray, test: np.ndarray
) -> list[SensePredictions]:
    """The predictions of each layer, and of the last four side by side, from `vectors`
    of both splits."""
    names = states.names(model)
    predictions = [
        predict(name, word, train[:, layer], test[:, layer])
        for layer, name in enumerate(names)
    ]
    if len(names) >= 4:
        both = (states.select(model, each, states.LAST_FOUR) for each in (train, test))
        predictions.append(predict(states.LAST_FOUR, word, *both))
    return predictions


def static_predictions(space: Space, word: Word) -> Static:
    """The predictions of static vectors. UsageError if they do not know the word."""
    word_vectors, context = [], []
    for split in (word.train, word.test):
        known, vectors = space.look_up(split.words)
        if not known.all():
            raise UsageError(f"{space.name} does not know {word.name!r}")
        word_vectors.append(vectors[:, 0])
        context.append(space.look_up(split.texts)[1][:, 0])
    return Static(
        space.name,
        predict(f"{space.name}, the word", word, *word_vectors),
        predict(f"{space.name}, {CONTEXT}", word, *context),
    )


def vectors(
    model: Model, texts: Sequence[str], spans: Sequence[tuple[int, int]]
) -> np.ndarray:
    """Vectors (n, L + 1, D) float32 of a word in each text, the mean over its tokens.

    If a text does not fit the model, only a stretch around the word is read.
    """
    placed = [
        stretch(model, text, span) for text, span in zip(texts, spans, strict=True)
    ]
    return states.of_spans(
        model, [text for text, _ in placed], [span for _, span in placed]
    )


def stretch(
    model: Model, text: str, span: tuple[int, int]
) -> tuple[str, tuple[int, int]]:
    """The text, or the stretch around a span that fits the model; the span in it."""
    offsets, room = model.tokenizer.encode(text).offsets, model.max_length - 2
    if len(offsets) <= room:
        return text, span
    first = next((i for i, (_, end) in enumerate(offsets) if end > span[0]), 0)
    begin = min(max(first - room // 2, 0), len(offsets) - room)
    start, end = offsets[begin][0], offsets[begin + room - 1][1]
    return text[start:end], (max(span[0] - start, 0), span[1] - start)


def difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """The difference of the shares of two (m,) bool, which mark the successes of paired
    trials.

    The interval is Wald's, with half a trial added to each of the four cells of the
    table of pairs (Agresti & Min 2005, "Wald+2"), cut to [-1, 1].
    """
    gained, lost = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    count, gap = len(first) + 2, gained - lost
    half = Z95 * math.sqrt(gained + lost + 1 - gap**2 / count) / count
    return Difference(
        gap / len(first), max(-1.0, gap / count - half), min(1.0, gap / count + half)
    )


def repeated(word: Word) -> int:
    """The number of test sentences that are among the training sentences too."""
    return len(list(filter(set(word.train.texts).__contains__, word.test.texts)))


def _map(path: Path, word: str) -> dict[int, str]:
    """Read the names of the senses by number, which run from 0."""
    senses = parse_written(str(path), "\n".join(lines(path, "utf-8")))
    try:
        names = {int(key): _named(name, word) for key, name in senses.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f'{path}: wanted JSON of senses by number, {{"0": "{word}_1"}}: {error}'
        ) from error
    if sorted(names) != list(range(len(names))) or not names:
        raise UsageError(f"{path}: the numbers of senses are not 0, 1, 2, ...")
    return dict(sorted(names.items()))


def _named(sense: str, word: str) -> str:
    """Format the name of a sense: bank_bank_(geography) -> bank (geography)."""
    return sense.removeprefix(f"{word}_").replace("_", " ")


def _occurrences(folder: Path, split: str, senses: Sequence[int]) -> Occurrences:
    data, gold = (folder / f"{split}.{what}.txt" for what in ("data", "gold"))
    texts, labels = list(lines(data, "utf-8")), list(lines(gold, "utf-8"))
    if len(texts) != len(labels):
        raise UsageError(
            f"{data} has {len(texts):,} lines, but {gold} {len(labels):,}: a sense for "
            "each sentence"
        )
    rows = [
        _place(f"{data}, line {number}", line) for number, line in enumerate(texts, 1)
    ]
    for number, label in enumerate(labels, 1):
        if label.strip() not in map(str, senses):
            raise UsageError(
                f"{gold}, line {number}: the sense {label!r} is not in {MAP}, which "
                f"has {', '.join(map(str, senses))}"
            )
    return Occurrences(
        [text for text, _ in rows],
        [span for _, span in rows],
        np.array([int(label) for label in labels]),
    )


def _place(where: str, line: str) -> tuple[str, tuple[int, int]]:
    """Parse a line of data: the sentence, and the characters of the marked word."""
    number, tab, text = line.partition("\t")
    if not tab or not number.strip().isdecimal():
        raise UsageError(f"{where}: wanted the number of a word, a tab and a sentence")
    words = [match.span() for match in re.finditer(r"\S+", text)]
    if int(number) >= len(words):
        raise UsageError(
            f"{where}: there is no word {number}, as the sentence has 0 to "
            f"{len(words) - 1}"
        )
    return text, words[int(number)]
