"""A trained network and its task: what they say of records.

The rows, batches and reading of outputs are those of evaluation.
"""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from ml_collections import FrozenConfigDict

from bert_jax.data.tokenizer import Tokenizer
from bert_jax.models.network import Network, pooled
from bert_jax.predict import batches
from bert_jax.predict.batches import BATCH, finite, power
from bert_jax.run import rules
from bert_jax.run.config import UsageError
from bert_jax.tasks import features, kinds
from bert_jax.tasks.examples import Examples
from bert_jax.tasks.features import Features
from bert_jax.tasks.records import Sentence
from bert_jax.tasks.task import Task
from bert_jax.train import evaluate


class Reader:
    """The task of a run, with its network and labels.

    Texts are cut to the `data.length` tokens of training. What is lost of them is
    counted until `warn`. Batches have `least` rows or more, a power of two: who reads
    many blocks of records says BATCH, lest a small last one is compiled anew.
    """

    def __init__(
        self,
        config: FrozenConfigDict,
        tokenizer: Tokenizer,
        network: Network,
        params: Any,
        step: int,
        labels: Sequence[str],
        kind: str,
    ):
        self.config, self.tokenizer, self.step = config, tokenizer, step
        self.network, self.params, self.labels = network, params, tuple(labels)
        self.kind = kind or _kind(config, network)
        known = self.kind in kinds.KINDS
        self.task = kinds.kind(self.kind)(labels, config.task) if known else None
        self._lost = Counter[str]()

    def read(self, records: Sequence[Any], least: int) -> list[Any]:
        """The result of each record, by `tasks.kinds` of the run's kind.

        UsageError for records that are not read together.
        """
        task, length = self.known_task, self.config.data.length
        task.check(records)
        parts = [task.parts(record, self.tokenizer, length) for record in records]
        flat = [part for each in parts for part in each]
        made = self.features(flat)
        outputs = self._outputs(task.output, _by_example, flat, made, least)
        found = iter(task.predictions(flat, made, outputs))
        return [
            task.result(record, list(islice(found, len(each))))
            for record, each in zip(records, parts, strict=True)
        ]

    @property
    def known_task(self) -> Task:
        """The task of the run. UsageError where it has none."""
        if self.task is None:
            raise UsageError(
                f"this run is of objective.kind={self.kind}, which is no task"
            )
        return self.task

    def means(self, records: Sequence[Sentence], least: int) -> np.ndarray:
        """(B, D) float32: the mean of the last layer's vectors over each text's tokens,
        special tokens included."""
        unlabelled = np.zeros(len(records))
        made = self._counted(
            features.of_texts(
                records, unlabelled, self.tokenizer, self.config.data.length
            )
        )
        outputs = self._outputs("hidden", _means, records, made, least)
        rows = [outputs[number] for number in range(len(records))]
        return np.array(rows, np.float32).reshape(-1, self.config.model.model_dim)

    def features(self, records: Sequence[Any]) -> Features:
        """The rows of unlabelled records, as in training."""
        length = self.config.data.length
        return self._counted(self.known_task.features(records, self.tokenizer, length))

    def warn(self) -> None:
        """Say on stderr what was lost since the last warning."""
        length = self.config.data.length
        for what, note in (
            ("texts cut", f"texts cut to the {length} tokens of training"),
            (
                "words vanished",
                "words without a visible character, and so without a tag",
            ),
        ):
            if count := self._lost[what]:
                print(f"warning: {note}: {count:,}", file=sys.stderr)
        self._lost.clear()

    def _counted(self, made: Features) -> Features:
        self._lost.update(made.lost)
        return made

    def _outputs(
        self,
        name: str,
        reduce: Callable[[Any, Any], Any],
        records: Sequence[Any],
        made: Features,
        least: int,
    ) -> dict[int, np.ndarray]:
        """An output of the network, reduced, by the number of the example."""
        length = self.config.data.length
        examples = Examples(records, made, self.tokenizer.pad_id, length, 0)
        size = min(max(power(examples.num_examples), least), BATCH)
        read = partial(self._read_batch, name, reduce)
        rows = examples.evaluation(size, 0, np.arange(size))
        total = evaluate.total(read, self.params, rows, lambda: False)
        return finite(total.outputs if total else {}, self.step)

    def _read_batch(
        self,
        name: str,
        reduce: Callable[[Any, Any], Any],
        params: Any,
        batch: dict[str, Any],
    ) -> tuple:
        """Evaluate a batch as step.make_evaluation does, without sums."""
        inputs = {key: batch[key] for key in ("ids", "types", "lengths", "rows")}
        output = batches.read(self.network, (name,), reduce, params, inputs)
        kept = {key: batch[key] for key in ("example_ids", "weights")}
        return {}, {"output": output, **kept}


def _by_example(outputs: dict[str, Any], batch: dict[str, Any]) -> Any:
    """(B, ...): the one output of each example; of choices (B, C)."""
    [output] = outputs.values()
    return output.reshape(len(batch["lengths"]), -1, *output.shape[2:])


def _means(outputs: dict[str, Any], batch: dict[str, Any]) -> Any:
    """(B, D): the mean of the vectors of each text's tokens."""
    return pooled(outputs["hidden"], batch["lengths"], "mean")


def _kind(config: FrozenConfigDict, network: Network) -> str:
    """The kind of a run: objective.kind, or of an imported model that of its head."""
    if rules.is_task(config):
        return config.objective.kind
    found = [name for name in kinds.KINDS if kinds.kind(name).head in network.heads]
    if "regress" in found and network.classes == 1:
        return "regress"
    return found[0] if found else config.objective.kind
