"""The direction of word pairs: products with it, its removal, and what remains."""

import numpy as np

from bert_jax.inspect.measure import linear

FOLDS = 5
ROUNDING = 1e-6  # relative difference below which float32 vectors are equal
ROUNDS = 100  # iterations of 2-means


def pair_direction(
    first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The relation vector b (C, D) float64 of pairs, (n, C, D) each, in each of C
    layers, and the share (C,) of the squared differences along it (Ethayarajh, Duvenaud
    & Hirst 2019).

    It is the first principal component, not centred, of the differences x - y: of
    length 1, with the sign of the mean difference; for one pair the difference itself.
    Zeros, of share 0, where no pair differs. ValueError without a pair.
    """
    first, second = (np.asarray(words, np.float64) for words in (first, second))
    differences = first - second
    if not len(differences):
        raise ValueError("a direction of no pair")
    _, sizes, components = np.linalg.svd(
        differences.swapaxes(0, 1), full_matrices=False
    )
    b = components[:, 0]
    along = np.einsum("cd,cd->c", differences.mean(axis=0), b)
    squares = (sizes**2).sum(axis=-1)
    squared_norms = np.square(first).sum(axis=(0, 2)) + np.square(second).sum(
        axis=(0, 2)
    )
    undefined = squares <= ROUNDING**2 * squared_norms
    b = b * np.where(undefined, 0, np.where(along < 0, -1, 1))[:, None]
    return b, np.where(undefined, 0, sizes[:, 0] ** 2) / np.where(undefined, 1, squares)


def ripa(vectors: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The relational inner product association <w, b> (Ethayarajh et al. 2019), w not
    normalised: (n, C, D) and (C, D) -> (n, C) float64."""
    return np.einsum("ncd,cd->nc", np.asarray(vectors, np.float64), b)


def remove(vectors: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Remove a direction: w - <w, b> b, as (n, C, D) float64, which is orthogonal to b.

    This is "neutralize" of Bolukbasi et al. 2016, section 6, for all words and without
    normalising.
    """
    return vectors - ripa(vectors, b)[:, :, None] * b


def correct_sides(vectors: np.ndarray, side: np.ndarray, seed: int) -> np.ndarray:
    """Whether a linear probe predicts the side (n,) bool of each of the vectors (n, D),
    by cross-validation: (n,) bool (Gonen & Goldberg 2019, section 4, with a linear
    classifier).

    The FOLDS folds are stratified by side. ValueError where a side has fewer than
    FOLDS.
    """
    if min(side.sum(), (~side).sum()) < FOLDS:
        raise ValueError(f"a side has fewer than {FOLDS} vectors")
    draw = np.random.default_rng(seed)
    fold = np.empty(len(side), int)
    for members in (side, ~side):
        fold[members] = draw.permutation(np.arange(members.sum()) % FOLDS)
    right = np.empty(len(side), bool)
    for number in range(FOLDS):
        is_test = fold == number
        probe = linear.fit(
            vectors[~is_test], side[~is_test].astype(int), 2, linear.PENALTY
        )
        right[is_test] = linear.predict(probe, vectors[is_test]) == side[is_test]
    return right


def two_clusters(vectors: np.ndarray) -> np.ndarray:
    """The clusters (n,) bool of 2-means on (n, D).

    The start is the sign of the first principal component (Ding & He 2004), so that no
    seed is needed.
    """
    centred = np.asarray(vectors, np.float64)
    centred = centred - centred.mean(axis=0)
    inside = centred @ np.linalg.svd(centred, full_matrices=False)[2][0] > 0
    for _ in range(ROUNDS):
        if inside.all() or not inside.any():
            break
        centres = [centred[members].mean(axis=0) for members in (~inside, inside)]
        far, near = [np.square(centred - centre).sum(axis=1) for centre in centres]
        before, inside = inside, near < far
        if (before == inside).all():
            break
    return inside
