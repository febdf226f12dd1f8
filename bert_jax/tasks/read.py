"""Labelled data as `config.task` names them: records, their splits and their labels."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from bert_jax.data import news
from bert_jax.data.draws import permutation
from bert_jax.run.config import UsageError, stream
from bert_jax.tasks.formats import choices, columns, folders, questions, tables
from bert_jax.tasks.records import (
    Choice,
    Question,
    Sentence,
    Tagged,
    label_set,
    numbers,
)

Config = Any  # a ConfigDict: its attributes have no static types
Record = Sentence | Tagged | Question | Choice


class Splits(NamedTuple):
    """labels: in the order of their numbers; () where the kind of task has none."""

    train: list[Record]
    valid: list[Record]
    test: list[Record]  # () if there is none
    labels: tuple[str, ...]


def read(config: Config) -> Splits:
    """The records of a task's config, all labelled. Raises UsageError.

    Without a file of its own the validation set is `data.valid_share` of the training
    set, the same for every seed; questions go together by their context.
    """
    task, kind = config.task, config.objective.kind
    train = _labelled(config, "train")
    if task.valid:
        valid = _labelled(config, "valid")
    else:
        train, valid = _held_out(train, config.data.valid_share)
    test = _labelled(config, "test") if task.test else []
    labels = _labels(kind, [train, valid, test], task)
    if task.per_label:
        train = _few(train, task.per_label, config.seed)
    return Splits(train, valid, test, labels)


def unlabelled(config: Config, source: str) -> Iterator[Record]:
    """The records of a file in the task's format, without labels, also if it has some.

    With news and TFDS the source is a split. Raises UsageError.
    """
    task = ConfigDict(config.task.to_dict())
    task.label = ""
    read = READERS[task.format]
    for record in read(task, config.objective.kind, source, config.data.tfds_dir):
        yield record._replace(label="") if isinstance(record, Sentence) else record


def _labelled(config: Config, split: str) -> list[Record]:
    task, kind = config.task, config.objective.kind
    if not task.label and kind != "span":
        raise UsageError(
            f"task.label is empty: name the column that holds the labels of task.{split}"
        )
    records = list(READERS[task.format](task, kind, task[split], config.data.tfds_dir))
    for record in records:
        if not _has_label(record, task.no_answer):
            raise UsageError(
                f"{record.where}: no label, but task.{split} needs them: leave "
                f"task.{split} empty, and use `launch.py predict` on what has none"
            )
    return records


def _has_label(record: Record, no_answer: bool) -> bool:
    match record:
        case Tagged():
            return bool(record.tags)
        case Question():
            return bool(record.answers) or no_answer
        case _:
            return record.label != ""


def _labels(kind: str, splits: Sequence[list[Any]], task: Config) -> tuple[str, ...]:
    """Those that are stated, or those of train; a text of another label is an error."""
    if kind in ("span", "choose"):
        return ()
    if kind == "regress":
        for records in splits:
            numbers(records)
        return ()
    stated = listed(task.labels)
    if kind == "tag":  # rare tags may be in one split alone, as I-LST of CoNLL-2000
        return tuple(label_set([r for records in splits for r in records], stated))
    found = label_set(splits[0], stated)
    for records in splits[1:]:
        if records:
            label_set(records, found)
    if len(found) < 2:
        raise UsageError(
            f"all of task.train is labelled {found[0]!r}: nothing to learn"
        )
    return tuple(found)


def _held_out(records: list[Any], share: float) -> tuple[list[Any], list[Any]]:
    """What is kept and what is held out: whole groups, at least one of each."""
    groups = [
        record.context if isinstance(record, Question) else str(number)
        for number, record in enumerate(records)
    ]
    names = list(dict.fromkeys(groups))
    if len(names) < 2:
        raise UsageError("task.train is one example: nothing is left to validate on")
    count = min(max(round(share * len(names)), 1), len(names) - 1)
    drawn = permutation(stream(0, "held out"), 0, len(names))
    out = {names[i] for i in drawn[:count]}
    kept = [r for r, group in zip(records, groups, strict=True) if group not in out]
    return kept, [r for r, group in zip(records, groups, strict=True) if group in out]


def _few(records: list[Any], per_label: int, seed: int) -> list[Any]:
    """At most `per_label` of each label, drawn by the seed; in the order of the file."""
    taken: dict[str, int] = {}
    kept = []
    for number in permutation(stream(seed, "examples"), 0, len(records)):
        label = records[number].label
        if taken.setdefault(label, 0) < per_label:
            taken[label] += 1
            kept.append(number)
    return [records[number] for number in sorted(kept)]


def _table(task: Config, kind: str, source: str, tfds_dir: str) -> Iterable[Record]:
    return tables.table(
        Path(source),
        task.encoding,
        task.separator or {"tsv": "\t", "csv": ","}[task.format],
        task.format == "csv",
        task.header,
        _columns(task),
    )


def _json_lines(
    task: Config, kind: str, source: str, tfds_dir: str
) -> Iterable[Record]:
    path = Path(source)
    if kind == "choose":
        keys = listed(task.choices)
        return choices.choices(path, task.encoding, task.text, keys, task.label)
    return tables.json_lines(path, task.encoding, _columns(task))


def _conll(task: Config, kind: str, source: str, tfds_dir: str) -> Iterable[Record]:
    return columns.tagged(
        Path(source),
        task.encoding,
        task.separator or " ",
        _number("task.text", task.text),
        _number("task.label", task.label) if task.label else None,
        task.comment,
    )


def _squad(task: Config, kind: str, source: str, tfds_dir: str) -> Iterable[Record]:
    return questions.questions(Path(source), task.label != "")


def _folders(task: Config, kind: str, source: str, tfds_dir: str) -> Iterable[Record]:
    return folders.folders(Path(source), task.encoding)


def _news(task: Config, kind: str, source: str, tfds_dir: str) -> Iterable[Record]:
    return news.labelled(source)


def _tfds(task: Config, kind: str, source: str, tfds_dir: str) -> Iterable[Record]:
    # TFDS takes half a second to import, and only its own data need it.
    reader = import_module("bert_jax.tasks.formats.tfds")
    where = task.tfds_name, source, tfds_dir
    match kind:
        case "tag":
            return reader.tagged(*where, task.text, task.label)
        case "span":
            return reader.questions(*where, task.label != "")
        case _:
            return reader.sentences(*where, _columns(task))


READERS: dict[str, Callable[[Config, str, str, str], Iterable[Any]]] = {
    "tsv": _table,
    "csv": _table,
    "jsonl": _json_lines,
    "conll": _conll,
    "squad": _squad,
    "folders": _folders,
    "news": _news,
    "tfds": _tfds,
}


def _columns(task: Config) -> tables.Columns:
    return tables.Columns(task.text, task.pair, task.label)


def _number(key: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(
            f"{key} of task.format=conll is the number of a column, from 0 or from the "
            f"end if negative, not {text!r}"
        ) from None


def listed(text: str) -> list[str]:
    """What commas separate; none in an empty text."""
    return [part.strip() for part in text.split(",")] if text else []
