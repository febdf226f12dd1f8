"""Batches of labelled examples, of rows that are about as long.

As `pipeline.Pipeline` they are functions of (seed, step) and have no state. A batch is
as wide as its longest row needs, rounded up to one of few widths, so that the step is
compiled a few times and little is padding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from bert_jax.data.draws import permutation
from bert_jax.data.pipeline import Batch, Rows, walk
from bert_jax.run.config import UsageError, stream
from bert_jax.tasks.features import NO_LABEL, Features, padded

# Four to an octave: few, as each is compiled, and at most a quarter of a row is padding.
WIDTHS = [8, 12, *(n * 2**octave for octave in range(2, 15) for n in (4, 5, 6, 7))]


@dataclass(frozen=True, eq=False)
class Examples:
    """The examples of one split. Rows are at most `length` wide."""

    records: Sequence[Any]
    features: Features
    pad_id: int
    length: int
    seed: int

    @property
    def num_examples(self) -> int:
        return len(self.features.owners)

    @property
    def rows(self) -> int:
        """Rows of one example: the number of its choices."""
        return self.features.choices

    @property
    def tagged(self) -> bool:
        """Whether each token has a target of its own."""
        return len(self.features.targets) != self.num_examples

    @property
    def mean_length(self) -> float:
        """Tokens of a row, padding left out."""
        return len(self.features.ids) / (len(self.features.starts) - 1)

    def describe(self) -> str:
        """A summary to read before training: sizes, and what is lost of them."""
        widest = int(self.features.widths.max())
        lost = "; ".join(f"{n} {what}" for what, n in self.features.lost.items())
        return (
            f"{len(self.records):,} records, {self.num_examples:,} examples of "
            f"{self.mean_length:.1f} tokens (longest {widest}); {lost}"
        )

    def describe_evaluation(self, max_examples: int) -> str:
        """`describe`, and how many are evaluated."""
        if max_examples and max_examples < self.num_examples:
            return f"{self.describe()}; {max_examples:,} are evaluated"
        return self.describe()

    def require(self, batch_size: int) -> None:
        """Refuses a batch of more examples than there are."""
        if self.num_examples < batch_size:
            raise UsageError(
                f"{self.num_examples} examples are fewer than a batch of {batch_size}: "
                f"set train.batch to at most {self.num_examples}"
            )

    def batch(self, step: int, batch_size: int, rows: Rows) -> Batch:
        """The given rows of the global batch of `step`, which may straddle two epochs."""
        self.require(batch_size)
        every = np.arange(batch_size)
        examples, epochs = walk(
            step * batch_size + every,
            self.num_examples,
            lambda epoch: _order(self, epoch, batch_size),
        )
        return self._assemble(examples, epochs, np.ones(batch_size), every[rows])

    def evaluation(
        self, batch_size: int, max_examples: int, rows: Rows
    ) -> Iterator[Batch]:
        """Batches that hold each example once, from short to long.

        With max_examples > 0 at most that many, evenly spread over the file. The last
        batch is filled up with rows of weight 0.
        """
        chosen = self.evaluated(max_examples)
        count = len(chosen)
        order = chosen[np.argsort(self.features.widths[chosen], kind="stable")]
        every = np.arange(batch_size)
        for begin in range(0, count, batch_size):
            index = begin + every
            weights = index < count
            examples = order[np.minimum(index, count - 1)]
            yield self._assemble(examples, np.zeros_like(index), weights, every[rows])

    def evaluated(self, max_examples: int) -> np.ndarray:
        """The numbers of the examples that `evaluation` gives, ascending."""
        count = min(max_examples or self.num_examples, self.num_examples)
        return np.arange(count) * self.num_examples // count

    def _assemble(
        self,
        examples: np.ndarray,
        epochs: np.ndarray,
        weights: np.ndarray,
        rows: np.ndarray,
    ) -> Batch:
        """Assemble the given rows of a batch, as wide as the global batch needs."""
        features = self.features
        width = min(self.length, rounded(int(features.widths[examples].max())))
        chosen, starts = examples[rows], features.starts
        several = features.choices > 1
        flat = (
            chosen[:, None] * features.choices + np.arange(features.choices)
        ).ravel()
        shape = (len(chosen), features.choices) if several else (len(chosen),)
        ids, types, targets = features.ids, features.types, features.targets
        label = (
            padded(targets, starts, chosen, width, NO_LABEL)
            if self.tagged
            else targets[chosen]
        )
        return {
            "ids": padded(ids, starts, flat, width, self.pad_id).reshape(*shape, width),
            "types": padded(types, starts, flat, width, 0).reshape(*shape, width),
            "lengths": np.diff(starts)[flat].reshape(shape).astype(np.int32),
            "label": label,
            "example_ids": chosen.astype(np.int32),
            "epochs": epochs[rows].astype(np.int32),
            "rows": rows.astype(np.int32),
            "weights": weights[rows].astype(np.float32),
        }


def rounded(width: int) -> int:
    """The least of WIDTHS that is as wide: few shapes, few compilations."""
    return next(wide for wide in WIDTHS if wide >= width)


@lru_cache(maxsize=2)  # a batch may straddle two epochs
def _order(examples: Examples, epoch: int, batch_size: int) -> np.ndarray:
    """The permutation of an epoch: batches of random examples of one width, and those in
    random order.

    No finer order than that of the widths: questions about one context are of nearly
    one length, and a batch of them learns little. What completes the last batch of the
    epoch before, and what does not fill a batch at the end, stay as they were drawn.

    Sentences of tags are of all lengths in a batch: its loss is the mean over its words,
    so in a batch of one width the words of short sentences would count for more
    (WNUT-17 lost 1.6 points of F1, experiments/records/finetune.md).
    """
    count = examples.num_examples

    def drawn(name: str, number: int) -> np.ndarray:
        return permutation(stream(examples.seed, name), epoch, number)

    order = drawn("order", count)
    if examples.tagged:
        return order
    head = -epoch * count % batch_size
    full = (count - head) // batch_size
    body = order[head : head + full * batch_size]
    widths = np.searchsorted(WIDTHS, examples.features.widths[body])
    body = body[np.argsort(widths, kind="stable")]
    body = body.reshape(full, batch_size)[drawn("batches", full)].ravel()
    tail = order[head + full * batch_size :]
    return np.concatenate([order[:head], body, tail])
