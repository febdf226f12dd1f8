"""Segments A and B of chunks: whole batches in vectorised numpy.

nsp is next-sentence prediction (BERT, Devlin et al. 2019, section 3.1), sop is
sentence-order prediction (ALBERT, Lan et al. 2020, section 3.1). Texts for both labels
are found first and cut to one shape, then one is chosen at random: the lengths of A and
B, and whether each ends a sentence or a word, do not reveal the label.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bert_jax.data.chunks import Chunks, Text, chunks, chunks_at
from bert_jax.data.draws import between, uniform

Draw = Callable[..., np.ndarray]  # (name, rows = all) -> uniform numbers in [0, 1)


class Segments(NamedTuple):
    """Positions and sizes of segments A and B, (B,) each; B is empty without pairs."""

    first: np.ndarray
    first_size: np.ndarray
    second: np.ndarray
    second_size: np.ndarray
    label: np.ndarray  # 0: next or in order; 1: random or swapped


def chunk_table(text: Text, pairs: str, length: int) -> Chunks:
    """The chunks for examples of `length` tokens, including special tokens."""
    paired = pairs in ("nsp", "sop")
    table = chunks(text, length - text.tokenizer.special_count(paired))
    if pairs == "sop":
        table = _even_start(text, table)
    return table.select(can_split(text, table)) if paired else table


def can_split(text: Text, table: Chunks) -> np.ndarray:
    """Whether a pair can be made of each chunk, which a single word does not allow."""
    last = table.starts + table.sizes - 1
    second = text.toward_opening(np.minimum(table.starts + 1, last), last)
    return (second > table.starts) & text.opens(second)


def assemble(
    text: Text,
    table: Chunks,
    pairs: str,
    length: int,
    examples: np.ndarray,
    versions: np.ndarray,
    seed: int,
) -> dict[str, np.ndarray]:
    """Return ids and types (B, T), lengths and pair_label (B,), all int32.

    Each row depends on (seed, its version, its example) alone.
    """
    chunk = table.select(examples)
    parts = segments(text, chunk, pairs, examples, versions, seed)
    return _lay_out(text, parts, length)


def segments(
    text: Text,
    chunk: Chunks,
    pairs: str,
    examples: np.ndarray,
    versions: np.ndarray,
    seed: int,
) -> Segments:
    """The segments A and B of these chunks, whose numbers are `examples`."""

    def draw(name: str, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        return uniform(seed, versions[rows], examples[rows], name)

    make = {"nsp": _nsp, "sop": _sop, "single": _single, "full": _single}[pairs]
    return make(text, chunk, draw)


def _single(text: Text, chunk: Chunks, draw: Draw) -> Segments:
    none = np.zeros_like(chunk.starts)
    return Segments(chunk.starts, chunk.sizes, none, none, none)


def _nsp(text: Text, chunk: Chunks, draw: Draw) -> Segments:
    start, end = chunk.starts, chunk.starts + chunk.sizes
    split, inside = _split(text, chunk, False, draw)
    other, stop = _partner(text, chunk.documents, end - split, inside, draw)
    size = np.minimum(end, split + stop - other) - split
    size = _agree(text, split, other, size, draw)
    random = draw("coin") < 0.5
    second = np.where(random, other, split)
    return Segments(start, split - start, second, size, random)


def _sop(text: Text, chunk: Chunks, draw: Draw) -> Segments:
    start, end = chunk.starts, chunk.starts + chunk.sizes
    split, inside = _split(text, chunk, ~text.between_sentences(start), draw)
    later = np.where(inside, split, _later(text, chunk, start + end - split))
    first = np.minimum(split - start, text.documents[chunk.documents + 1] - later)
    second = np.minimum(end - split, later - start)
    # A and B in one call: most of its cost does not depend on the number of rows.
    one, two = np.concatenate([start, split]), np.concatenate([later, start])
    size = np.concatenate([first, second])

    def draw_both(name: str, rows: np.ndarray) -> np.ndarray:
        return draw(name, rows % len(start))

    first, second = np.split(_agree(text, one, two, size, draw_both), 2)
    swapped = draw("coin") < 0.5
    begin = np.where(swapped, later, start)
    return Segments(begin, first, np.where(swapped, start, split), second, swapped)


def _even_start(text: Text, table: Chunks) -> Chunks:
    """Shift chunk starts to the kind of position that their split will have.

    Swapped, the start of A becomes the start of B. If the split cannot be between
    sentences, the chunk drops its first word, to start inside a sentence as well.
    """
    starts, sizes, documents, low, high = table
    settled = text.opens(starts) & text.between_sentences(starts) & (low < high)
    last = starts + sizes - 1
    moved = text.toward_opening(np.minimum(starts + 1, last), last)
    moved = np.where(settled, starts, moved)
    return chunks_at(text, moved, sizes - (moved - starts), documents)


def _split(
    text: Text, chunk: Chunks, inside: np.ndarray | bool, draw: Draw
) -> tuple[np.ndarray, np.ndarray]:
    """A random sentence start in each chunk, or a position inside a sentence.

    The latter for rows of `inside` and for chunks without a sentence start; also
    returns the mask of these rows.
    """
    within = np.asarray((chunk.low == chunk.high) | inside)
    pick = between(chunk.low, chunk.high, draw("split"))
    split, rows = text.openings.take(pick, mode="clip"), np.flatnonzero(within)
    begin = chunk.starts[rows]
    high = begin + chunk.sizes[rows]
    _move_inside(text, split, rows, begin + 1, high, draw, "split")
    return split, within


def _partner(
    text: Text, document: np.ndarray, room: np.ndarray, inside: np.ndarray, draw: Draw
) -> tuple[np.ndarray, np.ndarray]:
    """A random start in another document, and the end of that document.

    Every sentence outside `document` is equally likely. One without `room` tokens after
    it is replaced by the last before it that has them, if any. If the split is inside a
    sentence, so is the start.
    """
    before, after = text.first_openings[document], text.first_openings[document + 1]
    others = len(text.openings) - (after - before)
    pick = between(0, others, draw("partner"))
    pick = np.where(pick < before, pick, pick + after - before)
    there = np.searchsorted(text.first_openings, pick, side="right") - 1
    start, stop = text.openings[pick], text.documents[there + 1]
    last = stop - room
    late = np.flatnonzero(start > last)
    roomy = np.searchsorted(text.openings, last[late], side="right") - 1
    start[late] = text.openings[np.maximum(roomy, text.first_openings[there[late]])]
    rows = np.flatnonzero(inside)
    begin = start[rows]
    end = text.sentences[np.searchsorted(text.sentences, begin, side="right")]
    end = np.minimum(end, np.maximum(last[rows] + 1, begin + 9))
    _move_inside(text, start, rows, begin + 1, end, draw, "partner")
    return start, stop


def _later(text: Text, chunk: Chunks, least: np.ndarray) -> np.ndarray:
    """The first sentence start from `least` on, or the last of the document."""
    last = text.first_openings[chunk.documents + 1] - 1
    return text.openings[np.minimum(np.searchsorted(text.openings, least), last)]


def _move_inside(
    text: Text,
    start: np.ndarray,
    rows: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    draw: Draw,
    name: str,
) -> None:
    """Set `start` of these rows to a random word of [low, high) inside a sentence.

    Rejection sampling, so that long words are no more likely than short ones. After
    eight rejections the nearest opening is taken; if there is none, `start` stays.
    """
    low = np.minimum(low, high - 1)
    at, poor = low.copy(), np.arange(len(rows))
    for trial in range(8):
        if not poor.size:
            break
        drawn = draw(f"{name} inside {trial}", rows[poor])
        at[poor] = between(low[poor], high[poor], drawn)
        poor = poor[~text.opens(at[poor]) | text.between_sentences(at[poor])]
    at = text.toward_opening(text.toward_opening(at, low), high - 1)
    start[rows] = np.where(text.opens(at), at, start[rows])


def _agree(
    text: Text, one: np.ndarray, two: np.ndarray, size: np.ndarray, draw: Draw
) -> np.ndarray:
    """Shorten both texts until both end a sentence, or both a word, or neither.

    From the end of a sentence by 1 to 8 tokens, otherwise by one: else a last word that
    often precedes a full stop would reveal the label.
    """
    size, rows = size.copy(), np.arange(len(size))
    at = np.stack([one, two]) + size
    for trial in itertools.count():
        ends = text.boundary(at)
        going = (ends[0] != ends[1]) & (size[rows] > 1)
        if not going.any():
            break
        rows, at = rows[going], at[:, going]
        most = np.where(ends.max(axis=0) == 2, 8, 1)[going]
        most = np.minimum(size[rows] - 1, most)
        less = between(1, 1 + most, draw(f"shorten {trial}", rows))
        size[rows] -= less
        at -= less
    return size


def _lay_out(text: Text, segments: Segments, length: int) -> dict[str, np.ndarray]:
    """Lay out CLS A SEP B SEP, or CLS A SEP, padded to `length`."""
    first, first_size, second, second_size, label = segments
    columns, tokenizer = np.arange(length), text.tokenizer
    separators = len(tokenizer.separator)
    begin = 1 + first_size + separators  # of B
    lengths = 2 + first_size + second_size + separators * (second_size > 0)
    after = columns >= begin[:, None]
    real = columns < lengths[:, None]
    shift = np.where(after, (second - begin)[:, None], (first - 1)[:, None])
    ids = text.read(columns + shift).astype(np.int32)
    ends = (columns > first_size[:, None]) & ~after
    ids[ends | (columns == lengths[:, None] - 1)] = tokenizer.sep_id
    ids[:, 0] = tokenizer.cls_id
    return {
        "ids": np.where(real, ids, np.int32(tokenizer.pad_id)),
        "types": (after & real).astype(np.int32) * np.int32(tokenizer.pair_type),
        "lengths": lengths.astype(np.int32),
        "pair_label": label.astype(np.int32),
    }
