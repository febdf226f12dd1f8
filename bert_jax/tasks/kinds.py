"""What evaluation and prediction make of a network's outputs, for each kind of task.

An output is what the network says of one example: logits of classes (C,), a number (1,),
logits of tags (T, C), of spans (T, 2), of choices (C,).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_jax.run import rules
from bert_jax.run.config import UsageError
from bert_jax.tasks import decode, entities, metrics, squad
from bert_jax.tasks.decode import Answer, softmax
from bert_jax.tasks.features import Features

Config = Any  # a ConfigDict: its attributes have no static types
Outputs = Mapping[int, np.ndarray]  # by the number of the example
NO_TAG = -1


class WordTags(NamedTuple):
    """Of each of W words: the number of its tag and the tag's probability.

    A word that no piece stands for is outside of everything, or NO_TAG where no label
    says so, with probability 0.
    """

    tags: np.ndarray  # (W,) int
    probabilities: np.ndarray  # (W,)


class Task(NamedTuple):
    """output: the name of the network's output.
    read(records, features, outputs, labels, task): a prediction for each record.
    gold(record, labels) and said(prediction): what is compared, of one kind.
    score(gold, said, labels): the metrics by name.
    constants(gold, labels): predictions that look at nothing, to be better than.
    """

    output: str
    read: Callable[..., list[Any]]
    gold: Callable[[Any, Sequence[str]], Any]
    said: Callable[[Any, Sequence[str]], Any]
    score: Callable[[list[Any], list[Any], Sequence[str]], dict[str, float]]
    constants: Callable[[list[Any], Sequence[str]], Iterable[list[Any]]]


def evaluate(
    config: Config,
    records: Sequence[Any],
    labels: Sequence[str],
    features: Features,
    outputs: Outputs,
) -> dict[str, float]:
    """The metrics of the records that have outputs, and `baseline`: the deciding metric
    of the best prediction that looks at nothing."""
    task = KINDS[config.objective.kind]
    seen = sorted({int(features.owners[number]) for number in outputs})
    predictions = task.read(records, features, outputs, labels, config.task)
    gold = [task.gold(records[i], labels) for i in seen]
    said = [task.said(predictions[i], labels) for i in seen]
    scores = task.score(gold, said, labels)
    decides = rules.metric(config)
    constant = [
        task.score(gold, list(said), labels)[decides]
        for said in task.constants(gold, labels)
    ]
    return scores | {"baseline": max(constant, default=0.0)}


def count(kind: str, records: Sequence[Any]) -> int:
    """How many things are scored: words of tagged sentences, records else."""
    if kind == "tag":
        return sum(len(record.words) for record in records)
    return len(records)


def check_metric(config: Config, labels: Sequence[str]) -> None:
    """Refuse a metric that these labels have not."""
    kind, decides = config.objective.kind, rules.metric(config)
    if kind == "tag" and decides == "f1" and not is_chunked(labels):
        raise UsageError(
            f"task.metric=f1 scores chunks, tagged O, B-X and I-X, but a label is "
            f"{next((x for x in labels if not entities.marks([x])), labels[0])!r}: set "
            "task.metric=accuracy"
        )
    if kind == "classify" and decides == "f1" and len(labels) != 2:
        raise UsageError(
            f"task.metric=f1 is of two labels, not {len(labels)}: set "
            "task.metric=macro_f1 or accuracy"
        )


def is_chunked(labels: Sequence[str]) -> bool:
    """Whether tags mark chunks, and not each word for itself."""
    return entities.marks(labels) is not None


def names(tags: Sequence[int], labels: Sequence[str]) -> list[str]:
    """The labels of tags, "" of NO_TAG."""
    return [labels[tag] if tag != NO_TAG else "" for tag in tags]


# Reading: outputs of examples -> predictions of records.


def _probabilities(records, features, outputs: Outputs, labels, task) -> list[Any]:
    """(C,) each; None of a record without output."""
    return [softmax(outputs[i]) if i in outputs else None for i in range(len(records))]


def _numbers(records, features, outputs: Outputs, labels, task) -> list[Any]:
    return [float(outputs[i][0]) if i in outputs else None for i in range(len(records))]


def _word_tags(
    records, features: Features, outputs: Outputs, labels: Sequence[str], task
) -> list[Any]:
    outside = labels.index(entities.OUTSIDE) if entities.OUTSIDE in labels else NO_TAG
    return [
        _tags_of(features.places[i], softmax(outputs[i]), outside)
        if i in outputs
        else None
        for i in range(len(records))
    ]


def _tags_of(first: np.ndarray, chances: np.ndarray, outside: int) -> WordTags:
    tags = decode.expand(first, chances.argmax(-1), outside)
    return WordTags(tags, np.where(first < 0, 0, chances[first, tags]))


def _answers(
    records, features: Features, outputs: Outputs, labels, task: Config
) -> list[Answer]:
    windows: list[list[int]] = [[] for _ in records]
    for number in sorted(outputs):  # eval.max_examples may leave some out
        windows[features.owners[number]].append(number)
    return [
        decode.answer(
            record.context,
            [features.places[i] for i in own],
            [outputs[i] for i in own],
            task.max_answer,
            task.no_answer,
        )
        for record, own in zip(records, windows, strict=True)
    ]


# Scoring.


def _score_classes(
    gold: list[int], said: list[int], labels: Sequence[str]
) -> dict[str, float]:
    every = range(len(labels))
    scores = {
        "accuracy": metrics.accuracy(gold, said),
        "macro_f1": metrics.macro_f1(gold, said, list(every)),
        "matthews": metrics.matthews(gold, said),
    }
    return scores | ({"f1": metrics.f1(gold, said, 1)} if len(labels) == 2 else {})


def _score_numbers(gold: list[float], said: list[float], labels) -> dict[str, float]:
    return {
        "pearson": metrics.pearson(gold, said),
        "spearman": metrics.spearman(gold, said),
    }


def _score_tags(
    gold: list[list[str]], said: list[list[str]], labels: Sequence[str]
) -> dict[str, float]:
    flat = (
        [tag for tags in gold for tag in tags],
        [tag for tags in said for tag in tags],
    )
    scores = {"accuracy": metrics.accuracy(*flat)}
    if not is_chunked(labels):
        return scores
    chunks, _ = entities.score(gold, said, labels)
    return scores | {
        "f1": chunks.f1,
        "precision": chunks.precision,
        "recall": chunks.recall,
    }


def _score_answers(
    gold: list[tuple[str, ...]], said: list[Answer], labels
) -> dict[str, float]:
    """SQuAD 1.1's, or where a question has no answer 2.0's, silent above one half."""
    texts = [answer.text for answer in said]
    if all(gold):
        return squad.squad_v1(gold, texts)
    return squad.squad_v2(gold, texts, [answer.no_answer for answer in said], 0.5)


def _score_choices(gold: list[int], said: list[int], labels) -> dict[str, float]:
    return {"accuracy": metrics.accuracy(gold, said)}


NOTHING = Answer("", -1, -1, 0.0, 1.0)

KINDS = {
    "classify": Task(
        "classify_logits",
        _probabilities,
        lambda record, labels: labels.index(record.label),
        lambda chances, labels: int(np.argmax(chances)),
        _score_classes,
        lambda gold, labels: ([label] * len(gold) for label in set(gold)),
    ),
    "regress": Task(
        "classify_logits",
        _numbers,
        lambda record, labels: float(record.label),
        lambda number, labels: number,
        _score_numbers,
        lambda gold, labels: [],
    ),
    "tag": Task(
        "tag_logits",
        _word_tags,
        lambda record, labels: list(record.tags),
        lambda words, labels: names(words.tags, labels),
        _score_tags,
        lambda gold, labels: ([[tag] * len(g) for g in gold] for tag in labels),
    ),
    "span": Task(
        "span_logits",
        _answers,
        lambda record, labels: tuple(text for _, text in record.answers),
        lambda answer, labels: answer,
        _score_answers,
        lambda gold, labels: [[NOTHING] * len(gold)],
    ),
    "choose": Task(
        "choice_logits",
        _probabilities,
        lambda record, labels: int(record.label),
        lambda chances, labels: int(np.argmax(chances)),
        _score_choices,
        lambda gold, labels: ([label] * len(gold) for label in set(gold)),
    ),
}
