"""Chunks to segments A and B: whole batches by vectorised numpy.

nsp is next-sentence prediction (BERT, Devlin et al. 2019, section 3.1), sop is
sentence-order prediction (ALBERT, Lan et al. 2020, section 3.1). Both texts that a
label could stand for are found first and cut to one shape, then a coin takes one: the
lengths of A and B, and whether each ends a sentence or a word, cannot tell the label.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from bert_jax.data.chunks import Chunks, Text, chunks
from bert_jax.data.draws import between, uniform

Draw = Callable[[str], np.ndarray]  # name of a random choice -> (B,) in [0, 1)


class Segments(NamedTuple):
    """(B,) each: position and size of A and B; B is empty where there are no pairs."""

    first: np.ndarray
    first_size: np.ndarray
    second: np.ndarray
    second_size: np.ndarray
    label: np.ndarray  # 0 is next, or in order; 1 is random, or swapped


def chunk_table(text: Text, pairs: str, length: int) -> Chunks:
    """The chunks for examples of `length` tokens, [CLS] and [SEP] included."""
    paired = pairs in ("nsp", "sop")
    found = chunks(text, length - (3 if paired else 2))
    if pairs == "sop":
        found = _even_start(text, found)
    if not paired:
        return found
    # What cannot be split, such as a single word, makes no pair.
    last = found.starts + found.sizes - 1
    second = text.toward_opening(np.minimum(found.starts + 1, last), last)
    keep = (second > found.starts) & text.opens(second)
    return Chunks(*(column[keep] for column in found))


def assemble(
    text: Text,
    table: Chunks,
    pairs: str,
    length: int,
    examples: np.ndarray,
    versions: np.ndarray,
    seed: int,
) -> dict[str, np.ndarray]:
    """ids and types (B, T), lengths and pair_label (B,), all int32.

    Each row is a function of (seed, its version, its example) alone.
    """
    draw = partial(uniform, seed, versions, examples)
    chunk = Chunks(*(column[examples] for column in table))
    segments = {"nsp": _nsp, "sop": _sop, "single": _one, "full": _one}[pairs]
    return _lay_out(text, segments(text, chunk, draw), length)


def _one(text: Text, chunk: Chunks, draw: Draw) -> Segments:
    none = np.zeros_like(chunk.starts)
    return Segments(chunk.starts, chunk.sizes, none, none, none)


def _nsp(text: Text, chunk: Chunks, draw: Draw) -> Segments:
    start, end = chunk.starts, chunk.starts + chunk.sizes
    split, inside = _split(text, start, end, False, draw)
    other, stop = _partner(text, chunk.documents, end - split, inside, draw)
    size = np.minimum(end, split + stop - other) - split
    size = _agree(text, split, other, size, draw)
    random = draw("coin") < 0.5
    second = np.where(random, other, split)
    return Segments(start, split - start, second, size, random)


def _sop(text: Text, chunk: Chunks, draw: Draw) -> Segments:
    start, end = chunk.starts, chunk.starts + chunk.sizes
    split, inside = _split(text, start, end, ~text.between_sentences(start), draw)
    later = np.where(inside, split, _later(text, chunk, start + end - split))
    first = np.minimum(split - start, text.documents[chunk.documents + 1] - later)
    second = np.minimum(end - split, later - start)
    first = _agree(text, start, later, first, draw)
    second = _agree(text, split, start, second, draw)
    swapped = draw("coin") < 0.5
    begin = np.where(swapped, later, start)
    return Segments(begin, first, np.where(swapped, start, split), second, swapped)


def _even_start(text: Text, found: Chunks) -> Chunks:
    """Chunks whose start is of the kind that their split will be.

    Swapped, the start of A becomes the start of B. Where the split cannot be between
    sentences, the chunk gives up its first word, to start inside a sentence as well.
    """
    starts, sizes, documents = found
    low, high = _inner_openings(text, starts, starts + sizes)
    settled = text.opens(starts) & text.between_sentences(starts) & (low < high)
    last = starts + sizes - 1
    moved = text.toward_opening(np.minimum(starts + 1, last), last)
    moved = np.where(settled, starts, moved)
    return Chunks(moved, sizes - (moved - starts), documents)


def _inner_openings(
    text: Text, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The range of the openings within (start, end)."""
    low = np.searchsorted(text.openings, start, side="right")
    return low, np.searchsorted(text.openings, end)


def _split(
    text: Text,
    start: np.ndarray,
    end: np.ndarray,
    inside: np.ndarray | bool,
    draw: Draw,
) -> tuple[np.ndarray, np.ndarray]:
    """A random sentence start in the chunk, or a place inside a sentence.

    The latter where told so, or where no sentence starts; also returns where that is.
    """
    low, high = _inner_openings(text, start, end)
    within = np.asarray((low == high) | inside)
    split = text.openings.take(between(low, high, draw("split")), mode="clip")
    split = _move_inside(text, split, within, start + 1, end, draw, "split")
    return split, within


def _partner(
    text: Text, document: np.ndarray, room: np.ndarray, inside: np.ndarray, draw: Draw
) -> tuple[np.ndarray, np.ndarray]:
    """A random start in another document, and the end of that document.

    Every sentence outside `document` is as likely; one without `room` tokens after it
    gives way to the last before it that has them, if any. Where the split is inside a
    sentence, so is the start.
    """
    own, after = text.first_openings[document], text.first_openings[document + 1]
    others = len(text.openings) - (after - own)
    pick = between(0, others, draw("partner"))
    pick = np.where(pick < own, pick, pick + after - own)
    there = np.searchsorted(text.first_openings, pick, side="right") - 1
    stop = text.documents[there + 1]
    roomy = np.searchsorted(text.openings, stop - room, side="right") - 1
    pick = np.minimum(pick, np.maximum(roomy, text.first_openings[there]))
    start = text.openings[pick]
    end = text.sentences[np.searchsorted(text.sentences, start, side="right")]
    end = np.minimum(end, np.maximum(stop - room + 1, start + 9))
    start = _move_inside(text, start, inside, start + 1, end, draw, "partner")
    return start, stop


def _later(text: Text, chunk: Chunks, least: np.ndarray) -> np.ndarray:
    """The first sentence start from `least` on, or the last of the document."""
    last = text.first_openings[chunk.documents + 1] - 1
    return text.openings[np.minimum(np.searchsorted(text.openings, least), last)]


def _move_inside(
    text: Text,
    start: np.ndarray,
    inside: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    draw: Draw,
    name: str,
) -> np.ndarray:
    """`start`, but where `inside`, a random word of [low, high) inside a sentence.

    Drawn until it is one, so that long words are no more likely than short ones; where
    eight draws fail the nearest opening will do, and where there is none, `start`.
    """
    start, rows = start.copy(), np.flatnonzero(inside)
    low, high = np.minimum(low, high - 1)[rows], high[rows]
    at, poor = low.copy(), np.arange(len(rows))
    for trial in range(8):
        if not poor.size:
            break
        at[poor] = between(low, high, draw(f"{name} inside {trial}")[rows])[poor]
        poor = poor[~text.opens(at[poor]) | text.between_sentences(at[poor])]
    at = text.toward_opening(text.toward_opening(at, low), high - 1)
    start[rows] = np.where(text.opens(at), at, start[rows])
    return start


def _agree(
    text: Text, one: np.ndarray, two: np.ndarray, size: np.ndarray, draw: Draw
) -> np.ndarray:
    """Shortens both texts until both end a sentence, or a word, or neither.

    From the end of a sentence by 1 to 8 tokens, lest a last word that often comes
    before a full stop tells the label; otherwise by one.
    """
    size, rows, trial = size.copy(), np.arange(len(size)), 0
    while True:
        ends = text.boundary(np.stack([one[rows], two[rows]]) + size[rows])
        going = (ends[0] != ends[1]) & (size[rows] > 1)
        if not going.any():
            return size
        most = np.where(ends.max(axis=0) == 2, 8, 1)[going]
        rows = rows[going]
        most = np.minimum(size[rows] - 1, most)
        size[rows] -= between(1, 1 + most, draw(f"shorten {trial}")[rows])
        trial += 1


def _lay_out(text: Text, segments: Segments, length: int) -> dict[str, np.ndarray]:
    """[CLS] A [SEP] B [SEP], or [CLS] A [SEP], padded to `length`."""
    first, first_size, second, second_size, label = segments
    rows, columns = np.arange(len(first)), np.arange(length)
    middle = first_size + 1
    lengths = middle + 1 + np.where(second_size > 0, second_size + 1, 0)
    after = columns > middle[:, None]
    real = columns < lengths[:, None]
    shift = np.where(after, (second - middle - 1)[:, None], (first - 1)[:, None])
    ids = text.read(columns + shift).astype(np.int32)
    ids[:, 0] = text.tokenizer.cls_id
    ids[rows, middle] = ids[rows, lengths - 1] = text.tokenizer.sep_id
    return {
        "ids": np.where(real, ids, np.int32(text.tokenizer.pad_id)),
        "types": (after & real).astype(np.int32),
        "lengths": lengths.astype(np.int32),
        "pair_label": label.astype(np.int32),
    }
