"""Pipeline of host batches: batch = f(seed, step), with a prefetching thread."""

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict

from bert_jax.data import pairs
from bert_jax.data.chunks import Chunks, Text, as_text
from bert_jax.data.draws import permutation
from bert_jax.data.store import Split
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.run.config import UsageError, stream

AUDITED = 10_000  # number of examples to audit before training
Batch = dict[str, np.ndarray]
Rows = slice | np.ndarray  # rows of the global batch that this host assembles


@dataclass(frozen=True, eq=False)
class Pipeline:
    """Batches of a split in the format of `config.data`. It has no state to resume."""

    split: Split
    tokenizer: Tokenizer
    config: ConfigDict | FrozenConfigDict  # config.data
    seed: int

    def __post_init__(self) -> None:
        documents = len(self.split.documents) - 1
        if self.config.pairs == "nsp" and documents < 2:
            raise UsageError(
                f"data.pairs=nsp takes random partners from other documents and there "
                f"are {documents} in this split: give more documents, set "
                "data.documents=auto, or data.pairs=sop, single or full"
            )
        if not self.num_examples:
            raise UsageError(
                f"no example can be made of the {len(self.split.tokens)} tokens of "
                f"this split with data.pairs={self.config.pairs}: give more text"
            )

    @cached_property
    def _text(self) -> Text:
        return as_text(self.split, self.tokenizer, self.config.pairs)

    @cached_property
    def _chunks(self) -> Chunks:
        return pairs.chunk_table(self._text, self.config.pairs, self.config.length)

    @cached_property
    def _order(self) -> Callable[[int], np.ndarray]:
        """The permutation of an epoch; cached for two, since a batch may span two."""
        seed, count = stream(self.seed, "order"), self.num_examples
        return lru_cache(maxsize=2)(lambda epoch: permutation(seed, epoch, count))

    def with_seed(self, seed: int) -> "Pipeline":
        """A pipeline of the same examples in another order; tables are shared."""
        other = replace(self, seed=seed)
        vars(other).update(_text=self._text, _chunks=self._chunks)
        return other

    @property
    def num_examples(self) -> int:
        return len(self._chunks.starts)

    @property
    def rows(self) -> int:
        """Number of rows of one example."""
        return 1

    @property
    def mean_length(self) -> float:
        """Tokens of a row, padding included."""
        return self.config.length

    def require(self, batch_size: int) -> None:
        """Refuse a batch of more examples than there are. Raises UsageError."""
        if self.num_examples < batch_size:
            raise UsageError(
                f"{self.num_examples} examples are fewer than a batch of {batch_size}: "
                f"set train.batch to at most {self.num_examples}, or give more text"
            )

    def batch(self, step: int, batch_size: int, rows: Rows) -> Batch:
        """Return these rows of the global batch of `step`; it may span two epochs."""
        self.require(batch_size)
        rows = np.arange(batch_size)[rows]
        count = self.num_examples
        examples, epochs = walk(step * batch_size + rows, count, self._order)
        return self._assemble(examples, epochs, rows, np.ones(len(rows)), self.seed)

    def evaluation(
        self, batch_size: int, max_examples: int, rows: Rows
    ) -> Iterator[Batch]:
        """Yield evaluation batches, equal for every seed, as `evenly` selects them."""
        seed, rows = stream(0, "evaluation"), np.arange(batch_size)[rows]
        for examples, weights in evenly(
            self.num_examples, max_examples, batch_size, rows
        ):
            epochs = np.zeros_like(rows)
            yield self._assemble(examples, epochs, rows, weights, seed)

    def audit(self, max_examples: int) -> dict[str, float]:
        """Pair balance and padding of the first examples, to check before training."""
        count = min(max_examples, self.num_examples)
        return self._audit(self.num_examples, self.batch(0, count, slice(None)))

    def _audit(self, count: int, batch: Batch) -> dict[str, float]:
        return {
            "examples": count,
            "random_share": float(batch["pair_label"].mean()),
            "padding_share": 1 - float(batch["lengths"].mean()) / self.config.length,
        }

    @property
    def left_out(self) -> int:
        """Number of documents that are too short for an example."""
        if self.config.pairs == "full":
            return 0  # all documents are one text
        return len(self.split.documents) - 1 - len(np.unique(self._chunks.documents))

    def describe(self) -> str:
        """Describe the audit of the first training examples."""
        return self._audit_text(self.audit(AUDITED))

    def describe_evaluation(self, max_examples: int) -> str:
        """Describe the audit of the evaluation examples, or of a sample of them."""
        count = min(max_examples or self.num_examples, self.num_examples)
        sample = min(AUDITED, count)
        batch = next(self.evaluation(sample, sample, slice(None)))
        return self._audit_text(self._audit(count, batch))

    def _audit_text(self, audit: dict[str, float]) -> str:
        text = (
            f"{audit['examples']:,} examples of {self.config.length} tokens, "
            f"{100 * audit['padding_share']:.1f} % padding"
        )
        if self.config.pairs in ("nsp", "sop"):
            text += f", {100 * audit['random_share']:.1f} % random or swapped pairs"
        if self.left_out:
            text += f"; {self.left_out:,} documents are too short for an example"
        return text

    def _assemble(
        self,
        examples: np.ndarray,
        epochs: np.ndarray,
        rows: np.ndarray,
        weights: np.ndarray,
        seed: int,
    ) -> Batch:
        config = self.config
        versions = epochs % config.copies if config.copies else epochs
        batch = pairs.assemble(
            self._text,
            self._chunks,
            config.pairs,
            config.length,
            examples,
            versions,
            seed,
        )
        return batch | {
            "example_ids": examples.astype(np.int32),
            "epochs": epochs.astype(np.int32),
            "rows": rows.astype(np.int32),
            "weights": weights.astype(np.float32),
        }


def walk(
    positions: np.ndarray, count: int, order: Callable[[int], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The examples at positions of an endless sequence, and their epochs, (B,) each.

    `order` returns an epoch's permutation of the `count` examples.
    """
    epochs, places = np.divmod(positions, count)
    examples = np.empty_like(places)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        examples[here] = order(int(epoch))[places[here]]
    return examples, epochs


def evenly(
    count: int, most: int, batch_size: int, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield, for each evaluation batch, the examples at `rows` and their weights.

    Examples are in order, each once; with `most` > 0 at most that many of the `count`,
    evenly spaced. The last batch is padded with examples of weight 0.
    """
    seen = min(most or count, count)
    for begin in range(0, seen, batch_size):
        index = begin + rows
        weights = index < seen
        yield np.where(weights, index * count // seen, 0), weights


def prefetch(
    make_batch: Callable[[int], Batch], start: int, depth: int
) -> Generator[Batch, None, None]:
    """Yield make_batch(start), make_batch(start + 1), ...; a thread makes them `depth`
    ahead.

    An exception of the thread is raised at the batch it was making. `close()` ends the
    thread.
    """
    thread = ThreadPoolExecutor(1, "prefetch")
    try:
        pending = deque(thread.submit(make_batch, start + i) for i in range(depth))
        for step in itertools.count(start + depth):
            batch = pending.popleft().result()
            pending.append(thread.submit(make_batch, step))
            yield batch
    finally:
        thread.shutdown(cancel_futures=True)
