"""Rows of tokens as the network reads them, with the characters that each stands for."""

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from bert_jax.data.tokenizer import Spans, Tokenizer
from bert_jax.predict import batches
from bert_jax.predict.reader import Reader
from bert_jax.tasks.features import Features
from bert_jax.tasks.records import Question
from bert_jax.tasks.windows import Window
from bert_jax.tasks.words import Passage

Offsets = list[
    tuple[int, int] | None
]  # characters [start, end); None of special tokens


class Rows(NamedTuple):
    """R rows of at most T tokens."""

    batch: dict[str, Any]  # ids and types (R, T), lengths (R,), int32
    offsets: list[Offsets]  # of each row, into its text of the token's segment
    texts: list[tuple[str, ...]]  # of each row, by segment

    def only(self, number: int) -> "Rows":
        """A row by its number, alone."""
        one = slice(number, number + 1)
        batch = {name: array[one] for name, array in self.batch.items()}
        return Rows(batch, self.offsets[one], self.texts[one])


def of_texts(reader: Reader, made: Features, texts: list[tuple[str, ...]]) -> Rows:
    """Rows of one text or two."""
    offsets = [
        _of_texts(reader.tokenizer, row_texts, ids)
        for row_texts, ids in zip(texts, _parted(made, made.ids), strict=True)
    ]
    return Rows(_batch(reader, made), offsets, texts)


def of_words(
    reader: Reader, made: Features, passage: Passage, counts: Sequence[int]
) -> Rows:
    """Rows of so many words each, which are encoded one by one."""
    ends = np.cumsum(counts)
    spans = [passage.words[e - n : e] for n, e in zip(counts, ends, strict=True)]
    offsets = [
        _of_words(reader.tokenizer, passage.text, row_spans, len(ids) - 2)
        for row_spans, ids in zip(spans, _parted(made, made.ids), strict=True)
    ]
    return Rows(_batch(reader, made), offsets, [(passage.text,)] * len(counts))


def of_windows(reader: Reader, made: Features, record: Question) -> Rows:
    """The windows of a question: itself and a part of its context."""
    offsets = [_of_window(reader.tokenizer, record, each) for each in made.places]
    texts = [(record.question, record.context)] * len(offsets)
    return Rows(_batch(reader, made), offsets, texts)


def _of_texts(tokenizer: Tokenizer, texts: Sequence[str], ids: np.ndarray) -> Offsets:
    sizes = np.bincount(tokenizer.segments(ids), minlength=2)
    sizes -= [tokenizer.special_count(paired=len(texts) > 1) - (len(texts) > 1), 1]
    first, *second = (
        tokenizer.encode(text).offsets[:size]
        for text, size in zip(texts, sizes.tolist(), strict=False)
    )
    return _framed(tokenizer, first, *second)


def _framed(tokenizer: Tokenizer, first: Spans, *second: Spans) -> Offsets:
    """The offsets of a row of one text or two, None of special tokens."""
    between = [None] * len(tokenizer.separator)
    found: Offsets = [None, *first]
    return [*found, *chain.from_iterable([*between, *each] for each in second), None]


def _of_words(
    tokenizer: Tokenizer, text: str, spans: Sequence[tuple[int, int]], count: int
) -> Offsets:
    encodings = tokenizer.encode_words([text[start:end] for start, end in spans])
    moved = [
        [(start + a, start + b) for a, b in encoding.offsets]
        for (start, _), encoding in zip(spans, encodings, strict=True)
    ]
    return _framed(tokenizer, list(chain.from_iterable(moved))[:count])


def _of_window(tokenizer: Tokenizer, record: Question, window: Window) -> Offsets:
    size = window.begin - 1 - len(tokenizer.separator)
    question = tokenizer.encode(record.question).offsets[:size]
    context = window.offsets[window.begin : window.end].tolist()
    return _framed(tokenizer, question, [(a, b) for a, b in context])


def _batch(reader: Reader, made: Features) -> dict[str, Any]:
    lengths, pad_id = np.diff(made.starts), reader.tokenizer.pad_id
    rows, width = np.arange(len(lengths)), int(lengths.max())
    return batches.arrays(made.ids, made.types, made.starts, rows, width, pad_id)


def _parted(made: Features, values: np.ndarray) -> list[np.ndarray]:
    """The values of each row."""
    return np.split(values, made.starts[1:-1])
