"""Association tests in every layer of a space, with and without the direction of pairs,
and what remains separable after its removal."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bert_jax.inspect.bias import association, direction
from bert_jax.inspect.bias.association import Association, Chance
from bert_jax.inspect.bias.files import Test
from bert_jax.inspect.measure.space import Space
from bert_jax.run.config import UsageError

FEWEST, MOST = 40, 500  # least number of words, and most of either side, to separate
Vectors = Mapping[str, np.ndarray]  # known texts -> (layers, D) float32


class Measured(NamedTuple):
    """A test in every layer. sets: the known texts of X, Y, A and B; unknown: the
    others. association: its result; removed: the result without a direction, None if
    there is none."""

    test: Test
    sets: list[list[str]]
    unknown: list[str]
    association: Association
    removed: Association | None


class Relation(NamedTuple):
    """The direction b (layers, D) of pairs, and the share (layers,) of their squared
    differences along it. unknown: the words for which pairs were left out."""

    b: np.ndarray
    share: np.ndarray
    pairs: list[tuple[str, str]]
    unknown: list[str]


class Remainder(NamedTuple):
    """The separability of words by their side of a direction, before and after its
    removal.

    count: words of either side. before, after: whether a linear probe predicts the side
    of each, (2 count,) bool. clusters: the shares that 2-means puts with their side,
    before and after.
    """

    count: int
    before: np.ndarray
    after: np.ndarray
    clusters: tuple[float, float]


def gather(space: Space, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """The vectors (layers, D) of the texts that the space knows."""
    texts = list(dict.fromkeys(texts))
    known, vectors = space.look_up(texts)
    return {text: vectors[row] for row, text in enumerate(texts) if known[row]}


def measure(
    vectors: Vectors, test: Test, b: np.ndarray | None, samples: int, seed: int
) -> Measured:
    """Run a test on vectors as from `gather`, and without the direction b, (layers, D).
    UsageError where a set has no known text."""
    sets = [[text for text in texts if text in vectors] for texts in test.sets]
    for category, known, texts in zip(test.categories, sets, test.sets, strict=True):
        if not known:
            raise UsageError(
                f"{test.name}: none of the {len(texts)} of {category} is known, such "
                f"as {texts[0]!r}"
            )
    x, y, a, other = [np.stack([vectors[text] for text in known]) for known in sets]
    targets = np.concatenate([x, y])
    scores = association.associations(targets, a, other)
    layers = scores.shape[1]
    if b is not None:
        cleared = [direction.remove(group, b) for group in (targets, a, other)]
        scores = np.hstack([scores, association.associations(*cleared)])
    # One call, so that both share the drawn partitions.
    d = association.effect(scores, len(x))
    chance = association.chance(scores, len(x), samples, seed)
    both = Association(scores, d, chance)
    unknown = [text for texts in test.sets for text in texts if text not in vectors]
    return Measured(
        test,
        sets,
        list(dict.fromkeys(unknown)),
        _columns(both, slice(0, layers)),
        _columns(both, slice(layers, None)) if b is not None else None,
    )


def relate(vectors: Vectors, pairs: Sequence[tuple[str, str]]) -> Relation:
    """The direction of the pairs of which both words are known. UsageError if there is
    none."""
    known = [pair for pair in pairs if all(word in vectors for word in pair)]
    if not known:
        raise UsageError(
            "--direction: of no pair are both words known, such as "
            f"{' '.join(pairs[0])}"
        )
    first, second = (
        np.stack([vectors[pair[side]] for pair in known]) for side in (0, 1)
    )
    b, share = direction.pair_direction(first, second)
    unknown = [word for pair in pairs for word in pair if word not in vectors]
    return Relation(b, share, known, list(dict.fromkeys(unknown)))


def remainder(vectors: np.ndarray, b: np.ndarray, seed: int) -> Remainder | None:
    """Measure what the removal of b (D,) leaves in vectors (n, D).

    The words furthest to either side, a quarter of all each or MOST, are separated
    again (Gonen & Goldberg 2019, section 4). None for fewer than FEWEST words.
    """
    if len(vectors) < FEWEST:
        return None
    count = min(MOST, len(vectors) // 4)
    order = np.argsort(vectors.astype(np.float64) @ b, kind="stable")
    ends = np.concatenate([order[-count:], order[:count]])
    side = np.arange(2 * count) < count
    before = vectors[ends]
    after = direction.remove(before[:, None], b[None])[:, 0]
    return Remainder(
        count,
        direction.correct_sides(before, side, seed),
        direction.correct_sides(after, side, seed),
        (_clustered(before, side), _clustered(after, side)),
    )


def _clustered(vectors: np.ndarray, side: np.ndarray) -> float:
    """The share that 2-means puts with their side, for the better labelling of the
    clusters."""
    share = float(np.mean(direction.two_clusters(vectors) == side))
    return max(share, 1 - share)


def _columns(association: Association, which: slice) -> Association:
    p, low, high, partitions, exact = association.chance
    chance = Chance(p[which], low[which], high[which], partitions, exact)
    return Association(association.scores[:, which], association.d[which], chance)
