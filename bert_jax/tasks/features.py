"""Labelled records as rows of tokens with their targets: what all kinds of task share."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from bert_jax.data.tokenizer import Tokenizer

NO_LABEL = -1
BLOCK = 256  # records encoded by one call, all of whose result is held
Tokens = list[int] | np.ndarray
# The tokens, the first of type 1 (or the number of all), and 1 if the row was cut.
Row = tuple[Tokens, int, int]


class Features(NamedTuple):
    """N examples of C rows each, end to end; C is 1 but for multiple choice.

    Of an unlabelled record the targets mean nothing.
    """

    ids: np.ndarray  # (tokens,) int32
    types: np.ndarray  # (tokens,) int32
    starts: np.ndarray  # (N C + 1,) int64: row r is tokens starts[r] to starts[r + 1]
    choices: int  # C
    targets: np.ndarray  # (N,), of spans (N, 2), of tags (tokens,)
    owners: np.ndarray  # (N,) int64: the record of each; questions have some windows
    places: list[Any]  # of tags each record's `first`, of spans each example's Window
    lost: dict[str, int]  # what was cut or vanished, by what it is

    @property
    def widths(self) -> np.ndarray:
        """(N,) tokens of the longest row of each example."""
        return np.diff(self.starts).reshape(-1, self.choices).max(1)


def of_texts(
    records: Sequence[Any], targets: np.ndarray, tokenizer: Tokenizer, length: int
) -> Features:
    """Features of records that have a text and a pair, "" for none: a row each."""
    firsts = [record.text for record in records]
    seconds = [record.pair for record in records]
    rows = list(rows_of_texts(tokenizer, firsts, seconds, length))
    return joined(rows, 1, targets, np.arange(len(records)), [])


def rows_of_texts(
    tokenizer: Tokenizer, firsts: list[str], seconds: list[str], length: int
) -> Iterator[Row]:
    """Rows of one text or two.

    A second text of "" is none, and has no SEP of its own.
    """
    both = zip(tokenizer.ids(firsts), tokenizer.ids(seconds), seconds, strict=True)
    for one, two, second in both:
        room = length - tokenizer.special_count(paired=bool(second))
        if not second:
            row = tokenizer.framed(one[:room], None)
            yield row, len(row), int(len(one) > room)
            continue
        kept = min(len(two), max(room // 2, room - len(one)))
        row = tokenizer.framed(one[: room - kept], two[:kept])
        begin = len(row) - (kept + 1) * tokenizer.pair_type
        yield row, begin, int(len(one) + len(two) > room)


def joined(
    rows: list[Row],
    choices: int,
    targets: np.ndarray,
    owners: np.ndarray,
    places: list[Any],
) -> Features:
    """The features of N examples of `choices` rows each, end to end."""
    lengths = np.array([len(row) for row, _, _ in rows], np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    flat = np.fromiter(chain.from_iterable(row for row, _, _ in rows), np.int32)
    begins = np.array([begin for _, begin, _ in rows], np.int64)
    place = np.arange(len(flat)) - np.repeat(starts[:-1], lengths)
    types = (place >= np.repeat(begins, lengths)).astype(np.int32)
    lost = {"texts cut": sum(cut for _, _, cut in rows)}
    return Features(flat, types, starts, choices, targets, owners, places, lost)


def padded(
    values: np.ndarray, starts: np.ndarray, rows: np.ndarray, width: int, filler: int
) -> np.ndarray:
    """(R, width) int32: rows of values that stand end to end, filled up on the right.

    values: (tokens,). starts: (N + 1,), row r being values[starts[r]:starts[r + 1]].
    rows: (R,), the numbers of those wanted, none wider than `width`.
    """
    places = np.arange(width)[None]
    lengths = np.diff(starts)[rows]
    index = np.minimum(starts[rows][:, None] + places, max(len(values) - 1, 0))
    inside = places < lengths[:, None]
    return np.where(inside, values[index], filler).astype(np.int32)
