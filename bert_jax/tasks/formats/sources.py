"""The formats of labelled data by name: how each is read as `config.task` says.

Each function takes config.task, a file and the folder of TFDS, and gives records; with
news and TFDS a split stands in place of the file.
"""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from bert_jax.data import news
from bert_jax.data.draws import permutation
from bert_jax.run.config import Config, UsageError, stream
from bert_jax.tasks.formats import choices, columns, folders, questions, tables
from bert_jax.tasks.records import Choice, Question, Sentence, Tagged, listed

SEPARATORS = {"tsv": "\t", "csv": ","}
NEWS = {"train": (0.0, 0.5), "valid": (0.5, 0.6), "test": (0.6, 1.0)}  # shares


def fields(task: Config) -> tables.Columns:
    """The columns or keys of a text, its pair and its label."""
    return tables.Columns(task.text, task.pair, task.label)


def table_arguments(task: Config, source: str) -> tuple:
    """Arguments of `tables.table` and `tables.values`."""
    separator = task.separator or SEPARATORS[task.format]
    quoted = task.format == "csv"
    return (Path(source), task.encoding, separator, quoted, task.header, fields(task))


def table(task: Config, source: str, tfds_dir: str) -> Iterable[Sentence]:
    return tables.table(*table_arguments(task, source))


def json_lines(task: Config, source: str, tfds_dir: str) -> Iterable[Sentence]:
    return tables.json_lines(Path(source), task.encoding, fields(task))


def label_folders(task: Config, source: str, tfds_dir: str) -> Iterable[Sentence]:
    return folders.folders(Path(source), task.encoding)


def packaged_news(task: Config, source: str, tfds_dir: str) -> Iterable[Sentence]:
    """The packaged news with their topics; of equal articles the first alone.

    The splits are shares of all articles in an order that never changes.
    """
    if source not in NEWS:
        raise UsageError(
            f"the packaged news has no split {source!r}, but {', '.join(NEWS)}"
        )
    unique = {
        document.text: document for document in reversed(list(news.documents(None)))
    }
    articles = sorted(unique.values())
    order = permutation(stream(0, "news"), 0, len(articles))
    begin, end = (round(share * len(articles)) for share in NEWS[source])
    for name, text in (articles[i] for i in np.sort(order[begin:end])):
        topic = name.partition("/")[0]
        yield Sentence(f"{news.PACKAGE} {name}", text, "", topic)


def tfds_texts(task: Config, source: str, tfds_dir: str) -> Iterable[Sentence]:
    return _tfds().sentences(task.tfds_name, source, tfds_dir, fields(task))


def tfds_words(task: Config, source: str, tfds_dir: str) -> Iterable[Tagged]:
    return _tfds().tagged(task.tfds_name, source, tfds_dir, task.text, task.label)


def tfds_questions(task: Config, source: str, tfds_dir: str) -> Iterable[Question]:
    return _tfds().questions(task.tfds_name, source, tfds_dir, task.label != "")


def conll(task: Config, source: str, tfds_dir: str) -> Iterable[Tagged]:
    return columns.tagged(
        Path(source),
        task.encoding,
        task.separator or " ",
        _number("task.text", task.text),
        _number("task.label", task.label) if task.label else None,
        task.comment,
    )


def squad(task: Config, source: str, tfds_dir: str) -> Iterable[Question]:
    return questions.questions(Path(source), task.label != "")


def choice_lines(task: Config, source: str, tfds_dir: str) -> Iterable[Choice]:
    keys = listed(task.choices)
    return choices.choices(Path(source), task.encoding, task.text, keys, task.label)


NUMBERED = {  # texts whose label may be any number or name
    "tsv": table,
    "csv": table,
    "jsonl": json_lines,
    "tfds": tfds_texts,
}
NAMED = NUMBERED | {"folders": label_folders, "news": packaged_news}
WORDS = {"conll": conll, "tfds": tfds_words}
QUESTIONS = {"squad": squad, "tfds": tfds_questions}
CHOICES = {"jsonl": choice_lines}


def _tfds() -> Any:
    # TFDS takes half a second to import, and only its own data need it.
    return import_module("bert_jax.tasks.formats.tfds")


def _number(key: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(
            f"{key} of task.format=conll is the number of a column, from 0 or from the "
            f"end if negative, not {text!r}"
        ) from None
