"""Classification of a text or a pair (Devlin et al. 2019, section 4.1)."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_jax.render.text import column, percent, shortened
from bert_jax.run.config import UsageError
from bert_jax.tasks import metrics, texts
from bert_jax.tasks.features import NO_LABEL, Features
from bert_jax.tasks.formats import sources
from bert_jax.tasks.records import Sentence, label_set, listed
from bert_jax.tasks.task import Outputs
from bert_jax.tasks.texts import TextTask

OTHERS = 3  # labels shown beside the likeliest


class Labelled(NamedTuple):
    label: str  # the likeliest
    probability: float
    probabilities: dict[str, float]  # of every label, the likeliest first


class Classify(TextTask):
    formats = sources.NAMED

    def find_labels(self, splits: Sequence[Sequence[Sentence]]) -> tuple[str, ...]:
        """The labels of the config, or else those of the training split."""
        found = label_set(splits[0], listed(self.settings.labels))
        for records in splits[1:]:
            if records:
                label_set(records, found)
        if len(found) < 2:
            raise UsageError(
                f"all of task.train is labelled {found[0]!r}: nothing to learn"
            )
        return tuple(found)

    def targets(self, records: Sequence[Sentence]) -> np.ndarray:
        number = {label: i for i, label in enumerate(self.labels)} | {"": NO_LABEL}
        return np.array([number[record.label] for record in records], np.int32)

    def predictions(
        self, records: Sequence[Sentence], features: Features, outputs: Outputs
    ) -> list[Any]:
        """The probabilities (C,) of each."""
        return probabilities(outputs, len(records))

    def gold(self, record: Sentence) -> int:
        return self.labels.index(record.label)

    def guess(self, prediction: np.ndarray) -> int:
        return int(np.argmax(prediction))

    def score(self, gold: list[int], guesses: list[int]) -> dict[str, float]:
        scores = {
            "accuracy": metrics.accuracy(gold, guesses),
            "macro_f1": metrics.macro_f1(gold, guesses, list(range(len(self.labels)))),
            "matthews": metrics.matthews(gold, guesses),
        }
        two = {"f1": metrics.f1(gold, guesses, 1)} if len(self.labels) == 2 else {}
        return scores | two

    def constants(self, gold: list[int]) -> Iterable[list[int]]:
        return ([label] * len(gold) for label in set(gold))

    def check_metric(self, metric: str) -> None:
        if metric == "f1" and len(self.labels) != 2:
            raise UsageError(
                f"task.metric=f1 is of two labels, not {len(self.labels)}: set "
                "task.metric=macro_f1 or accuracy"
            )

    def result(self, record: Sentence, predictions: list[np.ndarray]) -> Labelled:
        [chances] = predictions
        order: list[int] = np.argsort(-chances, kind="stable").tolist()
        named = {self.labels[i]: float(chances[i]) for i in order}
        return Labelled(*next(iter(named.items())), named)

    def as_json(self, record: Sentence, result: Labelled) -> dict[str, Any]:
        return texts.as_json(record) | result._asdict()

    def as_text(self, record: Sentence, result: Labelled) -> str:
        (label, chance), *others = result.probabilities.items()
        line = f"  {label}{column(chance)}  {shortened(record.text, record.pair)}"
        if len(others) < 2:
            return line
        more = ", ".join(f"{name} {percent(p)}" for name, p in others[:OTHERS])
        return f"{line}  ({more})"


def probabilities(outputs: Outputs, count: int) -> list[Any]:
    """The softmax of each output, None of a record without one."""
    found = {number: metrics.softmax(logits) for number, logits in outputs.items()}
    return [found.get(number) for number in range(count)]
