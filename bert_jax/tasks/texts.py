"""Functions shared by the kinds that predict from a text or a pair."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_jax.data.tokenizer import Tokenizer
from bert_jax.tasks import features
from bert_jax.tasks.features import Features
from bert_jax.tasks.records import Sentence
from bert_jax.tasks.task import Task, fields

PAIR = "TEXT<TAB>SECOND TEXT"


class TextTask(Task):
    """A kind whose records have a text and a pair, "" for none."""

    head = "classify_head"

    @abstractmethod
    def targets(self, records: Sequence[Any]) -> np.ndarray:
        """(N, ...): what the network is to say of each record."""

    def features(
        self, records: Sequence[Any], tokenizer: Tokenizer, length: int
    ) -> Features:
        targets = self.targets(records)
        return features.of_texts(records, targets, tokenizer, length)

    def record(self, where: str, line: str, paired: bool, tokenizer: Tokenizer) -> Any:
        return sentence(where, line, paired)

    def sentence(self, record: Any) -> Sentence:
        return Sentence(record.where, record.text, record.pair, "")

    def input(self, record: Any) -> Any:
        return self.sentence(record)


def sentence(where: str, line: str, paired: bool) -> Sentence:
    """The record of a line: a text, or two that a tab parts."""
    text, pair = fields(where, line, PAIR) if paired else (line, "")
    return Sentence(where, text, pair, "")


def as_json(record: Any) -> dict[str, Any]:
    """The text of a record, and its pair where there is one."""
    return {"text": record.text} | ({"pair": record.pair} if record.pair else {})
