"""Held-out rows that are the same for every arm: chunks masked once, then laid out.

Arms that differ in `data.pairs` have held-out rows of their own, which differ by more
than what a comparison asks for. Shared rows depend on the store, on `eval.length` and on
`eval.max_examples` alone. A chunk is masked before it is laid out, so that `single` and
`pair` rows ask for the same tokens behind the same masks.
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

SPECIALS = 3  # [CLS] A [SEP] B [SEP]
# As Devlin et al. 2019, section 3.1, mask, however an arm is trained.
RATE = 0.15  # of the tokens that may be predicted
TOKEN_SHARE, RANDOM_SHARE = 0.8, 0.1  # become [MASK], a random token; the rest stay
SHORTFALL = 0.08  # of a row's budget, which whole words may leave unused

START = np.zeros((), np.int64)  # the place of what is drawn once a chunk


@dataclass(frozen=True, eq=False)
class SharedRows:
    """The rows of one kind: single | pair | nsp | single_word.

    numbers: the chunks of the table that a row is made of. typed: whether segment B has
    type 1, as where a model was trained on pairs.
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
        """The rows as `evenly` takes them, masked already."""
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
        ids, inside = _read(self.text, segments, self.length - SPECIALS)
        unit = "word" if self.kind == "single_word" else "token"
        tokenizer = self.text.tokenizer
        chosen, masked = mask(ids, inside, numbers, unit, tokenizer)
        slots = _slots(self.length)
        places = np.argsort(~chosen, axis=1, kind="stable")[:, :slots]
        used = np.take_along_axis(chosen, places, 1)
        targets = np.take_along_axis(ids, places, 1)
        positions = places + 1 + (places >= _cut(segments)[:, None])
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
    """The rows of these kinds, all of one chunk table. Raises UsageError.

    A chunk that cannot be cut, such as a single word, is left out of all kinds.
    """
    if not kinds:
        return {}
    text = as_text(split, tokenizer, "single")
    table = chunks(text, length - SPECIALS)
    several = _has_two_words(text, table)
    found = {}
    for kind in kinds:
        can = several & pairs.can_split(text, table) if kind == "nsp" else several
        numbers = np.flatnonzero(can)
        found[kind] = SharedRows(kind, text, table, numbers, length, typed)
        _check(found[kind])
    return found


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
    """The size of A: up to a sentence start drawn at random, or else up to the word
    start nearest to the middle."""
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
    """In [0, 1), each a function of the name, the chunk's number and the place."""
    bits = hashes(stream(0, "evaluation rows", name), numbers, places)
    return (bits >> np.uint64(11)) * 2.0**-53


def _read(text: Text, segments: Segments, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of A and B end to end, (B, width), and where there are any."""
    places, first = np.arange(width), segments.first_size[:, None]
    own = segments.first[:, None] + places
    other = segments.second[:, None] + places - first
    inside = places < first + segments.second_size[:, None]
    return text.read(np.where(places < first, own, other)), inside


def mask(
    ids: np.ndarray,
    inside: np.ndarray,
    numbers: np.ndarray,
    unit: str,
    tokenizer: Tokenizer,
) -> tuple[np.ndarray, np.ndarray]:
    """Which tokens to predict, (B, N), and the ids with those replaced."""
    maskable = inside & ~tokenizer.special[ids]
    starts = maskable.copy()
    if unit == "word":  # a piece goes on with the word of the piece before it
        starts[:, 1:] &= ~(tokenizer.continuation[ids[:, 1:]] & maskable[:, :-1])
    # Rounding by chance, up as often as the fraction says, keeps the rate unbiased.
    budget = RATE * maskable.sum(1) + _uniform("budget", numbers, START)
    budget = budget.astype(int)
    chosen = _choose(starts, maskable, budget, numbers)
    word = np.cumsum(starts, 1)
    fate = _uniform("fate", numbers[:, None], word)
    allowed = np.flatnonzero(~tokenizer.special)
    draws = _uniform("random", numbers[:, None], np.arange(ids.shape[1])[None])
    random = allowed[(draws * len(allowed)).astype(int)]
    conditions = [fate < TOKEN_SHARE, fate < TOKEN_SHARE + RANDOM_SHARE]
    stand_ins = np.select(conditions, [tokenizer.mask_id, random], ids)
    return chosen, np.where(chosen, stand_ins, ids)


def _choose(
    starts: np.ndarray, maskable: np.ndarray, budget: np.ndarray, numbers: np.ndarray
) -> np.ndarray:
    """Words in random order, each if it fits what is left of the budget.

    Of the first that did not fit, a random run makes up for what is left in the end.
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


def _slots(length: int) -> int:
    """The most predictions that a row of that length may need."""
    return max(1, int(np.ceil(RATE * (length - SPECIALS))))


def _cut(segments: Segments) -> np.ndarray:
    """The tokens before the [SEP] inside a row; of a row without one, more than all."""
    paired = segments.second_size > 0
    return np.where(paired, segments.first_size, np.iinfo(np.int64).max - 1)


def _lay_out(
    tokenizer: Tokenizer, segments: Segments, ids: np.ndarray, length: int, typed: bool
) -> Batch:
    """[CLS] A [SEP] B [SEP], or [CLS] A [SEP], padded to `length`."""
    columns, middle = np.arange(length), _cut(segments)[:, None] + 1
    sizes = segments.first_size + segments.second_size
    lengths = sizes + 2 + (segments.second_size > 0)
    real, after = columns < lengths[:, None], columns > middle
    places = np.clip(columns - 1 - after, 0, ids.shape[1] - 1)
    row = np.take_along_axis(ids, places, 1)
    ends = (columns == middle) | (columns == lengths[:, None] - 1)
    row = np.select(
        [columns == 0, ends, real],
        [tokenizer.cls_id, tokenizer.sep_id, row],
        tokenizer.pad_id,
    )
    return {
        "ids": row.astype(np.int32),
        "types": (after & real & typed).astype(np.int32),
        "lengths": lengths.astype(np.int32),
        "pair_label": segments.label.astype(np.int32),
    }
