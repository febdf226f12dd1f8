"""Labelled data as `config.task` names them: records, their splits and their labels."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from bert_jax.data.draws import permutation
from bert_jax.run.config import Config, UsageError, stream
from bert_jax.tasks import kinds
from bert_jax.tasks.task import Task


class Splits(NamedTuple):
    """labels: in the order of their numbers; () where the kind of task has none."""

    train: list[Any]
    valid: list[Any]
    test: list[Any]  # () if there is none
    labels: tuple[str, ...]


def read(config: Config) -> Splits:
    """The records of a task's config, all labelled. Raises UsageError.

    Without a file of its own the validation set is `data.valid_share` of the training
    set, the same for every seed; questions go together by their context.
    """
    task, kind = config.task, kinds.of_config(config, ())
    train = _labelled(config, "train")
    if task.valid:
        valid = _labelled(config, "valid")
    else:
        train, valid = _held_out(kind, train, config.data.valid_share)
    test = _labelled(config, "test") if task.test else []
    labels = kind.find_labels([train, valid, test])
    if task.per_label:
        train = _few(train, task.per_label, config.seed)
    return Splits(train, valid, test, labels)


def unlabelled(config: Config, source: str) -> Iterable[Any]:
    """The records of a file in the task's format; its column of labels is not read.

    With news and TFDS the source is a split. Raises UsageError.
    """
    task = ConfigDict(config.task.to_dict())
    task.label = ""
    records = kinds.kind(config.objective.kind).formats[task.format]
    return records(task, source, config.data.tfds_dir)


def _labelled(config: Config, split: str) -> list[Any]:
    task, kind = config.task, kinds.of_config(config, ())
    if not task.label and kind.needs_label:
        raise UsageError(
            f"task.label is empty: name the column that holds the labels of task.{split}"
        )
    found = kind.formats[task.format](task, task[split], config.data.tfds_dir)
    records = list(found)
    for record in records:
        if not kind.is_labelled(record):
            raise UsageError(
                f"{record.where}: no label, but task.{split} needs them: leave "
                f"task.{split} empty, and use `launch.py predict` on what has none"
            )
    return records


def _held_out(
    kind: Task, records: list[Any], share: float
) -> tuple[list[Any], list[Any]]:
    """Split records into kept and held out, by groups, at least one of each."""
    groups = [kind.group(record, number) for number, record in enumerate(records)]
    names = list(dict.fromkeys(groups))
    if len(names) < 2:
        raise UsageError("task.train is one example: nothing is left to validate on")
    count = min(max(round(share * len(names)), 1), len(names) - 1)
    drawn = permutation(stream(0, "held out"), 0, len(names))
    out = {names[i] for i in drawn[:count]}
    kept = [r for r, group in zip(records, groups, strict=True) if group not in out]
    return kept, [r for r, group in zip(records, groups, strict=True) if group in out]


def _few(records: list[Any], per_label: int, seed: int) -> list[Any]:
    """Draw at most `per_label` records of each label by the seed, in file order."""
    taken: dict[str, int] = {}
    kept = []
    for number in permutation(stream(seed, "examples"), 0, len(records)):
        label = records[number].label
        if taken.setdefault(label, 0) < per_label:
            taken[label] += 1
            kept.append(number)
    return [records[number] for number in sorted(kept)]
