"""Senses of a word in sentences, as CoarseWSD-20 has them (Loureiro et al. 2021): read,
and told by nearest neighbour and by linear probe, of vectors that know the sentence and
of static ones, which do not.
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
from bert_jax.tasks.metrics import Z95
from bert_jax.tasks.records import lines, parsed

MAP = "classes_map.txt"
CONTEXT = "sentence mean"  # of static vectors
NEAR = 1e-6  # cosines that differ by less are equal, as rounding is
BLOCK = 512  # test vectors compared at once


class Occurrences(NamedTuple):
    """A word in n sentences: the characters [start, end) of it, and its senses (n,)."""

    texts: list[str]
    spans: list[tuple[int, int]]
    senses: np.ndarray

    @property
    def words(self) -> list[str]:
        return [text[a:b] for text, (a, b) in zip(self.texts, self.spans, strict=True)]


class Word(NamedTuple):
    """senses: their names, by number. train: the sentences whose senses are known."""

    name: str
    senses: list[str]
    train: Occurrences
    test: Occurrences


class Told(NamedTuple):
    """The senses that one kind of vectors gives the test sentences, (m,) int each."""

    name: str  # "embeddings", "1", ..., states.LAST_FOUR, or of static vectors
    nearest: np.ndarray
    probe: np.ndarray


class Static(NamedTuple):
    """What static vectors tell. one: the vector of the word, the same everywhere.
    context: the mean over the words of the sentence."""

    name: str
    one: Told
    context: Told


class Difference(NamedTuple):
    """Of two shares of the same trials, with its 95 % interval."""

    value: float
    low: float
    high: float


def read(folder: Path) -> Word:
    """The folder of a word: MAP, and {train,test}.{data,gold}.txt. A line of data is the
    number of the word among those between spaces, from 0, a tab, and the sentence; one
    of gold the number of its sense. UsageError, with file and line, for anything else.
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
    """(m,) int: of each vector of test (m, D) the sense of the nearest of train (n, D),
    by cosine. Of several that are equally near, as all are to a static vector, the most
    frequent sense; of equally frequent ones the lowest number."""
    train, test, votes = unit(train), unit(test), np.eye(classes)[senses]
    found = [np.zeros(0, int)]
    for begin in range(0, len(test), BLOCK):
        cosines = test[begin : begin + BLOCK] @ train.T
        best = cosines >= cosines.max(axis=1, keepdims=True) - NEAR
        found.append((best @ votes).argmax(axis=1))
    return np.concatenate(found)


def tell(name: str, word: Word, train: np.ndarray, test: np.ndarray) -> Told:
    """What vectors of the training and the test sentences, (n, D) and (m, D), tell."""
    count, senses = len(word.senses), word.train.senses
    probe = linear.fit(train, senses, count, linear.PENALTY)
    return Told(name, nearest(train, senses, test, count), linear.predict(probe, test))


def contextual(
    model: Model, word: Word, train: np.ndarray, test: np.ndarray
) -> list[Told]:
    """Of `vectors` of both splits: each layer, and the last four as one."""
    names = states.names(model)
    told = [
        tell(name, word, train[:, layer], test[:, layer])
        for layer, name in enumerate(names)
    ]
    if len(names) >= 4:
        both = (states.select(model, each, states.LAST_FOUR) for each in (train, test))
        told.append(tell(states.LAST_FOUR, word, *both))
    return told


def static(space: Space, word: Word) -> Static:
    """What vectors that have one layer tell. UsageError if the word has none."""
    one, context = [], []
    for split in (word.train, word.test):
        known, found = space.look_up(split.words)
        if not known.all():
            raise UsageError(f"{space.name} does not know {word.name!r}")
        one.append(found[:, 0])
        context.append(space.look_up(split.texts)[1][:, 0])
    return Static(
        space.name,
        tell(f"{space.name}, the word", word, *one),
        tell(f"{space.name}, {CONTEXT}", word, *context),
    )


def vectors(
    model: Model, texts: Sequence[str], spans: Sequence[tuple[int, int]]
) -> np.ndarray:
    """(n, L + 1, D) float32 of a word in each text, the mean over its pieces. Of a text
    of more pieces than the model has positions a stretch around the word is read."""
    placed = [
        stretch(model, text, span) for text, span in zip(texts, spans, strict=True)
    ]
    return states.of_spans(
        model, [text for text, _ in placed], [span for _, span in placed]
    )


def stretch(
    model: Model, text: str, span: tuple[int, int]
) -> tuple[str, tuple[int, int]]:
    """The text, or what of it around the span fits the model; and the span therein."""
    offsets, room = model.tokenizer.encode(text).offsets, model.max_length - 2
    if len(offsets) <= room:
        return text, span
    first = next((i for i, (_, end) in enumerate(offsets) if end > span[0]), 0)
    begin = min(max(first - room // 2, 0), len(offsets) - room)
    start, end = offsets[begin][0], offsets[begin + room - 1][1]
    return text[start:end], (max(span[0] - start, 0), span[1] - start)


def difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """Of the shares of two (m,) bool that say which trials succeeded, the same trials.

    The interval is Wald's of the table of pairs with half a trial more in each of its
    four cells (Agresti & Min 2005, "Wald+2"), cut to [-1, 1].
    """
    gained, lost = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    count, gap = len(first) + 2, gained - lost
    half = Z95 * math.sqrt(gained + lost + 1 - gap**2 / count) / count
    return Difference(
        gap / len(first), max(-1.0, gap / count - half), min(1.0, gap / count + half)
    )


def repeated(word: Word) -> int:
    """How many of the test sentences are among the training sentences too."""
    return len(list(filter(set(word.train.texts).__contains__, word.test.texts)))


def _map(path: Path, word: str) -> dict[int, str]:
    """The names of the senses, the number of each a key, from 0 on."""
    senses = parsed(str(path), "\n".join(lines(path, "utf-8")))
    try:
        found = {int(key): _named(name, word) for key, name in senses.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f'{path}: wanted JSON of senses by number, {{"0": "{word}_1"}}: {error}'
        ) from error
    if sorted(found) != list(range(len(found))) or not found:
        raise UsageError(f"{path}: the numbers of senses are not 0, 1, 2, ...")
    return dict(sorted(found.items()))


def _named(sense: str, word: str) -> str:
    """bank_bank_(geography) -> bank (geography)"""
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
                f"{gold}, line {number}: the sense {label!r} is not in {MAP}, which has "
                f"{', '.join(map(str, senses))}"
            )
    return Occurrences(
        [text for text, _ in rows],
        [span for _, span in rows],
        np.array([int(label) for label in labels]),
    )


def _place(where: str, line: str) -> tuple[str, tuple[int, int]]:
    """The sentence, and the characters of the word that the line names."""
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
