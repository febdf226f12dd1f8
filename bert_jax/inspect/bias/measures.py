"""Association tests on the vectors of a space, in every layer; the direction of pairs
of words there; the tests without that direction; and what can be told after that."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bert_jax.inspect.bias import association, direction
from bert_jax.inspect.bias.association import Association, Chance
from bert_jax.inspect.bias.files import Test
from bert_jax.inspect.measure.space import Space
from bert_jax.run.config import UsageError

FEWEST, MOST = 40, 500  # words of which the outermost are told apart; of either side
Vectors = Mapping[str, np.ndarray]  # known texts -> (layers, D) float32


class Measured(NamedTuple):
    """A test in every layer. sets: the known texts of X, Y, A and B; unknown: the
    others. removed: the same without a direction, None where there is none."""

    test: Test
    sets: list[list[str]]
    unknown: list[str]
    found: Association
    removed: Association | None


class Relation(NamedTuple):
    """The direction b (layers, D) of pairs, and the share of their differences' squares
    along it, (layers,). unknown: the words for which pairs were left out."""

    b: np.ndarray
    share: np.ndarray
    pairs: list[tuple[str, str]]
    unknown: list[str]


class Left(NamedTuple):
    """How well the side of words can be told, by which end of a direction they were
    on before it was removed. count: words of either side. before, after: which
    of them a linear probe tells right, (2 count,) bool, with the direction and without.
    clusters: the shares that 2-means puts with their own side, with it and without."""

    count: int
    before: np.ndarray
    after: np.ndarray
    clusters: tuple[float, float]


def gather(space: Space, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """The vectors (layers, D) of those texts that the space knows."""
    texts = list(dict.fromkeys(texts))
    known, found = space.look_up(texts)
    return {text: found[row] for row, text in enumerate(texts) if known[row]}


def measure(
    vectors: Vectors, test: Test, b: np.ndarray | None, samples: int, seed: int
) -> Measured:
    """A test on vectors as `gather` gives them, and without the direction b, (layers,
    D). UsageError where nothing of a set is known.
    """
    sets = [[text for text in own if text in vectors] for own in test.sets]
    for category, own, whole in zip(test.categories, sets, test.sets, strict=True):
        if not own:
            raise UsageError(
                f"{test.name}: none of the {len(whole)} of {category} is known, such "
                f"as {whole[0]!r}"
            )
    x, y, a, other = [np.stack([vectors[text] for text in own]) for own in sets]
    targets = np.concatenate([x, y])
    scores = association.associations(targets, a, other)
    layers = scores.shape[1]
    if b is not None:
        less = [direction.without(own, b) for own in (targets, a, other)]
        scores = np.hstack([scores, association.associations(*less)])
    # One call, so that both are compared with the same partitions.
    d = association.effect(scores, len(x))
    chance = association.chance(scores, len(x), samples, seed)
    both = Association(scores, d, chance)
    unknown = [text for own in test.sets for text in own if text not in vectors]
    return Measured(
        test,
        sets,
        list(dict.fromkeys(unknown)),
        _columns(both, slice(0, layers)),
        _columns(both, slice(layers, None)) if b is not None else None,
    )


def relate(vectors: Vectors, pairs: Sequence[tuple[str, str]]) -> Relation:
    """The direction of those pairs both words of which are known.

    UsageError where there is no such pair.
    """
    known = [pair for pair in pairs if all(word in vectors for word in pair)]
    if not known:
        raise UsageError(
            "--direction: of no pair are both words known, such as "
            f"{' '.join(pairs[0])}"
        )
    first, second = (
        np.stack([vectors[pair[side]] for pair in known]) for side in (0, 1)
    )
    b, share = direction.of_pairs(first, second)
    unknown = [word for pair in pairs for word in pair if word not in vectors]
    return Relation(b, share, known, list(dict.fromkeys(unknown)))


def left(vectors: np.ndarray, b: np.ndarray, seed: int) -> Left | None:
    """What the removal of b (D,) leaves in vectors (n, D): whether the words furthest
    to either side, a quarter of all each or MOST, are still apart (Gonen & Goldberg
    2019, section 4). None of fewer than FEWEST."""
    if len(vectors) < FEWEST:
        return None
    count = min(MOST, len(vectors) // 4)
    order = np.argsort(vectors.astype(np.float64) @ b, kind="stable")
    ends = np.concatenate([order[-count:], order[:count]])
    side = np.arange(2 * count) < count
    before = vectors[ends]
    after = direction.without(before[:, None], b[None])[:, 0]
    return Left(
        count,
        direction.told_apart(before, side, seed),
        direction.told_apart(after, side, seed),
        (_clustered(before, side), _clustered(after, side)),
    )


def _clustered(vectors: np.ndarray, side: np.ndarray) -> float:
    """The clusters have no names: the better of two ways to give them some."""
    same = float(np.mean(direction.two_clusters(vectors) == side))
    return max(same, 1 - same)


def _columns(found: Association, which: slice) -> Association:
    p, low, high, partitions, exact = found.chance
    chance = Chance(p[which], low[which], high[which], partitions, exact)
    return Association(found.scores[:, which], found.d[which], chance)
