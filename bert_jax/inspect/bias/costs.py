"""What the removal of a direction costs: agreement with people on similar words, and
what a linear probe tells of a task."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from bert_jax.inspect.bias import direction
from bert_jax.inspect.bias.measures import Vectors
from bert_jax.inspect.measure import linear, similarity
from bert_jax.inspect.measure.cosines import unit
from bert_jax.inspect.measure.similarity import Agreement, Judged
from bert_jax.inspect.probe.sets import Sets
from bert_jax.tasks.intervals import TAIL

RESAMPLES = 999


class Task(NamedTuple):
    """Which examples of a split a linear probe of one layer tells right, (n,) bool
    each, with the direction and without."""

    split: str
    before: np.ndarray
    after: np.ndarray


class Cost(NamedTuple):
    """Spearman's correlation of one file at one layer, with the direction and without;
    low, high: of after - before, 95 %."""

    before: Agreement
    after: Agreement
    low: float
    high: float


def on_similarity(
    judged: Sequence[Judged], vectors: Vectors, b: np.ndarray, name: str, seed: int
) -> list[Cost]:
    """Of each file, given the known words' vectors (D,) of one layer, named `name`, and
    its direction (D,). UsageError where too few words are known."""
    plain = {word: vector[None] for word, vector in vectors.items()}
    removed = {
        word: direction.without(vector[None], b[None])[0]
        for word, vector in plain.items()
    }
    return [
        Cost(
            similarity.agreement(one, plain, name),
            similarity.agreement(one, removed, name),
            *_difference(one, plain, removed, seed),
        )
        for one in judged
    ]


def on_task(sets: Sets, layer: int, b: np.ndarray) -> list[Task]:
    """Of each split that the probe does not learn from, given the direction (D,)."""
    plain = {split.name: split.vectors[:, layer] for split in (sets.train, *sets.seen)}
    cleared = {
        name: direction.without(own[:, None], b[None])[:, 0]
        for name, own in plain.items()
    }
    before, after = (_right(sets, features) for features in (plain, cleared))
    return [Task(name, before[name], after[name]) for name in before]


def _right(sets: Sets, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of each split that is seen, (n,) bool, given the features (n, D) of all."""
    train, classes = sets.train, len(sets.labels)
    probe = linear.fit(features[train.name], train.targets, classes, linear.PENALTY)
    return {
        split.name: linear.predict(probe, features[split.name]) == split.targets
        for split in sets.seen
    }


def _difference(
    judged: Judged, plain: Vectors, removed: Vectors, seed: int
) -> tuple[float, float]:
    """The percentile interval of the difference of two Spearman correlations over the
    same pairs, which are drawn again, together (Efron & Tibshirani 1993, section 13.3).
    """
    known = np.array([a in plain and b in plain for a, b in judged.pairs])
    pairs = [pair for pair, sees in zip(judged.pairs, known) if sees]
    rows = np.random.default_rng(seed).integers(
        len(pairs), size=(RESAMPLES, len(pairs))
    )
    gold = _ranks(judged.scores[known][rows])
    before, after = (
        np.einsum("bn,bn->b", gold, _ranks(_cosines(pairs, own)[rows]))
        for own in (plain, removed)
    )
    low, high = np.quantile(after - before, [TAIL, 1 - TAIL])
    return float(low), float(high)


def _cosines(pairs: Sequence[tuple[str, str]], vectors: Vectors) -> np.ndarray:
    left, right = (
        unit(np.array([vectors[pair[side]][0] for pair in pairs], np.float64))
        for side in (0, 1)
    )
    return np.einsum("nd,nd->n", left, right)


def _ranks(values: np.ndarray) -> np.ndarray:
    """(B, n): ranks less their mean, of length 1, so that products are correlations."""
    ranks = stats.rankdata(values, axis=1)
    return unit(ranks - ranks.mean(axis=1, keepdims=True))
