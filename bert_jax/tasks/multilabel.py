"""Any number of C labels of a text or a pair, each by itself (binary relevance).

JSON holds a list of labels; a cell of CSV or TSV holds them with commas between, and
nothing where there is none.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from bert_jax.render.text import columns, percent, shortened
from bert_jax.run.config import Config, UsageError
from bert_jax.tasks import metrics, texts
from bert_jax.tasks.classify import Classify
from bert_jax.tasks.features import Features
from bert_jax.tasks.formats import sources, tables
from bert_jax.tasks.records import Sentence, label_set, listed, member, shown
from bert_jax.tasks.task import Outputs

LIKELY = 0.5  # a label is given to a text above this probability


class Labels(NamedTuple):
    """A text with its labels."""

    where: str  # "FILE, line N"
    text: str
    pair: str  # "" where there is none
    labels: tuple[str, ...]


class Given(NamedTuple):
    labels: list[str]  # those likelier than not, the likeliest first
    probabilities: dict[str, float]  # of every label, the likeliest first


def cells(task: Config, source: str, tfds_dir: str) -> Iterator[Labels]:
    """Rows of CSV or TSV, whose cell of labels may be empty."""
    for where, (*both, cell) in tables.values(*sources.table_arguments(task, source)):
        yield _record(task, where, both, listed(cell))


def lists(task: Config, source: str, tfds_dir: str) -> Iterator[Labels]:
    """JSON lines, whose labels are a list of names or numbers."""
    for where, value in tables.objects(Path(source), task.encoding):
        both = [tables.text_of(where, value, key) for key in (task.text, task.pair)]
        names = member(where, value, task.label) if task.label else []
        if not isinstance(names, list):
            raise UsageError(
                f"{where}: no list in {task.label!r} but {shown(names)}: write the "
                "labels as a list, [] for none"
            )
        numbered = {str(number): name for number, name in enumerate(names)}
        found = [tables.label_of(where, numbered, key) for key in numbered]
        yield _record(task, where, both, found)


def _record(task: Config, where: str, both: list[str], names: list[str]) -> Labels:
    fields = sources.fields(task)._replace(label="")
    text, pair = tables.sentence(where, fields, [*both, ""])[1:3]
    for name in names:
        if not name.strip():
            raise UsageError(f"{where}: an empty label in {task.label!r}")
        if names.count(name) > 1:
            raise UsageError(f"{where}: the label {name!r} stands twice in one text")
    return Labels(where, text, pair, tuple(names))


FORMATS = {"tsv": cells, "csv": cells, "jsonl": lists}


class MultiLabel(Classify):
    formats = FORMATS

    def find_labels(self, splits: Sequence[Sequence[Labels]]) -> tuple[str, ...]:
        """The labels of the config, or else those of the training split."""
        found = listed(self.settings.labels)
        for records in splits:
            named = [
                Sentence(r.where, "", "", name) for r in records for name in r.labels
            ]
            if named or not found:
                found = label_set(named, found)
        return tuple(found)

    def is_labelled(self, record: Labels) -> bool:
        """Always: no label is an answer too."""
        return True

    def targets(self, records: Sequence[Any]) -> np.ndarray:
        """(N, C) float32, 1 where a text has a label; zeros for texts without."""
        number = {label: i for i, label in enumerate(self.labels)}
        targets = np.zeros((len(records), len(number)), np.float32)
        for row, record in zip(targets, records, strict=True):
            if isinstance(record, Labels):
                row[[number[label] for label in record.labels]] = 1
        return targets

    def label_counts(self, targets: np.ndarray) -> np.ndarray:
        return targets.sum(0)

    def predictions(
        self, records: Sequence[Any], features: Features, outputs: Outputs
    ) -> list[Any]:
        """The probability (C,) of each label of each text."""
        found = {number: expit(np.float64(x)) for number, x in outputs.items()}
        return [found.get(number) for number in range(len(records))]

    def gold(self, record: Labels) -> np.ndarray:
        return self.targets([record])[0] > 0

    def guess(self, prediction: np.ndarray) -> np.ndarray:
        return prediction > LIKELY

    def score(
        self, gold: list[np.ndarray], guesses: list[np.ndarray]
    ) -> dict[str, float]:
        """F1 over all labels of all texts, its mean over labels (0 of one that is
        neither given nor right), and the share of texts whose labels are all right."""
        wanted, found = np.array(gold), np.array(guesses)
        counts = [(wanted & found).sum(0), found.sum(0), wanted.sum(0)]
        each = [metrics.f1_of_counts(*map(int, of)) for of in zip(*counts, strict=True)]
        return {
            "micro_f1": metrics.f1_of_counts(*(int(count.sum()) for count in counts)),
            "macro_f1": float(np.mean(each)),
            "subset_accuracy": float((wanted == found).all(1).mean()),
        }

    def constants(self, gold: list[np.ndarray]) -> Iterable[list[np.ndarray]]:
        """Constant predictions of the k most frequent labels, for each k."""
        order = np.argsort(-np.sum(gold, 0), kind="stable")
        for count in range(len(order) + 1):
            yield [np.isin(np.arange(len(order)), order[:count])] * len(gold)

    def check_metric(self, metric: str) -> None:
        """Accept every metric: all of them suit any labels."""

    def result(self, record: Any, predictions: list[np.ndarray]) -> Given:
        chances = super().result(record, predictions).probabilities
        likely = [label for label, chance in chances.items() if chance > LIKELY]
        return Given(likely, chances)

    def conclusion(
        self, names: Sequence[str], logits: np.ndarray
    ) -> tuple[str, list[str]]:
        chances = expit(np.float64(logits)).tolist()
        rows = [[name, percent(p)] for name, p in zip(names, chances, strict=True)]
        likely = [name for name, p in zip(names, chances, strict=True) if p > LIKELY]
        given = f"those above {percent(LIKELY)}: {', '.join(likely) or 'none'}"
        return "Sigmoid of each logit: 1 / (1 + exp(-logit))", [*columns(rows), given]

    def as_json(self, record: Any, result: Given) -> dict[str, Any]:
        return texts.as_json(record) | result._asdict()

    def as_text(self, record: Any, result: Given) -> str:
        given = [
            f"{name} {percent(result.probabilities[name])}" for name in result.labels
        ]
        named = ", ".join(given) or "(no label)"
        return f"  {named}  {shortened(record.text, record.pair)}"
