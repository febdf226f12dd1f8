"""The best of several texts beside one (SWAG: Devlin et al. 2019, section 4.4)."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_jax.data.tokenizer import Tokenizer
from bert_jax.render.text import column
from bert_jax.run.config import UsageError
from bert_jax.tasks import metrics
from bert_jax.tasks.classify import probabilities
from bert_jax.tasks.features import NO_LABEL, Features, joined, rows_of_texts
from bert_jax.tasks.formats import sources
from bert_jax.tasks.records import Choice, Sentence
from bert_jax.tasks.task import Outputs, Task, fields

CHOICES = "TEXT<TAB>CHOICE<TAB>CHOICE..."


class Chosen(NamedTuple):
    choice: int  # the likeliest, from 0
    probability: float
    probabilities: list[float]  # in the order of the choices


class Choose(Task):
    head = "choice_head"
    formats = sources.CHOICES

    def features(
        self, records: Sequence[Choice], tokenizer: Tokenizer, length: int
    ) -> Features:
        """A row for each choice, beside the text."""
        count = len(records[0].choices) if records else 2
        firsts = [record.text for record in records for _ in range(count)]
        seconds = [choice for record in records for choice in record.choices]
        rows = list(rows_of_texts(tokenizer, firsts, seconds, length))
        targets = np.array([int(r.label or NO_LABEL) for r in records], np.int32)
        return joined(rows, count, targets, np.arange(len(records)), [])

    def predictions(
        self, records: Sequence[Choice], features: Features, outputs: Outputs
    ) -> list[Any]:
        """The probabilities (C,) of each."""
        return probabilities(outputs, len(records))

    def gold(self, record: Choice) -> int:
        return int(record.label)

    def guess(self, prediction: np.ndarray) -> int:
        return int(np.argmax(prediction))

    def score(self, gold: list[int], guesses: list[int]) -> dict[str, float]:
        return {"accuracy": metrics.accuracy(gold, guesses)}

    def constants(self, gold: list[int]) -> Iterable[list[int]]:
        return ([label] * len(gold) for label in set(gold))

    def record(
        self, where: str, line: str, paired: bool, tokenizer: Tokenizer
    ) -> Choice:
        text, *choices = fields(where, line, CHOICES)
        return Choice(where, text, tuple(choices), "")

    def sentence(self, record: Choice) -> Sentence:
        return Sentence(record.where, record.text, "", "")

    def check(self, records: Sequence[Choice]) -> None:
        """Refuses unlike numbers of choices, and fewer than two."""
        count = len(records[0].choices) if records else 2
        for record in records:
            if len(record.choices) != count or count < 2:
                wanted = f"{count} in the first record" if count > 1 else "two or more"
                raise UsageError(
                    f"{record.where}: choices: {len(record.choices)}, but {wanted}: "
                    "give each text as many"
                )

    def result(self, record: Choice, predictions: list[np.ndarray]) -> Chosen:
        [chances] = predictions
        best = int(np.argmax(chances))
        return Chosen(best, float(chances[best]), chances.tolist())

    def names(self, record: Choice) -> Sequence[str]:
        return record.choices

    def as_json(self, record: Choice, result: Chosen) -> dict[str, Any]:
        asked = {"text": record.text, "choices": list(record.choices)}
        return asked | result._asdict()

    def as_text(self, record: Choice, result: Chosen) -> str:
        lines = [
            f"  {'>' if number == result.choice else ' '}{column(chance)}  {choice}"
            for number, (choice, chance) in enumerate(
                zip(record.choices, result.probabilities, strict=True)
            )
        ]
        return "\n".join([record.text, *lines])
