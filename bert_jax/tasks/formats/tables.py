"""Labelled sentences and pairs, from TSV and CSV (RFC 4180) and from JSON lines."""

import csv
import json
import math
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from bert_jax.run.config import UsageError
from bert_jax.run.files import parse_written
from bert_jax.tasks.records import (
    Sentence,
    encodable,
    lines,
    member,
    shown,
    tell_left_out,
)

LONGEST_FIELD = 10_000_000  # characters between two quotes: csv's 131,072 are too few
LINE_COST = 10  # what a line inside quotes counts beside its characters: its memory


class Columns(NamedTuple):
    """Names, or without a header numbers from 0; keys in JSON lines. "" is none."""

    text: str
    pair: str
    label: str


def table(
    path: Path,
    encoding: str,
    separator: str,
    quoted: bool,
    header: bool,
    columns: Columns,
) -> Iterator[Sentence]:
    """The rows of a file as records; see `values`."""
    for where, found in values(path, encoding, separator, quoted, header, columns):
        yield sentence(where, columns, found)


def values(
    path: Path,
    encoding: str,
    separator: str,
    quoted: bool,
    header: bool,
    columns: Columns,
) -> Iterator[tuple[str, list[str]]]:
    """Place of each row of a file, and its values in the given columns.

    All rows have as many columns as the first. `quoted` is CSV: a field in quotes may
    hold separators, line ends and doubled quotes. Else quotes are characters as any
    other. With a header, a column that it does not name may be given by number. Blank
    lines may stand at the end alone. UsageError for a missing column, a ragged row, and
    a stray quote in CSV.
    """
    _check(separator, quoted)
    _named(path, columns)
    rows = (_quoted if quoted else _plain)(path, encoding, separator)
    start, first = next(rows, (0, []))
    if not any(first):
        raise UsageError(f"{path}, line 1: blank, but the first row is expected")
    places = [_place(path, first, header, column) for column in columns]
    rows = _full(path, rows if header else chain([(start, first)], rows), len(first))
    empty = True
    for number, row in rows:
        empty = False
        yield (
            f"{path}, line {number}",
            [row[place] if place >= 0 else "" for place in places],
        )
    if empty:
        raise UsageError(f"{path} has no row below its header")


def json_lines(path: Path, encoding: str, columns: Columns) -> Iterator[Sentence]:
    """An object a line; its label may be a number or a truth value.

    Blank lines are skipped. UsageError for what is no JSON object, for a missing key,
    and where it holds nothing or another kind of value.
    """
    _named(path, columns)
    for where, value in objects(path, encoding):
        found = [text_of(where, value, key) for key in (columns.text, columns.pair)]
        found.append(label_of(where, value, columns.label))
        yield sentence(where, columns, found)


def _named(path: Path, columns: Columns) -> None:
    if not columns.text:
        raise UsageError(f"{path}: name the column that holds its text")


def sentence(where: str, columns: Columns, values: list[str]) -> Sentence:
    """The record of a text, a pair and a label, which loses the space around it.
    UsageError for an empty column."""
    for column, value in zip(columns, values, strict=True):
        if column and not value.strip():
            raise UsageError(f"{where}: nothing in the column {column!r}")
    text, pair, label = values
    return Sentence(where, text, pair, label.strip())


# Rows with their line numbers.


def _check(separator: str, quoted: bool) -> None:
    if len(separator) != 1 or separator in '\r\n"'[: 3 if quoted else 2]:
        raise UsageError(
            f"the separator {separator!r} is not one character between columns "
            "(a tab is $'\\t' in the shell)"
        )


def _plain(path: Path, encoding: str, separator: str) -> Iterator[tuple[int, list]]:
    for number, line in enumerate(lines(path, encoding), 1):
        yield number, line.split(separator) if line else []


def _quoted(path: Path, encoding: str, separator: str) -> Iterator[tuple[int, list]]:
    open_lines = []  # the lines of the row that is being read, for errors

    def remembered() -> Iterator[str]:
        size = 0
        for line in lines(path, encoding):
            size = len(line) + LINE_COST + (size if open_lines else 0)
            if open_lines and size > 2 * LONGEST_FIELD:
                raise csv.Error("limit of a row")
            open_lines.append(line + "\n")
            yield open_lines[-1]

    reader = csv.reader(remembered(), delimiter=separator, strict=True)
    number = 1
    try:
        while (row := _row(reader)) is not None:
            yield number, row
            number = reader.line_num + 1
            open_lines.clear()
    except csv.Error as error:
        opened = number + _opening("".join(open_lines), separator)
        raise UsageError(
            f"{path}, {_quoting(opened, number, open_lines, error)}"
        ) from error


def _row(reader: Iterator[list[str]]) -> list[str] | None:
    """The next one, None after the last. All readers of a process share one limit."""
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(before)


def _quoting(opened: int, number: int, open_lines: list[str], error: csv.Error) -> str:
    last = number + len(open_lines) - 1
    if "unexpected end" in str(error) or "limit" in str(error):
        return f"line {opened}: a quote opens here that is never closed"
    if "new-line" in str(error):
        return f"line {last}: a carriage return outside quotes"
    return (
        f"line {last}: a quote ends the field that opens in line {opened}, but no "
        'separator follows: double the quotes inside a quoted field ("")'
    )


def _opening(row: str, separator: str) -> int:
    """Number of line ends before the first field that is not closed."""
    other = re.escape(separator)
    field = re.compile(f'(?:"(?:[^"]|"")*+"|(?!")[^{other}\\n]*){other}')
    end = 0
    while match := field.match(row, end):
        end = match.end()
    return row.count("\n", 0, end)


def _full(
    path: Path, rows: Iterator[tuple[int, list]], width: int
) -> Iterator[tuple[int, list]]:
    """Rows as wide as the first; others raise, except blank ones at the end."""
    blank = 0
    for number, row in rows:
        if not row:
            blank = blank or number
        elif blank:
            raise UsageError(f"{path}, line {blank}: blank, but rows follow")
        elif len(row) != width:
            raise UsageError(
                f"{path}, line {number}: columns: {len(row)}, but {width} in the first "
                "row (is the separator in a text?)"
            )
        else:
            yield number, row


def _place(path: Path, first: list[str], header: bool, column: str) -> int:
    """The number of a column, -1 for none; a name in the header precedes a number."""
    if not column:
        return -1
    if header and column in first:
        if first.count(column) > 1:
            raise UsageError(f"{path}, line 1: two columns are named {column!r}")
        return first.index(column)
    if column.isdecimal() and int(column) < len(first):
        return int(column)
    there = ", ".join(map(repr, first)) if header else f"0 to {len(first) - 1}"
    raise UsageError(f"{path}, line 1: no column {column!r}; it has {there}")


# JSON lines.


def objects(path: Path, encoding: str) -> Iterator[tuple[str, dict]]:
    """Place and object of each line. Blank lines are skipped, and told. UsageError if
    none is left."""
    empty, blank = True, 0
    for number, line in enumerate(lines(path, encoding), 1):
        if line.strip():
            empty = False
            where = f"{path}, line {number}"
            yield where, _object(where, line)
        else:
            blank += 1
    if empty:
        raise UsageError(f"{path} is empty")
    tell_left_out(str(path), {"blank lines": blank})


def text_of(where: str, value: dict, key: str) -> str:
    """Text under a key, "" for the key "". UsageError if it is no text."""
    text = member(where, value, key) if key else ""
    if not isinstance(text, str):
        raise UsageError(f"{where}: no text in {key!r} but {shown(text)}")
    return encodable(where, text)


def label_of(where: str, value: dict, key: str) -> str:
    """Label under a key; numbers and booleans as in JSON, "" for null and NaN."""
    label = member(where, value, key) if key else ""
    if label is None or (isinstance(label, float) and math.isnan(label)):
        return ""
    if isinstance(label, float) and math.isinf(label):
        raise UsageError(f"{where}: the number in {key!r} is not finite")
    if isinstance(label, bool | int | float):
        return json.dumps(label)
    return text_of(where, value, key)


def _object(where: str, line: str) -> dict:
    value = parse_written(where, line)
    if not isinstance(value, dict):
        raise UsageError(f"{where}: no JSON object")
    return value
