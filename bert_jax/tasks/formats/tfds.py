"""Labelled TFDS datasets of the shapes of GLUE, CoNLL-2003 and SQuAD."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from bert_jax.data.tfds import decoded, require, source
from bert_jax.run.config import UsageError
from bert_jax.tasks.formats.questions import checked, text_of
from bert_jax.tasks.formats.tables import Columns, sentence
from bert_jax.tasks.records import Question, Sentence, Tagged, tell_left_out

SPLIT = "name one of them in --config.task.train, .valid or .test"
TEXT, LABEL = "--config.task.text", "--config.task.label"


def sentences(
    name: str, split: str, directory: str, columns: Columns
) -> Iterator[Sentence]:
    """The examples of a split; `columns` names their fields.

    A class is labelled by its name, a number by its text. Unlabelled are the class -1,
    and all of a split where every number is -1. UsageError as in `tfds.source`, for a
    missing field, and where one holds nothing or no single value.
    """
    features, examples = source(name, split, directory, SPLIT)
    for key, field in columns._asdict().items():
        if field or key == "text":
            require(name, features, field, f"--config.task.{key}")
            if features[field].shape != ():
                raise UsageError(f"{name}: the field {field!r} holds no single value")
    if columns.label and all(example[columns.label] == -1 for example in examples):
        columns = columns._replace(label="")
    for where, example in _placed(name, split, examples):
        text, pair = (
            decoded(f"{where}.{field}", example[field]) if field else ""
            for field in (columns.text, columns.pair)
        )
        label = _label(where, features, example, columns.label)
        named = columns if label else columns._replace(label="")
        yield sentence(where, named, [text, pair, label])


def tagged(
    name: str, split: str, directory: str, word: str, tag: str
) -> Iterator[Tagged]:
    """The examples of a split: `word` is the field of their words, `tag` of their tags.

    The tag is "" for an unlabelled set. A sentence is unlabelled too if a tag is -1;
    one without words is skipped. UsageError as in `tfds.source`, for a missing field,
    one that is no list, an empty word, and where words and tags differ in number.
    """
    features, examples = source(name, split, directory, SPLIT)
    _require_list(name, features, word, TEXT)
    if tag:
        _require_list(name, features, tag, LABEL)
    wordless = 0
    for where, example in _placed(name, split, examples):
        words = tuple(decoded(f"{where}.{word}", value) for value in example[word])
        if not all(value.strip() for value in words):
            raise UsageError(f"{where}: an empty word")
        if words:
            tags = _tags(f"{where}.{tag}", features[tag], example[tag]) if tag else ()
            if tags and len(tags) != len(words):
                raise UsageError(f"{where}: words: {len(words)}, but tags: {len(tags)}")
            yield Tagged(where, words, tags)
        else:
            wordless += 1
    tell_left_out(f"{name} {split}", {"sentences without words": wordless})


def questions(
    name: str, split: str, directory: str, labelled: bool
) -> Iterator[Question]:
    """The questions of a split, checked as those of a SQuAD file.

    UsageError as in `tfds.source` and in `questions.questions`, and for a dataset that
    has not the fields of TFDS's squad.
    """
    features, examples = source(name, split, directory, SPLIT)
    for field in ("id", "question", "context", "answers")[: 4 if labelled else 3]:
        require(name, features, field, "--config.task.tfds_name")
    if labelled:
        _require_answers(name, features["answers"])
    entries = _entries(_placed(name, split, examples), labelled)
    yield from checked(f"{name} {split}", entries, labelled)


def _placed(
    name: str, split: str, examples: Sequence[dict]
) -> Iterator[tuple[str, dict]]:
    for number, example in enumerate(examples):
        yield f"{name} {split}[{number}]", example


def _label(where: str, features: Any, example: dict, field: str) -> str:
    if not field:
        return ""
    feature, value = features[field], example[field]
    if isinstance(feature, tfds.features.ClassLabel):
        return _class(feature, value)
    if isinstance(value, float):  # stored in float32: 3.8 as 3.799999952316284
        value = float(str(np.float32(value)))
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return decoded(f"{where}.{field}", value)


def _class(feature: Any, value: int) -> str:
    return "" if value < 0 else feature.int2str(value)


def _tags(where: str, sequence: Any, values: Sequence[Any]) -> tuple[str, ...]:
    feature = sequence.feature
    if isinstance(feature, tfds.features.ClassLabel):
        tags = tuple(_class(feature, value) for value in values)
    else:
        tags = tuple(decoded(where, value) for value in values)
    return tags if all(tags) else ()


def _require_list(name: str, features: Any, field: str, key: str) -> None:
    require(name, features, field, key)
    if not isinstance(features[field], tfds.features.Sequence):
        raise UsageError(
            f"{name}: the field {field!r} holds no list, one item a word: say {key}=NAME"
        )


def _require_answers(name: str, sequence: Any) -> None:
    inner = getattr(sequence, "feature", {})
    if not (
        isinstance(inner, tfds.features.FeaturesDict)
        and {"text", "answer_start"} <= set(inner.keys())
    ):
        raise UsageError(
            f"{name}: the field 'answers' holds no list of text and answer_start, as in "
            "squad: say --config.task.tfds_name=NAME"
        )


def _entries(
    placed: Iterator[tuple[str, dict]], labelled: bool
) -> Iterator[tuple[str, str, dict]]:
    """Examples as `checked` takes them: as the JSON of SQuAD has them."""
    for where, example in placed:
        qa: dict[str, Any] = {
            field: decoded(f"{where}.{field}", example[field])
            for field in ("id", "question", "context")
        }
        if labelled:
            qa["answers"] = list(_answers(where, example["answers"]))
        if "is_impossible" in example:
            qa["is_impossible"] = example["is_impossible"]
        yield where, text_of(qa, where, "context"), qa


def _answers(where: str, answers: dict) -> Iterator[dict[str, Any]]:
    for text, start in zip(answers["text"], answers["answer_start"], strict=True):
        yield {"text": decoded(f"{where}.answers", text), "answer_start": int(start)}
