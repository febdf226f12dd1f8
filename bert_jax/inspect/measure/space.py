"""Vector spaces in which words and texts are looked up: the layers of a run, or static
vectors, which have one vector per word.

A word of a run is read alone, as "[CLS] word [SEP]". With pool "pieces" its vector is
the mean over its tokens.
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

KINDS = ("skipgram", "cbow", "fasttext")  # learned from a text
LEARNED = "skipgram, cbow or fasttext"
STATIC = "static"  # the one layer of static vectors
LARGEST = 1e15  # number in a file: the square of a larger one overflows float32


class Space(NamedTuple):
    """A vector space. name: "the run", one of KINDS or a file name. layers: as
    states.names, or STATIC alone. vocabulary: the words among which neighbours are
    searched.

    look_up: texts -> (n,) bool, whether each is known, and (n, layers, D) float32
    vectors, zeros where unknown. A run does not know a text of [UNK] alone. Static
    vectors know a text if it is one of their words, or else contains some: then its
    vector is their mean. fastText knows any word that shares characters with its own.
    """

    name: str
    layers: list[str]
    vocabulary: list[str]
    look_up: Callable[[Sequence[str]], tuple[np.ndarray, np.ndarray]]


def model_space(model: Model, pool: str) -> Space:
    """The space of a run's layers, texts pooled as in states.of_texts. The vocabulary
    holds the unsplit words of the tokenizer: letters only, two or more."""

    def look_up(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        rows = states.rows(model, texts)
        known = np.array([_is_known(model, row) for row in rows], bool)
        _warn_of_unknown_parts(model, texts, rows, known)
        known_rows = [row for row, hit in zip(rows, known, strict=True) if hit]
        pooled = states.of_rows(model, known_rows, pool)
        vectors = np.zeros((len(texts), *pooled.shape[1:]), np.float32)
        vectors[known] = pooled
        return known, vectors

    words = model.tokenizer.word_tokens
    vocabulary = [word for word in words if len(word) > 1 and word.isalpha()]
    return Space("the run", states.names(model), vocabulary, look_up)


def _is_known(model: Model, row: states.Row) -> bool:
    inside = np.array([end > start for start, end in row.offsets], bool)
    return bool((row.ids[inside] != model.tokenizer.unk_id).any())


def _warn_of_unknown_parts(
    model: Model, texts: Sequence[str], rows: Sequence[states.Row], known: np.ndarray
) -> None:
    partly = [
        text
        for text, row, hit in zip(texts, rows, known, strict=True)
        if hit and model.tokenizer.unk_id in row.ids[1:-1]
    ]
    if partly:
        print(
            f"warning: the run reads [UNK] in a part of {len(partly):,} texts, such as "
            f"{partly[0]!r}: their vectors are partly that of [UNK]",
            file=sys.stderr,
        )


def read(path: str | Path) -> Space:
    """Read a text file of GloVe or word2vec, plain or .gz: a line per word, word and
    numbers, optionally after a line "words dimensions".

    The first of duplicate words counts, as in gensim. A word may contain spaces, as a
    few of GloVe's do, but not before a number. UsageError, with file and line, for
    other lines, for numbers that are not finite, and for a wrong number of words.
    """
    path = Path(path)
    vectors: dict[str, np.ndarray] = {}
    wanted, size, count = -1, -1, 0
    for number, line in enumerate(_lines(path), 1):
        fields = line.replace("\t", " ").rstrip(" ").split(" ")
        if number == 1 and len(fields) == 2 and all(map(str.isdecimal, fields)):
            wanted, size = map(int, fields)
            continue
        size = len(fields) - 1 if size < 0 else size
        word, vector = _entry(f"{path}, line {number}", fields, size)
        vectors.setdefault(word, vector)
        count += 1
    if not vectors:
        raise UsageError(f"{path} holds no word")
    if wanted not in (-1, count):
        raise UsageError(f"{path} says that it has {wanted:,} words, but has {count:,}")
    return _static_space(path.name, list(vectors), np.array(list(vectors.values())))


def trained_space(sentences: Sequence[str], kind: str, seed: int) -> Space:
    """Train word2vec ("skipgram" or "cbow") or "fasttext" on texts; a seed always gives
    the same vectors. UsageError for texts without words."""
    words = [tokens(sentence) for sentence in sentences]
    if not any(words):
        raise UsageError(f"{kind} learns from words, and the text has none")
    # gensim takes seconds to import, and only its own vectors need it.
    word2vec = import_module("bert_jax.inspect.measure.word2vec")
    if kind == "fasttext":
        return _static_space(kind, *word2vec.train_subwords(words, seed))
    return _static_space(kind, *word2vec.train(words, kind, seed))


def static_space(text: str, sentences: Sequence[str], seed: int) -> Space:
    """The space that --static names: `trained_space` of the sentences, or a file's.
    UsageError where there are no sentences to learn from, or no such file."""
    if text not in KINDS:
        if not Path(text).is_file():
            raise UsageError(
                f"--static={text} is neither {', '.join(KINDS)} nor a file"
            )
        return read(text)
    if not sentences:
        raise UsageError(f"--static={text} learns from a text: say --corpus=FILE")
    return trained_space(sentences, text, seed)


def tokens(text: str) -> list[str]:
    """The words of a text in lower case, split by words.split_words, without those that
    have neither letter nor digit."""
    return [word.lower() for word in _words(text)]


def vectors(space: Space, words: Sequence[str]) -> np.ndarray:
    """Vectors (n, layers, D) float32 of known words. UsageError for the first unknown
    word, with similarly spelt ones."""
    known, pooled = space.look_up(words)
    for word, hit in zip(words, known, strict=True):
        if not hit:
            raise UsageError(f"{space.name} does not know {word!r}{_near(space, word)}")
    return pooled


def _near(space: Space, word: str) -> str:
    near = difflib.get_close_matches(word.lower(), space.vocabulary, n=3)
    return f": is it {' or '.join(map(repr, near))}?" if near else ""


def _words(text: str) -> list[str]:
    """The words of a text that have a letter or digit."""
    words = [text[start:end] for start, end in split_words(text)]
    return [word for word in words if any(map(str.isalnum, word))]


def _static_space(
    name: str,
    words: list[str],
    matrix: np.ndarray,
    compose: Callable[[str], np.ndarray | None] = lambda word: None,
) -> Space:
    """The space of static vectors (V, D). A word is looked up as it is, else in lower
    case, else composed."""
    index = {word: row for row, word in enumerate(words)}

    def vector(word: str) -> np.ndarray | None:
        row = index.get(word, index.get(word.lower()))
        return compose(word.lower()) if row is None else matrix[row]

    def look_up(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        known = np.zeros(len(texts), bool)
        pooled = np.zeros((len(texts), 1, matrix.shape[1]), np.float32)
        for number, text in enumerate(texts):
            parts = [text] if text in index or text.lower() in index else _words(text)
            found = [one for one in map(vector, parts) if one is not None]
            if found:
                known[number], pooled[number, 0] = True, np.mean(found, axis=0)
        return known, pooled

    return Space(name, [STATIC], words, look_up)


def _entry(where: str, fields: list[str], size: int) -> tuple[str, np.ndarray]:
    """Parse a line of a file of vectors: the word and its numbers, (size,) float32."""
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
    """Yield the lines of a text file, plain or .gz."""
    if path.suffix != ".gz":
        yield from lines(path, "utf-8")
        return
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
            for line in file:
                yield line.removesuffix("\n").removesuffix("\r")
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        raise UsageError(f"{path} cannot be read as .gz: {error}") from error
