"""The interface of a kind of task, from its files to the text of a prediction.

An output is what the network says of one example: logits of classes (C,), a number (1,),
logits of tags (T, C), of spans (T, 2), of choices (C,).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bert_jax.data.tokenizer import Tokenizer
from bert_jax.render.text import columns, percent
from bert_jax.run.config import Config, UsageError
from bert_jax.tasks.features import Features
from bert_jax.tasks.metrics import softmax
from bert_jax.tasks.records import Sentence

Outputs = Mapping[int, np.ndarray]  # by the number of the example
Read = Callable[[Config, str, str], Iterable[Any]]


class Task(ABC):
    """A kind of task; `kinds.KINDS` lists them all.

    head: the network's head, whose logits are the outputs.
    formats: its file formats by name, as functions of config.task, a file (or a split)
        and the folder of TFDS, that give records.
    needs_label: whether task.label must name a column.
    one_to_one: whether a record is one example.
    labels: by number, () where the kind has none. settings: config.task.
    """

    head: str
    formats: Mapping[str, Read]
    needs_label = True
    one_to_one = True

    def __init__(self, labels: Sequence[str], settings: Config):
        self.labels, self.settings = tuple(labels), settings

    @property
    def output(self) -> str:
        """The name of the network's output."""
        return self.head.replace("_head", "_logits")

    # Labelled records.

    def find_labels(self, splits: Sequence[Sequence[Any]]) -> tuple[str, ...]:
        """The labels of splits, train first, by number; () where the kind has none.

        Raises UsageError for labels that are no labels of this kind.
        """
        return ()

    def is_labelled(self, record: Any) -> bool:
        return record.label != ""

    def group(self, record: Any, number: int) -> str:
        """Key of the records that must not stand on both sides of a split."""
        return str(number)

    @abstractmethod
    def features(
        self, records: Sequence[Any], tokenizer: Tokenizer, length: int
    ) -> Features:
        """Rows of at most `length` tokens, with their targets.

        A text keeps its first tokens; of a pair the longer is cut first.
        """

    def label_counts(self, targets: np.ndarray) -> np.ndarray:
        """(C,) how many targets are each label."""
        return np.bincount(targets[targets >= 0], minlength=len(self.labels))

    # Scores.

    @abstractmethod
    def predictions(
        self, records: Sequence[Any], features: Features, outputs: Outputs
    ) -> list[Any]:
        """A prediction for each record, None of one without output."""

    @abstractmethod
    def gold(self, record: Any) -> Any:
        """The gold value of a record."""

    def guess(self, prediction: Any) -> Any:
        """The part of a prediction that is compared with gold."""
        return prediction

    @abstractmethod
    def score(self, gold: list[Any], guesses: list[Any]) -> dict[str, float]:
        """The metrics by name."""

    def constants(self, gold: list[Any]) -> Iterable[list[Any]]:
        """Guesses that look at nothing, to be better than."""
        return ()

    def count(self, records: Sequence[Any]) -> int:
        """Number of things that are scored."""
        return len(records)

    def check_metric(self, metric: str) -> None:
        """Raises UsageError for a metric that these labels do not have."""

    # A run in use.

    @abstractmethod
    def record(self, where: str, line: str, paired: bool, tokenizer: Tokenizer) -> Any:
        """The record of a line of text; a tab parts the two texts of a pair."""

    @abstractmethod
    def sentence(self, record: Any) -> Sentence:
        """The text of a record, or its two, for whoever wants its vectors."""

    def input(self, record: Any) -> Any:
        """A record of a file as a run in use reads it, without its label."""
        return record

    def check(self, records: Sequence[Any]) -> None:
        """Raises UsageError for records that no network reads together."""

    def parts(self, record: Any, tokenizer: Tokenizer, length: int) -> list[Any]:
        """The records that the network reads in place of this one."""
        return [record]

    @abstractmethod
    def result(self, record: Any, predictions: list[Any]) -> Any:
        """The answer to a record, of the predictions of its parts."""

    def names(self, record: Any) -> Sequence[str]:
        """Names of the logits of a record."""
        return self.labels

    def conclusion(
        self, names: Sequence[str], logits: np.ndarray
    ) -> tuple[str, list[str]]:
        """Describe how logits become the prediction: a title and its lines."""
        chances = softmax(logits)
        order: list[int] = np.argsort(-chances, kind="stable").tolist()
        table = columns([names[i], percent(float(chances[i]))] for i in order)
        title = "Softmax: exp of each logit, divided by the sum of them all"
        return title, [*table, f"the likeliest is chosen: {names[order[0]]}"]

    @abstractmethod
    def as_json(self, record: Any, result: Any) -> dict[str, Any]:
        """A result as programs read it."""

    @abstractmethod
    def as_text(self, record: Any, result: Any) -> str:
        """A result as people read it."""


def fields(where: str, line: str, wanted: str) -> list[str]:
    """Names of the tab-separated fields of a line; trailing dots allow more.

    Raises UsageError for another number of fields, and for an empty one.
    """
    found, count = line.split("\t"), wanted.count("<TAB>") + 1
    more = wanted.endswith("...")
    if len(found) < count or (len(found) > count and not more):
        least = "at least " if more else ""
        raise UsageError(
            f"{where}: tabs: {len(found) - 1}, but this run reads {wanted}, "
            f"{least}{count - 1} of them"
        )
    if not all(field.strip() for field in found):
        raise UsageError(f"{where}: nothing on one side of a tab, but want {wanted}")
    return found
