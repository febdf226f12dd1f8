"""A tag for each word of a text (Devlin et al. 2019, section 5.3).

The first token of each word carries its tag.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bert_jax.data.tokenizer import Tokenizer
from bert_jax.render.text import column
from bert_jax.run.config import UsageError
from bert_jax.tasks import entities as chunks
from bert_jax.tasks import metrics
from bert_jax.tasks.entities import OUTSIDE
from bert_jax.tasks.features import NO_LABEL, Features, joined
from bert_jax.tasks.formats import sources
from bert_jax.tasks.records import Sentence, Tagged, label_set, listed
from bert_jax.tasks.task import Outputs, Task
from bert_jax.tasks.words import (
    NO_TAG,
    Found,
    Passage,
    WordTags,
    entities,
    names,
    passage,
    passage_of,
    rows_of,
    tag_features,
    word_tags,
)


class Tag(Task):
    head = "tag_head"
    formats = sources.WORDS

    def find_labels(self, splits: Sequence[Sequence[Tagged]]) -> tuple[str, ...]:
        """Labels of all splits: a rare one may be in one alone (I-LST of CoNLL-2000)."""
        records = [record for split in splits for record in split]
        return tuple(label_set(records, listed(self.settings.labels)))

    def is_labelled(self, record: Tagged) -> bool:
        return bool(record.tags)

    def features(
        self, records: Sequence[Tagged], tokenizer: Tokenizer, length: int
    ) -> Features:
        """A row for each sentence, cut at a token."""
        number = {label: i for i, label in enumerate(self.labels)}
        rows, targets, places = [], [], []
        vanished = cut = 0
        sentences = [record.words for record in records]
        for record, row in zip(
            records, tag_features(tokenizer, sentences, length), strict=True
        ):
            target = np.full(len(row.ids), NO_LABEL, np.int32)
            for tag, place in zip(record.tags, row.first, strict=bool(record.tags)):
                if place >= 0:
                    target[place] = number[tag]
            rows.append((row.ids, len(row.ids), 0))
            targets.append(target)
            places.append(row.first)
            vanished, cut = vanished + row.vanished, cut + row.cut
        flat = np.concatenate([np.zeros(0, np.int32), *targets])
        found = joined(rows, 1, flat, np.arange(len(records)), places)
        return found._replace(lost={"words vanished": vanished, "words cut": cut})

    def predictions(
        self, records: Sequence[Tagged], features: Features, outputs: Outputs
    ) -> list[Any]:
        """The WordTags of each sentence."""
        outside = self.labels.index(OUTSIDE) if OUTSIDE in self.labels else NO_TAG
        return [
            word_tags(features.places[i], metrics.softmax(outputs[i]), outside)
            if i in outputs
            else None
            for i in range(len(records))
        ]

    def gold(self, record: Tagged) -> list[str]:
        return list(record.tags)

    def guess(self, prediction: WordTags) -> list[str]:
        return names(prediction.tags.tolist(), self.labels)

    def score(
        self, gold: list[list[str]], guesses: list[list[str]]
    ) -> dict[str, float]:
        flat = ([x for tags in both for x in tags] for both in (gold, guesses))
        scores = {"accuracy": metrics.accuracy(*flat)}
        if not is_chunked(self.labels):
            return scores
        found, _ = chunks.score(gold, guesses, self.labels)
        return scores | {
            "f1": found.f1,
            "precision": found.precision,
            "recall": found.recall,
        }

    def constants(self, gold: list[list[str]]) -> Iterable[list[list[str]]]:
        return ([[tag] * len(tags) for tags in gold] for tag in self.labels)

    def count(self, records: Sequence[Tagged]) -> int:
        return sum(len(record.words) for record in records)

    def check_metric(self, metric: str) -> None:
        if metric == "f1" and not is_chunked(self.labels):
            odd = [label for label in self.labels if not chunks.marks([label])]
            raise UsageError(
                "task.metric=f1 scores chunks, tagged O, B-X and I-X, but a label is "
                f"{(odd or self.labels)[0]!r}: set task.metric=accuracy"
            )

    def record(
        self, where: str, line: str, paired: bool, tokenizer: Tokenizer
    ) -> Passage:
        return passage_of(line, tokenizer)

    def sentence(self, record: Tagged) -> Sentence:
        return Sentence(record.where, " ".join(record.words), "", "")

    def input(self, record: Tagged) -> Passage:
        return passage(record)

    def parts(self, record: Passage, tokenizer: Tokenizer, length: int) -> list[Tagged]:
        return rows_of(record, tokenizer, length)

    def result(self, record: Passage, predictions: list[WordTags]) -> list[Found]:
        tags = np.concatenate([row.tags for row in predictions])
        chances = np.concatenate([row.probabilities for row in predictions])
        found = names(tags.tolist(), self.labels)
        return entities(*record, found, chances.tolist(), self.labels)

    def as_json(self, record: Passage, result: list[Found]) -> dict[str, Any]:
        return {"text": record.text, "entities": [each._asdict() for each in result]}

    def as_text(self, record: Passage, result: list[Found]) -> str:
        wide = max((len(each.type) for each in result), default=0)
        lines = [
            f"  {each.type:{wide}}  {each.text}  [{each.start}:{each.end}]"
            f"{column(each.probability)}"
            for each in result
        ]
        return "\n".join([record.text, *(lines or ["  (nothing)"])])


def is_chunked(labels: Sequence[str]) -> bool:
    """Whether tags mark chunks, and not each word for itself."""
    return chunks.marks(labels) is not None
