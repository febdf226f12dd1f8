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

from bert_jax.config import stream
from bert_jax.data.chunks import Chunks, Text, chunks

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
    draw = partial(_uniform, seed, versions, examples)
    chunk = Chunks(*(column[examples] for column in table))
    segments = {"nsp": _nsp, "sop": _sop, "single": _one, "full": _one}[pairs]
    return _lay_out(text, segments(text, chunk, draw), length)


def hashes(key: int, versions: np.ndarray, examples: np.ndarray) -> np.ndarray:
    """Random uint64 numbers, one for each version and example (splitmix64)."""
    mixed = _mix(np.uint64(key) + versions.astype(np.uint64))
    return _mix(mixed + examples.astype(np.uint64))


def _mix(x: np.ndarray) -> np.ndarray:
    """Steele, Lea & Flood 2014, figure 13: splitmix64 of each number."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _uniform(
    seed: int, versions: np.ndarray, examples: np.ndarray, name: str
) -> np.ndarray:
    bits = hashes(stream(seed, "pairs", name), versions, examples)
    return (bits >> np.uint64(11)) * 2.0**-53


def _between(
    low: np.ndarray | int, high: np.ndarray, uniform: np.ndarray
) -> np.ndarray:
    """Integers of [low, high); low where that is empty."""
    return low + (uniform * np.maximum(high - low, 0)).astype(np.int64)


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
    later, stop = _later(text, chunk, start + end - split, inside)
    first = np.minimum(split - start, stop - later)
    second = np.minimum(end - split, later - start)
    first = _agree(text, start, later, first, draw)
    second = _agree(text, split, start, second, draw)
    swapped = draw("coin") < 0.5
    begin = np.where(swapped, later, start)
    return Segments(begin, first, np.where(swapped, start, split), second, swapped)


def _even_start(text: Text, found: Chunks) -> Chunks:
    """Chunks whose start is of the kind that their split will be.

    Swapped, the start of A becomes the start of B. Where the split must be inside a
    sentence, the chunk gives up its first words to start inside one too.
    """
    starts, sizes, documents = found
    low, high = _inner_openings(text, starts, starts + sizes)
    settled = text.opens(starts) & ((low < high) | ~text.between_sentences(starts))
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
    forced: np.ndarray | bool,
    draw: Draw,
) -> tuple[np.ndarray, np.ndarray]:
    """A random sentence start in the chunk; a word start where that is `forced`

    or where no sentence starts in the chunk. Also returns where that is.
    """
    low, high = _inner_openings(text, start, end)
    inside = (low == high) | forced
    sentence = text.openings.take(_between(low, high, draw("split")), mode="clip")
    word = _between(start + 1, end, draw("split in sentence"))
    return _move_inside(text, sentence, inside, start, end, word), inside


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
    pick = _between(np.zeros_like(own), others, draw("partner"))
    pick = np.where(pick < own, pick, pick + after - own)
    there = np.searchsorted(text.first_openings, pick, side="right") - 1
    stop = text.documents[there + 1]
    roomy = np.searchsorted(text.openings, stop - room, side="right") - 1
    pick = np.minimum(pick, np.maximum(roomy, text.first_openings[there]))
    start = text.openings[pick]
    limit = np.minimum(stop - room + 1, text.openings.take(pick + 1, mode="clip"))
    word = _between(start + 1, limit, draw("partner in sentence"))
    return _move_inside(text, start, inside, start, stop, word), stop


def _later(
    text: Text, chunk: Chunks, least: np.ndarray, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The first sentence (or word) start from `least` on, or the document's last."""
    last = text.first_openings[chunk.documents + 1] - 1
    start = text.openings[np.minimum(np.searchsorted(text.openings, least), last)]
    stop = text.documents[chunk.documents + 1]
    word = text.toward_opening(least, stop - 1)
    return _move_inside(text, start, inside, chunk.starts, stop, word), stop


def _move_inside(
    text: Text,
    start: np.ndarray,
    inside: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
    near: np.ndarray,
) -> np.ndarray:
    """`start`, but where `inside`, an opening near `near` and within (begin, end)."""
    start, rows = start.copy(), np.flatnonzero(inside)
    begin, end, near = begin[rows], end[rows], np.minimum(near, end - 1)[rows]
    # Backwards first: forwards would more often follow a long word than not.
    near = text.toward_opening(near, np.minimum(begin + 1, end - 1))
    near = text.toward_opening(near, end - 1)
    start[rows] = np.where(text.opens(near), near, begin)
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
        uniform = draw(f"shorten {trial}")[rows]
        size[rows] -= _between(1, 1 + np.minimum(size[rows] - 1, most), uniform)
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
