"""Tagged sentences from CoNLL columns (Tjong Kim Sang & De Meulder 2003)."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bert_jax.run.config import UsageError
from bert_jax.tasks.records import Tagged, lines, tell_left_out

DOCUMENT = "-DOCSTART-"  # the line between documents
_BLANKS = re.compile("[ \t]+")
CONLL_U = 10  # columns
_NO_WORD = re.compile(r"[0-9]+[-.][0-9]+")

Line = tuple[int, list[str]]  # its number and columns


def tagged(
    path: Path, encoding: str, separator: str, word: int, tag: int | None, comment: str
) -> Iterator[Tagged]:
    """The sentences of a file: a word a line, blank lines between them.

    Columns are separated by "\\t", which is one tab, or by " ", which is any run of
    spaces and tabs. They are counted from 0, or from the end if negative; the tag is
    None for an unlabelled set. Lines that begin with `comment` are skipped unless it is
    ""; say "# " rather than "#" where words may be hashtags. Of CoNLL-U, words are those
    of the syntax: "1-2", what is written in one for two, and "5.1", what is not written,
    are skipped. What is skipped is told. UsageError for a missing column, a row of
    another width than the first, an empty word or tag, no sentence.
    """
    if separator not in ("\t", " "):
        raise UsageError(f"the separator {separator!r} is neither a tab nor a space")
    empty, skipped = True, Counter[str]()
    numbered = word != 0  # the first column may count the words
    rows = _rows(path, encoding, separator, comment, skipped)
    for block in _blocks(rows):
        sentence = _of_syntax(path, block, skipped) if numbered else block
        if not sentence:
            continue
        empty = False
        words = tuple(_value(path, line, word, "word") for line in sentence)
        tags = (
            () if tag is None else (_value(path, line, tag, "tag") for line in sentence)
        )
        yield Tagged(f"{path}, line {sentence[0][0]}", words, tuple(tags))
    if empty:
        raise UsageError(f"{path} holds no sentence")
    tell_left_out(str(path), skipped)


def _of_syntax(path: Path, block: list[Line], skipped: Counter[str]) -> list[Line]:
    """The words of a sentence that counts them 1, 2, ... in its first column: without
    its ranges and its empty words. Of another sentence, all lines."""
    others = [line for line in block if _NO_WORD.fullmatch(line[1][0])]
    kept = [line for line in block if line not in others]
    if not others:
        return block
    if [row[0] for _, row in kept] != [str(n + 1) for n in range(len(kept))]:
        number, row = others[0]
        if len(row) == CONLL_U:
            raise UsageError(
                f"{path}, line {number}: {row[0]} is no word of the syntax, but the words "
                "of its sentence are not counted 1, 2, ..."
            )
        return block
    for _, row in others:
        kind = "ranges of words, as 1-2" if "-" in row[0] else "unwritten words, as 5.1"
        skipped[kind] += 1
    return kept


def _rows(
    path: Path, encoding: str, separator: str, comment: str, skipped: Counter[str]
) -> Iterator[Line]:
    """Number and columns of each line, no columns where it ends a sentence."""
    width = 0
    for number, line in enumerate(lines(path, encoding), 1):
        if comment and line.startswith(comment):
            skipped["comments"] += 1
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
    rows: Iterator[Line],
) -> Iterator[list[Line]]:
    block = []
    for number, row in rows:
        if row:
            block.append((number, row))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _value(path: Path, line: Line, column: int, name: str) -> str:
    number, row = line
    if not -len(row) <= column < len(row):
        raise UsageError(
            f"{path}, line {number}: no {name} column {column}; "
            f"it has {-len(row)} to {len(row) - 1}"
        )
    if not row[column].strip():
        raise UsageError(f"{path}, line {number}: an empty {name}")
    return row[column]
