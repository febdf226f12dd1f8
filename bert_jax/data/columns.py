"""Tagged sentences from CoNLL columns (Tjong Kim Sang & De Meulder 2003)."""

import re
from collections.abc import Iterator
from pathlib import Path

from bert_jax.config import UsageError
from bert_jax.data.labelled import Tagged, lines

DOCUMENT = "-DOCSTART-"  # the line between documents
_BLANKS = re.compile("[ \t]+")


def tagged(
    path: Path, encoding: str, separator: str, word: int, tag: int | None, comment: str
) -> Iterator[Tagged]:
    """The sentences of a file: a word a line, blank lines between them.

    Columns are separated by "\\t", which is one tab, or by " ", which is any run of
    spaces and tabs. They are counted from 0, or from the end if negative; the tag is
    None for an unlabelled set. Lines that begin with `comment` are skipped unless it is
    ""; say "# " rather than "#" where words may be hashtags. UsageError for a missing
    column, a row of another width than the first, an empty word or tag, no sentence.
    """
    if separator not in ("\t", " "):
        raise UsageError(f"the separator {separator!r} is neither a tab nor a space")
    empty = True
    for sentence in _blocks(_rows(path, encoding, separator, comment)):
        empty = False
        words = tuple(_value(path, line, word, "word") for line in sentence)
        tags = (
            () if tag is None else (_value(path, line, tag, "tag") for line in sentence)
        )
        yield Tagged(f"{path}, line {sentence[0][0]}", words, tuple(tags))
    if empty:
        raise UsageError(f"{path} holds no sentence")


def _rows(
    path: Path, encoding: str, separator: str, comment: str
) -> Iterator[tuple[int, list[str]]]:
    """Each line's number and columns, none where it ends a sentence."""
    width = 0
    for number, line in enumerate(lines(path, encoding), 1):
        if comment and line.startswith(comment):
            continue
        row = (
            line.split("\t") if separator == "\t" else _BLANKS.split(line.strip(" \t"))
        )
        if not line.strip() or row[0].startswith(DOCUMENT):
            yield number, []
            continue
        width = width or len(row)
        if len(row) != width:
            raise UsageError(
                f"{path}, line {number}: columns: {len(row)}, but {width} in the first "
                "row (a tab and a space are not the same separator)"
            )
        yield number, row


def _blocks(
    rows: Iterator[tuple[int, list[str]]],
) -> Iterator[list[tuple[int, list[str]]]]:
    block = []
    for number, row in rows:
        if row:
            block.append((number, row))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _value(path: Path, line: tuple[int, list[str]], column: int, name: str) -> str:
    number, row = line
    if not -len(row) <= column < len(row):
        raise UsageError(
            f"{path}, line {number}: no {name} column {column}; "
            f"it has {-len(row)} to {len(row) - 1}"
        )
    if not row[column].strip():
        raise UsageError(f"{path}, line {number}: an empty {name}")
    return row[column]
