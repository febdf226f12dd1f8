"""Chunks of a split, which is read as one text of numbered positions.

Each example is made of one chunk: consecutive tokens of one document from a sentence
start on, as many as fit. Its last sentence is cut rather than padded, and the next
chunk begins with that sentence again, so that no token is lost.
"""

from typing import NamedTuple

import numpy as np

from bert_jax.data.store import Split
from bert_jax.data.tokenizer import Tokenizer


class Text(NamedTuple):
    """Tokens of a split with the starts of its sentences and documents, each list
    ending with the end.

    In FULL-SENTENCES (RoBERTa, Liu et al. 2019, section 4.2) the whole split is one
    document and a SEP stands between its documents: such separators have positions of
    their own.
    """

    tokens: np.ndarray
    sentences: np.ndarray
    begins: np.ndarray  # a bit for each position: whether it is one of `sentences`
    documents: np.ndarray
    openings: np.ndarray  # sentences that a segment may start with
    first_openings: np.ndarray  # of each document, as indices into `openings`
    separators: np.ndarray
    tokenizer: Tokenizer

    def read(self, at: np.ndarray) -> np.ndarray:
        """Token ids at these positions; any id for a position out of range."""
        if not self.separators.size:
            return self.tokens.take(at, mode="clip")
        passed = np.searchsorted(self.separators, at, side="right")
        ids = self.tokens.take(at - passed, mode="clip")
        here = self.separators.take(passed - 1, mode="clip") == at
        return np.where(here, self.tokenizer.sep_id, ids)

    def between_sentences(self, at: np.ndarray) -> np.ndarray:
        """Whether one sentence ends and the next starts at a position."""
        return self.begins.take(at >> 3, mode="clip") >> (at & 7) & 1 != 0

    def boundary(self, at: np.ndarray) -> np.ndarray:
        """Kind of boundary: 0 inside a word, 1 between words, 2 between sentences."""
        between_words = ~self.tokenizer.continuation[self.read(at)]
        return np.where(self.between_sentences(at), 2, between_words)

    def opens(self, at: np.ndarray) -> np.ndarray:
        """Whether a segment may start at a position: at a word that is not all of its
        sentence.

        Some prefix of such a segment does not end a sentence, so two segments can be
        shortened until they end alike.
        """
        # A document's first token may lack the space that marks the start of a word.
        starts_word = ~self.tokenizer.continuation[self.read(at)]
        starts_word |= self.between_sentences(at)
        return starts_word & ~self.between_sentences(at + 1)

    def toward_opening(self, at: np.ndarray, limit: np.ndarray) -> np.ndarray:
        """Move each position toward its limit until a segment may start there."""
        at = at.copy()
        moving = np.flatnonzero(at != limit)
        while moving.size:
            moving = moving[~self.opens(at[moving])]
            at[moving] += np.sign(limit[moving] - at[moving])
            moving = moving[at[moving] != limit[moving]]
        return at


class Chunks(NamedTuple):
    """Table of chunks in text order: first position, number of tokens, document, and
    the range of openings inside, as indices into `Text.openings`."""

    starts: np.ndarray
    sizes: np.ndarray
    documents: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def select(self, which: np.ndarray) -> "Chunks":
        return Chunks(*(column[which] for column in self))


def as_text(split: Split, tokenizer: Tokenizer, pairs: str) -> Text:
    """Return the split as a text for `pairs`."""
    tokens, sentences, documents = map(np.asarray, split[:3])
    separators = np.empty(0, np.int64)
    if pairs == "full":
        inner = documents[1:-1]
        separators = inner + np.arange(len(inner))
        sentences = sentences + np.searchsorted(inner, sentences, side="right")
        documents = sentences[[0, -1]]
    openings, first = _openings(sentences, documents)
    begins = _bits(sentences)
    return Text(
        tokens, sentences, begins, documents, openings, first, separators, tokenizer
    )


def _bits(ascending: np.ndarray) -> np.ndarray:
    """A bitmap of ascending numbers, eight to a byte.

    A look-up is one read instead of some twenty of a binary search, for an eighth of a
    byte a token.
    """
    octets = ascending >> 3
    first = np.flatnonzero(np.diff(octets, prepend=-1))
    bits = np.zeros(octets[-1] + 1, np.uint8)
    bits[octets[first]] = np.bitwise_or.reduceat(1 << (ascending & 7), first)
    return bits


def _openings(
    sentences: np.ndarray, documents: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions where segments may start: sentences of two tokens or more; the start of
    a document that has none.

    Also each document's first index into them, and at the end their number.
    """
    openings = sentences[:-1][np.diff(sentences) > 1]
    first = np.searchsorted(openings, documents)
    without = np.flatnonzero(np.diff(first) == 0)
    openings = np.insert(openings, first[without], documents[without])
    return openings, np.searchsorted(openings, documents)


def chunks(text: Text, budget: int) -> Chunks:
    """The chunks of at most `budget` tokens."""
    units = _units(text, budget)
    documents = np.searchsorted(text.documents, units, side="right") - 1
    ends = text.documents[documents + 1]
    cuts = np.minimum(units + budget, ends)
    # Find the unit that starts the next chunk for all units at once; then follow the
    # chains of all documents in lockstep.
    following = np.searchsorted(units, cuts, side="right") - 1
    following[cuts == ends] = -1
    reached = np.zeros(len(units), bool)
    chain = np.searchsorted(units, text.documents[:-1])
    while chain.size:
        reached[chain] = True
        chain = following[chain]
        chain = chain[chain >= 0]
    sizes = cuts - units - np.isin(cuts - 1, text.separators)
    return chunks_at(text, units[reached], sizes[reached], documents[reached])


def chunks_at(
    text: Text, starts: np.ndarray, sizes: np.ndarray, documents: np.ndarray
) -> Chunks:
    """The table of chunks with these starts and sizes."""
    low = np.searchsorted(text.openings, starts, side="right")
    high = np.searchsorted(text.openings, starts + sizes)
    return Chunks(starts, sizes, documents, low, high)


def _units(text: Text, budget: int) -> np.ndarray:
    """Positions where a chunk may start: every sentence, and parts of long ones."""
    starts, ends = text.sentences[:-1], text.sentences[1:]
    units = [starts]
    while (long := ends - starts > budget).any():
        starts, ends = starts[long], ends[long]
        word = text.toward_opening(starts + budget, starts)
        # A word longer than the budget is cut where the budget ends.
        starts = np.where(word > starts, word, starts + budget)
        units.append(starts)
    return np.sort(np.concatenate(units))
