"""Held-out rows shared by all arms: chunks masked once, then laid out.

Arms with different `data.pairs` have different held-out rows, so their metrics are not
comparable. Shared rows depend on the store, on `eval.length` and on `eval.max_examples`
alone. A chunk is masked before it is laid out, so `single` and `pair` rows predict the
same tokens with the same masks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bert_jax.data import pairs
from bert_jax.data.chunks import Chunks, Text, as_text, chunks
from bert_jax.data.draws import between, hashes
from bert_jax.data.pairs import Segments
from bert_jax.data.pipeline import Batch, Rows, evenly
from bert_jax.data.store import Split
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.run.config import UsageError, stream

# Masking of Devlin et al. 2019, section 3.1, for any arm.
RATE = 0.15  # share of the maskable tokens
# Shares that become the mask and a random token; the rest stay.
TOKEN_SHARE, RANDOM_SHARE = 0.8, 0.1
SHORTFALL = 0.08  # share of a row's budget that whole words may leave unused

START = np.zeros((), np.int64)  # position argument of draws made once a chunk


@dataclass(frozen=True, eq=False)
class SharedRows:
    """Rows of one kind: single | pair | nsp | single_word.

    numbers: the chunk of the table behind each row. typed: whether segment B has type
    1, as for models trained on pairs.
    """

    kind: str
    text: Text
    table: Chunks
    numbers: np.ndarray
    length: int
    typed: bool

    @property
    def num_examples(self) -> int:
        return len(self.numbers)

    def evaluation(
        self, batch_size: int, max_examples: int, rows: Rows
    ) -> Iterator[Batch]:
        """Yield masked evaluation batches, as `evenly` selects the rows."""
        rows = np.arange(batch_size)[rows]
        for chosen, weights in evenly(
            self.num_examples, max_examples, batch_size, rows
        ):
            numbers = self.numbers[chosen]
            yield self._assemble(numbers, rows, weights.astype(np.float32))

    def describe(self) -> str:
        types = "0 in A and 1 in B" if self.typed else "0 everywhere"
        return f"{self.kind} rows of {self.length} tokens, types {types}"

    def _assemble(
        self, numbers: np.ndarray, rows: np.ndarray, weights: np.ndarray
    ) -> Batch:
        segments = self._segments(numbers)
        tokenizer = self.text.tokenizer
        width = self.length - tokenizer.special_count(paired=True)
        ids, inside = _read(self.text, segments, width)
        unit = "word" if self.kind == "single_word" else "token"
        chosen, masked = mask(ids, inside, numbers, unit, tokenizer)
        slots = max(1, int(np.ceil(RATE * width)))
        places = np.argsort(~chosen, axis=1, kind="stable")[:, :slots]
        used = np.take_along_axis(chosen, places, 1)
        targets = np.take_along_axis(ids, places, 1)
        after = places >= _cut(segments)[:, None]
        positions = places + 1 + len(tokenizer.separator) * after
        laid_out = _lay_out(tokenizer, segments, masked, self.length, self.typed)
        return laid_out | {
            "positions": np.where(used, positions, 0).astype(np.int32),
            "targets": np.where(used, targets, 0).astype(np.int32),
            "target_weights": used * weights[:, None],
            "example_ids": numbers.astype(np.int32),
            "epochs": np.zeros(len(numbers), np.int32),
            "rows": rows.astype(np.int32),
            "weights": weights,
        }

    def _segments(self, numbers: np.ndarray) -> Segments:
        chunk = self.table.select(numbers)
        if self.kind == "nsp":
            seed, versions = stream(0, "evaluation rows"), np.zeros_like(numbers)
            return pairs.segments(self.text, chunk, "nsp", numbers, versions, seed)
        none = np.zeros_like(chunk.starts)
        if self.kind != "pair":
            return Segments(chunk.starts, chunk.sizes, none, none, none)
        first = _cut_at(self.text, chunk, numbers)
        rest = chunk.starts + first, chunk.sizes - first
        return Segments(chunk.starts, first, *rest, none)


def make(
    kinds: Sequence[str], split: Split, tokenizer: Tokenizer, length: int, typed: bool
) -> dict[str, SharedRows]:
    """Make the rows of these kinds, all from one chunk table. Raises UsageError.

    A chunk that cannot be split, such as a single word, is left out of all kinds.
    """
    if not kinds:
        return {}
    text = as_text(split, tokenizer, "single")
    tokenizer.check_mask()
    table = chunks(text, length - tokenizer.special_count(paired=True))
    multi_word = _has_two_words(text, table)
    by_kind = {}
    for kind in kinds:
        usable = (
            multi_word & pairs.can_split(text, table) if kind == "nsp" else multi_word
        )
        numbers = np.flatnonzero(usable)
        by_kind[kind] = SharedRows(kind, text, table, numbers, length, typed)
        _check(by_kind[kind])
    return by_kind


def _check(rows: SharedRows) -> None:
    if not rows.num_examples:
        raise UsageError(
            f"no row of eval.rows={rows.kind} can be made of the "
            f"{len(rows.text.tokens)} tokens that are held out: give more text"
        )
    if rows.kind == "nsp" and len(rows.text.documents) < 3:
        raise UsageError(
            "eval.rows=nsp takes random partners from other documents and one is held "
            "out: give more documents, or leave nsp out"
        )


def _has_two_words(text: Text, table: Chunks) -> np.ndarray:
    """Whether a word starts in a chunk after its first token."""
    at, ends = table.starts + 1, table.starts + table.sizes
    moving = np.flatnonzero(at < ends)
    while moving.size:
        moving = moving[text.tokenizer.continuation[text.read(at[moving])]]
        at[moving] += 1
        moving = moving[at[moving] < ends[moving]]
    return at < ends


def _cut_at(text: Text, chunk: Chunks, numbers: np.ndarray) -> np.ndarray:
    """The size of A: up to a random sentence start, or else up to the word start
    nearest the middle."""
    places = np.arange(1, chunk.sizes.max())
    at = chunk.starts[:, None] + places
    inside = places < chunk.sizes[:, None]
    sentences = inside & text.between_sentences(at)
    pick = between(0, sentences.sum(1), _uniform("cut", numbers, START))
    drawn = np.argmax(np.cumsum(sentences, 1) > pick[:, None], 1)
    words = inside & ~text.tokenizer.continuation[text.read(at)]
    off_middle = np.abs(2 * places - chunk.sizes[:, None])
    middle = np.argmin(np.where(words, off_middle, 2 * len(at[0]) + 2), 1)
    return places[np.where(sentences.any(1), drawn, middle)]


def _uniform(name: str, numbers: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1), hashes of the name, the chunk's number and the place."""
    bits = hashes(stream(0, "evaluation rows", name), numbers, places)
    return (bits >> np.uint64(11)) * 2.0**-53


def _read(text: Text, segments: Segments, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of A and B concatenated, (B, width), and the mask of real ones."""
    places, first = np.arange(width), segments.first_size[:, None]
    first_position = segments.first[:, None] + places
    second_position = segments.second[:, None] + places - first
    inside = places < first + segments.second_size[:, None]
    return text.read(np.where(places < first, first_position, second_position)), inside


def mask(
    ids: np.ndarray,
    inside: np.ndarray,
    numbers: np.ndarray,
    unit: str,
    tokenizer: Tokenizer,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mask of tokens to predict, (B, N), and the ids with these replaced."""
    maskable = inside & ~tokenizer.special[ids]
    starts = maskable.copy()
    if unit == "word":  # a token may continue the word of the token before it
        starts[:, 1:] &= ~(tokenizer.continuation[ids[:, 1:]] & maskable[:, :-1])
    # Stochastic rounding keeps the rate unbiased.
    budget = RATE * maskable.sum(1) + _uniform("budget", numbers, START)
    budget = budget.astype(int)
    chosen = _choose(starts, maskable, budget, numbers)
    word = np.cumsum(starts, 1)
    action = _uniform("fate", numbers[:, None], word)
    allowed = np.flatnonzero(~tokenizer.special)
    draws = _uniform("random", numbers[:, None], np.arange(ids.shape[1])[None])
    random = allowed[(draws * len(allowed)).astype(int)]
    conditions = [action < TOKEN_SHARE, action < TOKEN_SHARE + RANDOM_SHARE]
    replacements = np.select(conditions, [tokenizer.mask_id, random], ids)
    return chosen, np.where(chosen, replacements, ids)


def _choose(
    starts: np.ndarray, maskable: np.ndarray, budget: np.ndarray, numbers: np.ndarray
) -> np.ndarray:
    """Choose words in random order, each if it fits the remaining budget.

    If too much budget is left at the end, a random run of the first word that did not
    fit is added.
    """
    rows, width = starts.shape
    row, place = np.arange(rows), np.arange(width)[None]
    word = np.cumsum(starts, 1) - 1
    first = np.zeros((rows, width), int)
    sizes = np.zeros((rows, width), int)
    first[np.nonzero(starts)[0], word[starts]] = np.nonzero(starts)[1]
    np.add.at(sizes, (np.nonzero(maskable)[0], word[maskable]), 1)
    draws = _uniform("order", numbers[:, None], place)
    order = np.argsort(np.where(sizes > 0, draws, 2), 1, kind="stable")
    taken, left = np.zeros((rows, width), int), budget.copy()
    passed_over = np.full(rows, -1)
    for rank in range(int((sizes > 0).sum(1).max(initial=0))):
        size = sizes[row, order[:, rank]]
        taken[row, order[:, rank]] = fits = np.where(size <= left, size, 0)
        left -= fits
        missed = (fits < size) & (passed_over < 0)
        passed_over = np.where(missed, order[:, rank], passed_over)
    short = np.flatnonzero((left > SHORTFALL * budget) & (passed_over >= 0))
    taken[short, passed_over[short]] = left[short]
    free = np.take_along_axis(sizes - taken, word, 1)
    run = (_uniform("run", numbers[:, None], word) * (free + 1)).astype(int)
    begin = np.take_along_axis(first, word, 1) + run
    ends = begin + np.take_along_axis(taken, word, 1)
    return maskable & (place >= begin) & (place < ends)


def _cut(segments: Segments) -> np.ndarray:
    """The number of tokens before the inner SEP; larger than any row if there is
    none."""
    paired = segments.second_size > 0
    return np.where(paired, segments.first_size, np.iinfo(np.int32).max)


def _lay_out(
    tokenizer: Tokenizer, segments: Segments, ids: np.ndarray, length: int, typed: bool
) -> Batch:
    """Lay out CLS A SEP B SEP, or CLS A SEP, padded to `length`."""
    separators = len(tokenizer.separator)
    columns, middle = np.arange(length), _cut(segments)[:, None] + 1
    sizes = segments.first_size + segments.second_size
    lengths = sizes + 2 + separators * (segments.second_size > 0)
    real, after = columns < lengths[:, None], columns >= middle + separators
    places = np.clip(columns - 1 - separators * after, 0, ids.shape[1] - 1)
    row = np.take_along_axis(ids, places, 1)
    between = (columns >= middle) & ~after
    ends = between | (columns == lengths[:, None] - 1)
    row = np.select(
        [columns == 0, ends, real],
        [tokenizer.cls_id, tokenizer.sep_id, row],
        tokenizer.pad_id,
    )
    return {
        "ids": row.astype(np.int32),
        "types": (after & real & typed).astype(np.int32) * tokenizer.pair_type,
        "lengths": lengths.astype(np.int32),
        "pair_label": segments.label.astype(np.int32),
    }
