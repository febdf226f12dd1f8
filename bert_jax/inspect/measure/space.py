"""Spaces of vectors, in which words and texts are looked up: those of a run, by layer,
and static ones, which have one vector a word.

The vector of a word of a run is that of the word alone, "[CLS] word [SEP]": the mean of
its pieces where it is split, with pool "pieces".
"""

import difflib
import gzip
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bert_jax.inspect.measure import states
from bert_jax.predict.model import Model
from bert_jax.run.config import UsageError
from bert_jax.tasks.records import lines
from bert_jax.tasks.words import split_words

KINDS = ("skipgram", "cbow")  # of word2vec
STATIC = "static"  # the one layer of static vectors
LARGEST = 1e15  # of a number in a file: what is larger has no square in float32


class Space(NamedTuple):
    """name: "the run", "skipgram", "cbow" or that of a file. layers: as states.names,
    or STATIC alone. vocabulary: words among which the nearest are looked for.

    look_up: of texts, (n,) bool whether each is known, and (n, layers, D) float32 its
    vectors, zeros where it is not. A run does not know what is nothing but [UNK].
    Static vectors know a text if it is a word of theirs, or else holds one: then it has
    the mean over those that it holds.
    """

    name: str
    layers: list[str]
    vocabulary: list[str]
    look_up: Callable[[Sequence[str]], tuple[np.ndarray, np.ndarray]]


def of_model(model: Model, pool: str) -> Space:
    """The layers of a run, texts pooled as states.of_texts says. Its vocabulary are the
    whole words of the tokenizer: of letters alone, two or more."""

    def look_up(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        rows = states.rows(model, texts)
        known = np.array([_is_known(model, row) for row in rows], bool)
        _tell_partly_unknown(model, texts, rows, known)
        seen = [row for row, sees in zip(rows, known, strict=True) if sees]
        found = states.of_rows(model, seen, pool)
        vectors = np.zeros((len(texts), *found.shape[1:]), np.float32)
        vectors[known] = found
        return known, vectors

    words = model.tokenizer
    vocabulary = [
        word
        for word, special in zip(words.display_tokens, words.special, strict=True)
        if len(word) > 1 and word.isalpha() and not special
    ]
    return Space("the run", states.names(model), vocabulary, look_up)


def _is_known(model: Model, row: states.Row) -> bool:
    inside = np.array([end > start for start, end in row.offsets], bool)
    return bool((row.ids[inside] != model.tokenizer.unk_id).any())


def _tell_partly_unknown(
    model: Model, texts: Sequence[str], rows: Sequence[states.Row], known: np.ndarray
) -> None:
    partly = [
        text
        for text, row, sees in zip(texts, rows, known, strict=True)
        if sees and model.tokenizer.unk_id in row.ids
    ]
    if partly:
        print(
            f"warning: the run reads [UNK] in a part of {len(partly):,} texts, such as "
            f"{partly[0]!r}: their vectors are partly that of [UNK]",
            file=sys.stderr,
        )


def read(path: str | Path) -> Space:
    """A text file of GloVe or word2vec, or one packed as .gz: a word and its numbers a
    line, before them a line "words dimensions" or none.

    Of a word that stands twice the first vector counts, as in gensim. A word may hold
    spaces, as a few of GloVe's do, but not before a number. UsageError, with file and
    line, for other lines, for numbers that are not finite, and for a file that has not
    as many words as it says.
    """
    path = Path(path)
    found: dict[str, np.ndarray] = {}
    wanted, size, count = -1, -1, 0
    for number, line in enumerate(_lines(path), 1):
        fields = line.replace("\t", " ").rstrip(" ").split(" ")
        if number == 1 and len(fields) == 2 and all(map(str.isdecimal, fields)):
            wanted, size = map(int, fields)
            continue
        size = len(fields) - 1 if size < 0 else size
        word, vector = _entry(f"{path}, line {number}", fields, size)
        found.setdefault(word, vector)
        count += 1
    if not found:
        raise UsageError(f"{path} holds no word")
    if wanted not in (-1, count):
        raise UsageError(f"{path} says that it has {wanted:,} words, but has {count:,}")
    return _of_words(path.name, list(found), np.array(list(found.values())))


def trained(sentences: Sequence[str], kind: str, seed: int) -> Space:
    """What word2vec ("skipgram" or "cbow") learns from texts: the same of one seed every
    time. UsageError where they have no word."""
    words = [tokens(sentence) for sentence in sentences]
    if not any(words):
        raise UsageError(f"{kind} learns from words, and the text has none")
    # gensim takes seconds to import, and only its own vectors need it.
    word2vec = import_module("bert_jax.inspect.measure.word2vec")
    return _of_words(kind, *word2vec.train(words, kind, seed))


def static(text: str, sentences: Sequence[str], seed: int) -> Space:
    """What --static asks for: `trained` on the sentences, or the path of a file.
    UsageError where there are no sentences to learn from, or no such file."""
    if text not in KINDS:
        if not Path(text).is_file():
            raise UsageError(f"--static={text} is neither skipgram, cbow nor a file")
        return read(text)
    if not sentences:
        raise UsageError(f"--static={text} learns from a text: say --corpus=FILE")
    return trained(sentences, text, seed)


def tokens(text: str) -> list[str]:
    """The words of a text in lower case, as words.split_words parts them, without those that
    have neither letter nor digit."""
    return [word.lower() for word in _words(text)]


def vectors(space: Space, words: Sequence[str]) -> np.ndarray:
    """(n, layers, D) float32 of words that must be known. UsageError that names the
    first that is not, and what is spelt alike."""
    known, found = space.look_up(words)
    for word, sees in zip(words, known, strict=True):
        if not sees:
            raise UsageError(f"{space.name} does not know {word!r}{_near(space, word)}")
    return found


def _near(space: Space, word: str) -> str:
    near = difflib.get_close_matches(word.lower(), space.vocabulary, n=3)
    return f": is it {' or '.join(map(repr, near))}?" if near else ""


def _words(text: str) -> list[str]:
    """Without what has neither letter nor digit."""
    found = [text[start:end] for start, end in split_words(text)]
    return [word for word in found if any(map(str.isalnum, word))]


def _of_words(name: str, words: list[str], matrix: np.ndarray) -> Space:
    """Static vectors (V, D). A word of a text is itself, or else in lower case."""
    index = {word: row for row, word in enumerate(words)}

    def look_up(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        known = np.zeros(len(texts), bool)
        found = np.zeros((len(texts), 1, matrix.shape[1]), np.float32)
        for place, text in enumerate(texts):
            if rows := _rows(index, text):
                known[place], found[place, 0] = True, matrix[rows].mean(0)
        return known, found

    return Space(name, [STATIC], words, look_up)


def _rows(index: dict[str, int], text: str) -> list[int]:
    """The text as one word, or the words of it that are known."""
    whole = index.get(text, index.get(text.lower()))
    if whole is not None:
        return [whole]
    found = [index.get(word, index.get(word.lower())) for word in _words(text)]
    return [row for row in found if row is not None]


def _entry(where: str, fields: list[str], size: int) -> tuple[str, np.ndarray]:
    """The word and the numbers, (size,) float32, of a line of a file of vectors."""
    word, numbers = fields[: len(fields) - size], fields[len(fields) - size :]
    if size < 1 or not word or not any(word) or (word[1:] and _is_number(word[-1])):
        wanted = f"{size} numbers" if size > 0 else "numbers"
        raise UsageError(f"{where}: wanted a word and {wanted}")
    try:
        vector = np.array([float(number) for number in numbers])
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error
    if not (np.abs(vector) < LARGEST).all() or any("_" in text for text in numbers):
        raise UsageError(f"{where}: a number is not finite, too large or no number")
    return " ".join(word), vector.astype(np.float32)


def _is_number(text: str) -> bool:
    try:
        return float(text) is not None
    except ValueError:
        return False


def _lines(path: Path) -> Iterator[str]:
    """Of a text, also of a packed one."""
    if path.suffix != ".gz":
        yield from lines(path, "utf-8")
        return
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
            for line in file:
                yield line.removesuffix("\n").removesuffix("\r")
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        raise UsageError(f"{path} cannot be read as .gz: {error}") from error
