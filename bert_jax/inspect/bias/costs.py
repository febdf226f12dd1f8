"""The costs of removing a direction: agreement with human similarity judgements, and
the accuracy of a linear probe of a task."""

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


class TaskCost(NamedTuple):
    """The examples that a linear probe of one layer classifies correctly, (n,) bool
    each, with the direction and without it."""

    split: str
    before: np.ndarray
    after: np.ndarray


class SimilarityCost(NamedTuple):
    """Spearman's correlation of one file at one layer, with the direction and without
    it. low, high: the 95 % interval of after - before."""

    before: Agreement
    after: Agreement
    low: float
    high: float


def similarity_costs(
    judged: Sequence[Judged], vectors: Vectors, b: np.ndarray, name: str, seed: int
) -> list[SimilarityCost]:
    """The cost for each file, from vectors (D,) of the known words in one layer of
    `name`, and its direction b (D,). UsageError where too few words are known."""
    plain = {word: vector[None] for word, vector in vectors.items()}
    removed = {
        word: direction.remove(vector[None], b[None])[0]
        for word, vector in plain.items()
    }
    return [
        SimilarityCost(
            similarity.agreement(each, plain, name),
            similarity.agreement(each, removed, name),
            *_difference(each, plain, removed, seed),
        )
        for each in judged
    ]


def task_costs(sets: Sets, layer: int, b: np.ndarray) -> list[TaskCost]:
    """The cost for each evaluated split, from the direction b (D,) of a layer."""
    plain = {
        split.name: split.vectors[:, layer] for split in (sets.train, *sets.evaluated)
    }
    removed = {
        name: direction.remove(features[:, None], b[None])[:, 0]
        for name, features in plain.items()
    }
    before, after = (_right(sets, vectors) for vectors in (plain, removed))
    return [TaskCost(name, before[name], after[name]) for name in before]


def _right(sets: Sets, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The correct predictions (n,) bool of each evaluated split, from features (n, D)
    of all."""
    train, classes = sets.train, len(sets.labels)
    probe = linear.fit(features[train.name], train.targets, classes, linear.PENALTY)
    return {
        split.name: linear.predict(probe, features[split.name]) == split.targets
        for split in sets.evaluated
    }


def _difference(
    judged: Judged, plain: Vectors, removed: Vectors, seed: int
) -> tuple[float, float]:
    """The percentile interval of the difference of two Spearman correlations over
    shared pairs, which are resampled jointly (Efron & Tibshirani 1993, section 13.3).
    """
    known = np.array([a in plain and b in plain for a, b in judged.pairs])
    pairs = [pair for pair, hit in zip(judged.pairs, known) if hit]
    rows = np.random.default_rng(seed).integers(
        len(pairs), size=(RESAMPLES, len(pairs))
    )
    gold = _ranks(judged.scores[known][rows])
    before, after = (
        np.einsum("bn,bn->b", gold, _ranks(_cosines(pairs, vectors)[rows]))
        for vectors in (plain, removed)
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
    """Centred ranks (B, n) of length 1, so that products are correlations."""
    ranks = stats.rankdata(values, axis=1)
    return unit(ranks - ranks.mean(axis=1, keepdims=True))
