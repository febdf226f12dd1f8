"""Words of a text: how they are parted, become tokens, and are read with their tags.

The first token of each word carries its tag (Devlin et al. 2019, section 5.3).
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from bert_jax.data.tokenizer import Tokenizer
from bert_jax.run.config import UsageError
from bert_jax.tasks import entities as chunks
from bert_jax.tasks.entities import Entity
from bert_jax.tasks.features import BLOCK
from bert_jax.tasks.records import Tagged

NO_TAG = -1
# Of a text's kinds of character, see `_kind`: a word, or another one that is no space.
_WORD = re.compile(r"(?:@?w(?:\S*w)?|\S)m*")


class Tags(NamedTuple):
    """A sentence of W words as a row of T tokens, CLS tokens SEP."""

    ids: np.ndarray  # (T,) int32
    first: np.ndarray  # (W,) int32: position of each word's first token, or -1
    vanished: int  # words that give no token: control and zero-width characters
    cut: int  # words whose first token stands beyond the row's end


class WordTags(NamedTuple):
    """The number of the tag of each of W words, and the tag's probability.

    A word that no token stands for is outside of everything, or NO_TAG where no label
    says so, with probability 0.
    """

    tags: np.ndarray  # (W,) int
    probabilities: np.ndarray  # (W,)


class Passage(NamedTuple):
    """A text and the characters [start, end) of each of its words."""

    text: str
    words: list[tuple[int, int]]


class Found(NamedTuple):
    """Characters [start, end) of a text."""

    type: str
    text: str
    start: int
    end: int
    probability: float  # the least of its words' probabilities


def names(tags: Sequence[int], labels: Sequence[str]) -> list[str]:
    """The labels of tags, "" of NO_TAG."""
    return [labels[tag] if tag != NO_TAG else "" for tag in tags]


def passage(record: Tagged) -> Passage:
    """The words of a file with a space between them."""
    ends = np.cumsum([len(word) + 1 for word in record.words]).tolist()
    spans = [(e - 1 - len(w), e - 1) for w, e in zip(record.words, ends, strict=True)]
    return Passage(" ".join(record.words), spans)


def rows_of(passage: Passage, tokenizer: Tokenizer, length: int) -> list[Tagged]:
    """The words of a passage, parted where a row is full, so that none is cut."""
    found = [passage.text[a:b] for a, b in passage.words]
    sizes = [len(ids) for ids in tokenizer.ids(list(map(tokenizer.following, found)))]
    starts = _starts(sizes, length - 2)
    ends = [*starts[1:], len(found)]
    rows = (tuple(found[a:b]) for a, b in zip(starts, ends, strict=True))
    return [Tagged("", row, ()) for row in rows]


def _starts(sizes: Sequence[int], room: int) -> list[int]:
    """The first word of each row, given the tokens of every word: a row is full if the
    next word would not fit whole."""
    starts, used = [0], 0
    for number, size in enumerate(sizes):
        if used and used + size > room:
            starts.append(number)
            used = 0
        used += size
    return starts


def tag_features(
    tokenizer: Tokenizer, sentences: Sequence[Sequence[str]], max_length: int
) -> Iterator[Tags]:
    """Features of tagged sentences, cut to rows of at most `max_length` tokens.

    Words are encoded one by one, each as what follows another: whether a space stands
    before it changes no token. A word whose first token is in the row keeps its label, though later ones may be cut. Words
    with a position, vanished and cut ones together are all words.
    """
    if max_length < 3:
        raise UsageError(
            f"max_length={max_length} has no room: two special tokens and another"
        )
    for start in range(0, len(sentences), BLOCK):
        block = sentences[start : start + BLOCK]
        flat = [tokenizer.following(word) for words in block for word in words]
        pieces = iter(tokenizer.ids(flat))
        for words in block:
            yield _tags(tokenizer, list(islice(pieces, len(words))), max_length)


def _tags(tokenizer: Tokenizer, words: list[list[int]], max_length: int) -> Tags:
    lengths = np.array([len(pieces) for pieces in words], np.int32)
    first = 1 + np.cumsum(lengths, dtype=np.int32) - lengths
    vanished, cut = lengths == 0, first >= max_length - 1
    flat = [piece for pieces in words for piece in pieces][: max_length - 2]
    ids = np.array(tokenizer.framed(flat, None), np.int32)
    first[vanished | cut] = -1
    return Tags(ids, first, int(vanished.sum()), int((cut & ~vanished).sum()))


def word_tags(first: np.ndarray, chances: np.ndarray, outside: int) -> WordTags:
    """The likeliest tag of each word, by the probabilities (T, C) at its first token.

    Words without a token in the row, -1 in `first` (W,), are `outside`.
    """
    tags = np.where(first >= 0, chances.argmax(-1)[first], outside)
    return WordTags(tags, np.where(first < 0, 0, chances[first, tags]))


def split_words(text: str) -> list[tuple[int, int]]:
    """Characters [start, end) of the words of a text, for tags: in order, all but space.

    Of what stands between spaces, punctuation and symbols (Unicode's categories P and
    S) at either side are a word each; what they enclose is one word. A "@" or "#"
    directly before it belongs to it, as social media are annotated, and combining marks
    (M) to the character before them. So "(U.N.)" is ( U.N . ) and "#1" and "don't" are
    one word; an abbreviation loses its last full stop.
    """
    return _words(text, 0, len(text))


def words_beside(text: str, added: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Words as of `split_words`, none of which is a part of an added token: `added` are
    those of Tokenizer.added_spans."""
    found, begin = [], 0
    for start, end in added:
        if len(_words(text, start, end)) > 1:
            found += [*_words(text, begin, start), (start, end)]
            begin = end
    return found + _words(text, begin, len(text))


def passage_of(text: str, tokenizer: Tokenizer) -> Passage:
    """A text and its words, whose tokens are those of the text."""
    return Passage(text, words_beside(text, tokenizer.added_spans(text)))


def _words(text: str, start: int, end: int) -> list[tuple[int, int]]:
    kinds = "".join(map(_kind, text[start:end]))
    spans = (match.span() for match in _WORD.finditer(kinds))
    return [(start + a, start + b) for a, b in spans]


def _kind(character: str) -> str:
    """A space, "@" (or #), "p"unctuation or symbol, "m"ark, or else of a "w"ord."""
    if character.isspace():
        return " "
    if character in "@#":
        return "@"
    return {"P": "p", "S": "p", "M": "m"}.get(unicodedata.category(character)[0], "w")


def entities(
    text: str,
    spans: Sequence[tuple[int, int]],
    tags: Sequence[str],
    probabilities: Sequence[float],
    labels: Sequence[str],
) -> list[Found]:
    """Entities among the words at `spans`, given each word's tag and probability.

    `labels` are the set of the tags. If they mark entities (`entities.marks`), those are
    found; else each word is one, whose type is its tag (parts of speech). What is tagged
    O is none in either case. An entity is as probable as the least probable of its
    words' tags. ValueError where the numbers of words, tags and probabilities differ,
    and for tags that are not of the set.
    """
    if not len(spans) == len(tags) == len(probabilities):
        raise ValueError(
            f"{len(tags)} tags and {len(probabilities)} probabilities "
            f"of {len(spans)} words"
        )
    if chunks.marks(labels) is not None:
        found = chunks.from_tags(tags, labels)
    else:
        words = [(at, tag) for at, tag in enumerate(tags) if chunks.is_of_a_word(tag)]
        found = [Entity(tag, at, at + 1) for at, tag in words]
    return [
        Found(
            type=entity.type,
            text=text[spans[entity.start][0] : spans[entity.end - 1][1]],
            start=spans[entity.start][0],
            end=spans[entity.end - 1][1],
            probability=float(min(probabilities[entity.start : entity.end])),
        )
        for entity in found
    ]
