"""What a person gives to be predicted: lines or a file -> records of the run's task.

A line is a text. Tabs part what a task reads together: two texts, a question and its
context, a text and its choices.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bert_jax.predict.reader import Passage, Reader
from bert_jax.run import rules
from bert_jax.run.config import UsageError
from bert_jax.tasks import read
from bert_jax.tasks import records as labelled
from bert_jax.tasks.records import Choice, Question, Sentence, Tagged

LINES = ".txt"  # the end of the name of a file of lines
PAIR = "TEXT<TAB>SECOND TEXT"
QUESTION = "QUESTION<TAB>CONTEXT"
CHOICES = "TEXT<TAB>CHOICE<TAB>CHOICE..."


class Source(NamedTuple):
    """texts: of the command line; if none the file, and without one standard input."""

    texts: list[str]
    file: str


def records(reader: Reader, mode: str, source: Source) -> Iterator[Any]:
    """Records that `mode` predicts: the kind of a task, "masks" or "vectors".

    A file that is not of lines is read as the run's task reads its own; labels in it
    are not looked at. UsageError names the file and line of what cannot be read.
    """
    if source.file and not source.file.endswith(LINES):
        yield from _of_file(reader.config, mode, source.file)
        return
    paired = reader.kind in ("classify", "regress") and reader.config.task.pair
    for where, line in _lines(source):
        if line.strip():
            text = labelled.encodable(where, line)
            yield _of_line(reader, mode, bool(paired), where, text)


def _of_file(config: Any, mode: str, path: str) -> Iterator[Any]:
    if not rules.is_task(config):
        raise UsageError(
            f"{path}: this run has no task whose format that could be: give a text a "
            f"line in a file that ends in {LINES}"
        )
    for record in read.unlabelled(config, path):
        if mode == "vectors":
            yield _sentence(record)
        else:
            yield _passage(record) if isinstance(record, Tagged) else record


def _lines(source: Source) -> Iterator[tuple[str, str]]:
    """Each line and where it stands, blank ones included."""
    if source.texts:
        yield from ((f"TEXT {i}", text) for i, text in enumerate(source.texts, 1))
    elif source.file:
        numbered = enumerate(labelled.lines(Path(source.file), "utf-8"), 1)
        yield from ((f"{source.file}, line {i}", line) for i, line in numbered)
    else:
        if os.isatty(0):
            print("reading lines of text; Ctrl-D ends them", file=sys.stderr)
        try:
            for i, line in enumerate(sys.stdin, 1):
                yield f"standard input, line {i}", line.rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UsageError(f"standard input is no utf-8 ({error})") from error


def _of_line(reader: Reader, mode: str, paired: bool, where: str, line: str) -> Any:
    match mode:
        case "tag":
            return reader.passage(line)
        case "span":
            question, context = _fields(where, line, QUESTION)
            return Question(where, "", question, context, ())
        case "choose":
            text, *choices = _fields(where, line, CHOICES)
            return Choice(where, text, tuple(choices), "")
        case "classify" | "regress" | "vectors" if paired:
            text, pair = _fields(where, line, PAIR)
            return Sentence(where, text, pair, "")
        case _:
            return Sentence(where, line, "", "")


def _fields(where: str, line: str, wanted: str) -> list[str]:
    """What tabs separate, as many as wanted, or more where those end in dots."""
    fields, count = line.split("\t"), wanted.count("<TAB>") + 1
    more = wanted.endswith("...")
    if len(fields) < count or (len(fields) > count and not more):
        least = "at least " if more else ""
        raise UsageError(
            f"{where}: tabs: {len(fields) - 1}, but this run reads {wanted}, "
            f"{least}{count - 1} of them"
        )
    if not all(field.strip() for field in fields):
        raise UsageError(f"{where}: nothing on one side of a tab, but want {wanted}")
    return fields


def _passage(record: Tagged) -> Passage:
    """The words of a file with a space between them."""
    ends = np.cumsum([len(word) + 1 for word in record.words]).tolist()
    spans = [(e - 1 - len(w), e - 1) for w, e in zip(record.words, ends, strict=True)]
    return Passage(" ".join(record.words), spans)


def _sentence(record: read.Record) -> Sentence:
    match record:
        case Tagged():
            return Sentence(record.where, " ".join(record.words), "", "")
        case Question():
            return Sentence(record.where, record.question, record.context, "")
        case Choice():
            return Sentence(record.where, record.text, "", "")
        case _:
            return record
