"""A number of a text or a pair (STS-B: Devlin et al. 2019, section 4.1)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_jax.render.text import shortened
from bert_jax.tasks import metrics, texts
from bert_jax.tasks.features import Features
from bert_jax.tasks.formats import sources
from bert_jax.tasks.records import Sentence, numbers
from bert_jax.tasks.task import Outputs
from bert_jax.tasks.texts import TextTask


class Regress(TextTask):
    formats = sources.NUMBERED

    def find_labels(self, splits: Sequence[Sequence[Sentence]]) -> tuple[str, ...]:
        """None, once all are known to be numbers."""
        for records in splits:
            numbers(records)
        return ()

    def targets(self, records: Sequence[Sentence]) -> np.ndarray:
        labelled = all(record.label for record in records)
        targets = numbers(records) if labelled else np.zeros(len(records))
        return targets.astype(np.float32)

    def predictions(
        self, records: Sequence[Sentence], features: Features, outputs: Outputs
    ) -> list[Any]:
        return [
            float(outputs[i][0]) if i in outputs else None for i in range(len(records))
        ]

    def gold(self, record: Sentence) -> float:
        return float(record.label)

    def score(self, gold: list[float], guesses: list[float]) -> dict[str, float]:
        return {
            "pearson": metrics.pearson(gold, guesses),
            "spearman": metrics.spearman(gold, guesses),
        }

    def result(self, record: Sentence, predictions: list[float]) -> float:
        return predictions[0]

    def names(self, record: Any) -> Sequence[str]:
        return ("the number",)

    def conclusion(
        self, names: Sequence[str], logits: np.ndarray
    ) -> tuple[str, list[str]]:
        return "The prediction", [f"the number itself, {logits[0]:.4f}"]

    def as_json(self, record: Sentence, result: float) -> dict[str, Any]:
        return texts.as_json(record) | {"value": result}

    def as_text(self, record: Sentence, result: float) -> str:
        return f"  {result:9.4f}  {shortened(record.text, record.pair)}"
