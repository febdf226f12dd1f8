"""A direction that pairs of words have in common: products with it, its removal, and
what can still be told after that."""

import numpy as np

from bert_jax.inspect.measure import linear

FOLDS = 5
ROUNDING = 1e-6  # of float32: two vectors that differ by less are equal
ROUNDS = 100  # of 2-means


def of_pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The relation vector of pairs, (n, C, D) each, in each of C layers (Ethayarajh,
    Duvenaud & Hirst 2019): b (C, D) float64, and the share of the
    differences' squares that lies along it, (C,).

    The first principal component, not centred, of the differences x - y: of length 1,
    its sign such that the mean difference lies along it; of one pair the difference
    itself. Zeros, of share 0, where no pair differs. ValueError without a pair.
    """
    first, second = (np.asarray(own, np.float64) for own in (first, second))
    differences = first - second
    if not len(differences):
        raise ValueError("a direction of no pair")
    _, sizes, components = np.linalg.svd(
        differences.swapaxes(0, 1), full_matrices=False
    )
    b = components[:, 0]
    along = np.einsum("cd,cd->c", differences.mean(axis=0), b)
    squares = (sizes**2).sum(axis=-1)
    whole = np.square(first).sum(axis=(0, 2)) + np.square(second).sum(axis=(0, 2))
    none = squares <= ROUNDING**2 * whole
    b = b * np.where(none, 0, np.where(along < 0, -1, 1))[:, None]
    return b, np.where(none, 0, sizes[:, 0] ** 2) / np.where(none, 1, squares)


def ripa(vectors: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The relational inner product association <w, b> (Ethayarajh et al. 2019), w
    not of length 1: (n, C, D) and (C, D) -> (n, C) float64."""
    return np.einsum("ncd,cd->nc", np.asarray(vectors, np.float64), b)


def without(vectors: np.ndarray, b: np.ndarray) -> np.ndarray:
    """w - <w, b> b: what has no product with b any more (Bolukbasi et al. 2016, section
    6, "neutralize", of all words and not made of length 1). As (n, C, D) float64."""
    return vectors - ripa(vectors, b)[:, :, None] * b


def told_apart(vectors: np.ndarray, side: np.ndarray, seed: int) -> np.ndarray:
    """(n,) bool: of which vectors (n, D) a linear probe that learnt from the others
    tells the side (n,) bool, in FOLDS parts of which each has its share of either side
    (Gonen & Goldberg 2019, section 4, with a linear classifier).

    ValueError where a side has fewer than FOLDS.
    """
    if min(side.sum(), (~side).sum()) < FOLDS:
        raise ValueError(f"a side has fewer than {FOLDS} vectors")
    draw = np.random.default_rng(seed)
    fold = np.empty(len(side), int)
    for own in (side, ~side):
        fold[own] = draw.permutation(np.arange(own.sum()) % FOLDS)
    right = np.empty(len(side), bool)
    for number in range(FOLDS):
        held = fold == number
        probe = linear.fit(vectors[~held], side[~held].astype(int), 2, linear.PENALTY)
        right[held] = linear.predict(probe, vectors[held]) == side[held]
    return right


def two_clusters(vectors: np.ndarray) -> np.ndarray:
    """(n,) bool: the clusters of 2-means on (n, D), which begins with the signs along
    the first principal component (Ding & He 2004), and so needs no seed."""
    away = np.asarray(vectors, np.float64)
    away = away - away.mean(axis=0)
    inside = away @ np.linalg.svd(away, full_matrices=False)[2][0] > 0
    for _ in range(ROUNDS):
        if inside.all() or not inside.any():
            break
        centres = [away[own].mean(axis=0) for own in (~inside, inside)]
        far, near = [np.square(away - centre).sum(axis=1) for centre in centres]
        before, inside = inside, near < far
        if (before == inside).all():
            break
    return inside
