"""Labelled records as rows of pieces with their targets, for all kinds of tasks."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from bert_jax.data.tokenizer import Tokenizer
from bert_jax.tasks.alignment import Window, answer_span, question_windows, tag_features
from bert_jax.tasks.records import Choice, Question, Sentence, Tagged, numbers

Config = Any  # a ConfigDict: its attributes have no static types
NO_LABEL = -1
Pieces = list[int] | np.ndarray


class Features(NamedTuple):
    """N examples of C rows each, end to end; C is 1 but for multiple choice.

    Of an unlabelled record the targets mean nothing.
    """

    ids: np.ndarray  # (pieces,) int32
    types: np.ndarray  # (pieces,) int32
    starts: (
        np.ndarray
    )  # (N C + 1,) int64: row r is the pieces [starts[r], starts[r + 1])
    choices: int  # C
    targets: np.ndarray  # (N,), of spans (N, 2), of tags (pieces,)
    owners: np.ndarray  # (N,) int64: the record of each; questions have some windows
    places: list[Any]  # of tags each record's `first`, of spans each example's Window
    lost: dict[str, int]  # what was cut or vanished, by what it is

    @property
    def widths(self) -> np.ndarray:
        """(N,) pieces of the longest row of each example."""
        return np.diff(self.starts).reshape(-1, self.choices).max(1)


def make(
    kind: str,
    records: Sequence[Any],
    labels: Sequence[str],
    tokenizer: Tokenizer,
    task: Config,
    length: int,
) -> Features:
    """The features of records of one kind, each row of at most `length` pieces.

    A text keeps its first pieces; of a pair the longer is cut first; a question has as
    many windows as its context needs; a sentence of tagged words is cut at a piece.
    """
    match kind:
        case "classify":
            return _texts(records, _classes(records, labels), tokenizer, length)
        case "regress":
            return _texts(records, _values(records), tokenizer, length)
        case "tag":
            return _tag(records, labels, tokenizer, length)
        case "span":
            return _span(records, tokenizer, task, length)
        case "choose":
            return _choose(records, tokenizer, length)
        case _:
            raise ValueError(f"there is no kind {kind!r} of task")


def _classes(records: Sequence[Sentence], labels: Sequence[str]) -> np.ndarray:
    number = {label: i for i, label in enumerate(labels)} | {"": NO_LABEL}
    return np.array([number[record.label] for record in records], np.int32)


def _values(records: Sequence[Sentence]) -> np.ndarray:
    labelled = all(record.label for record in records)
    targets = numbers(records) if labelled else np.zeros(len(records))
    return targets.astype(np.float32)


def _texts(
    records: Sequence[Sentence],
    targets: np.ndarray,
    tokenizer: Tokenizer,
    length: int,
) -> Features:
    firsts = [record.text for record in records]
    seconds = [record.pair for record in records]
    rows = list(_rows(tokenizer, firsts, seconds, length))
    return _joined(rows, 1, targets, np.arange(len(records)), [])


def _choose(records: Sequence[Choice], tokenizer: Tokenizer, length: int) -> Features:
    count = len(records[0].choices) if records else 2
    firsts = [record.text for record in records for _ in range(count)]
    seconds = [choice for record in records for choice in record.choices]
    rows = list(_rows(tokenizer, firsts, seconds, length))
    targets = np.array([int(r.label or NO_LABEL) for r in records], np.int32)
    return _joined(rows, count, targets, np.arange(len(records)), [])


def _tag(
    records: Sequence[Tagged],
    labels: Sequence[str],
    tokenizer: Tokenizer,
    length: int,
) -> Features:
    number = {label: i for i, label in enumerate(labels)}
    rows, targets, places = [], [], []
    vanished = cut = 0
    sentences = [record.words for record in records]
    for record, row in zip(
        records, tag_features(tokenizer, sentences, length), strict=True
    ):
        target = np.full(len(row.ids), NO_LABEL, np.int32)
        for tag, place in zip(record.tags, row.first, strict=bool(record.tags)):
            if place >= 0:
                target[place] = number[tag]
        rows.append((row.ids, len(row.ids), 0))
        targets.append(target)
        places.append(row.first)
        vanished, cut = vanished + row.vanished, cut + row.cut
    flat = np.concatenate([np.zeros(0, np.int32), *targets])
    joined = _joined(rows, 1, flat, np.arange(len(records)), places)
    return joined._replace(lost={"words vanished": vanished, "words cut": cut})


def _span(
    records: Sequence[Question], tokenizer: Tokenizer, task: Config, length: int
) -> Features:
    rows, targets, owners, places = [], [], [], []
    unseen = 0
    windows = question_windows(
        tokenizer,
        [record.question for record in records],
        [record.context for record in records],
        length,
        task.stride,
        task.max_question,
    )
    for number, (record, of_record) in enumerate(zip(records, windows, strict=True)):
        spans = [_target(record, window) for window in of_record]
        unseen += bool(record.answers) and not any(any(span) for span in spans)
        for window, span in zip(of_record, spans, strict=True):
            rows.append((window.ids, window.begin, 0))
            targets.append(span)
            owners.append(number)
            places.append(window)
    flat = np.array(targets, np.int32).reshape(-1, 2)
    joined = _joined(rows, 1, flat, np.array(owners, np.int64), places)
    return joined._replace(lost={"answers in no window": unseen})


def _target(record: Question, window: Window) -> tuple[int, int]:
    """The span of the first answer, as the authors train, or that of [CLS]."""
    if not record.answers:
        return 0, 0
    return answer_span(window, *record.answers[0]) or (0, 0)


def _rows(
    tokenizer: Tokenizer, firsts: list[str], seconds: list[str], length: int
) -> Iterator[tuple[Pieces, int, int]]:
    """The pieces of each row, where its second text begins, and 1 if it was cut.

    A second text of "" is none, and has no [SEP] of its own.
    """
    cls, sep = [tokenizer.cls_id], [tokenizer.sep_id]
    both = zip(tokenizer.ids(firsts), tokenizer.ids(seconds), seconds, strict=True)
    for one, two, second in both:
        if not second:
            row = cls + one[: length - 2] + sep
            yield row, len(row), int(len(one) > length - 2)
            continue
        room = length - 3
        kept = min(len(two), max(room // 2, room - len(one)))
        begin = cls + one[: room - kept] + sep
        cut = int(len(one) + len(two) > room)
        yield begin + two[:kept] + sep, len(begin), cut


def _joined(
    rows: list[tuple[Pieces, int, int]],
    choices: int,
    targets: np.ndarray,
    owners: np.ndarray,
    places: list[Any],
) -> Features:
    lengths = np.array([len(row) for row, _, _ in rows], np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    flat = np.fromiter(chain.from_iterable(row for row, _, _ in rows), np.int32)
    begins = np.array([begin for _, begin, _ in rows], np.int64)
    place = np.arange(len(flat)) - np.repeat(starts[:-1], lengths)
    types = (place >= np.repeat(begins, lengths)).astype(np.int32)
    lost = {"texts cut": sum(cut for _, _, cut in rows)}
    return Features(flat, types, starts, choices, targets, owners, places, lost)
