"""Inputs of predict: lines or a file -> records of the run's task.

A line is a text. Tabs part what a task reads together: two texts, a question and its
context, a text and its choices.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bert_jax.predict.reader import Reader
from bert_jax.run import rules
from bert_jax.run.config import UsageError
from bert_jax.tasks import read
from bert_jax.tasks import records as labelled
from bert_jax.tasks.texts import TextTask, sentence

LINES = ".txt"  # the end of the name of a file of lines


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
        yield from _of_file(reader, mode, source.file)
        return
    task = reader.task
    paired = isinstance(task, TextTask) and reader.config.task.pair != ""
    for where, line in _lines(source):
        if line.strip():
            text = labelled.encodable(where, line)
            if task and mode == reader.kind:
                yield task.record(where, text, paired, reader.tokenizer)
            else:
                yield sentence(where, text, paired)


def _of_file(reader: Reader, mode: str, path: str) -> Iterator[Any]:
    task = reader.task
    if not task or not rules.is_task(reader.config):
        raise UsageError(
            f"{path}: this run has no task whose format that could be: give a text a "
            f"line in a file that ends in {LINES}"
        )
    for record in read.unlabelled(reader.config, path):
        yield task.sentence(record) if mode == "vectors" else task.input(record)


def _lines(source: Source) -> Iterator[tuple[str, str]]:
    """Lines and their places, blank ones included."""
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
