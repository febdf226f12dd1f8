"""Cosines of vectors, and nearest neighbours by cosine."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np


class Near(NamedTuple):
    """The nearest rows to one query, by descending cosine."""

    rows: np.ndarray  # (top,) int: row numbers of the searched matrix
    cosines: np.ndarray  # (top,) float64
    mean: float  # mean cosine to all allowed rows; 0 if there is none


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., D) scaled to length 1; zero vectors stay zero."""
    sizes = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(sizes > 0, sizes, 1)


def table(vectors: np.ndarray) -> np.ndarray:
    """Cosines (n, n) float64 between all vectors (n, D)."""
    rows = unit(np.asarray(vectors, np.float64))
    return np.clip(rows @ rows.T, -1, 1)


def nearest(
    query: np.ndarray, matrix: np.ndarray, top: int, without: Collection[int]
) -> Near:
    """Return the `top` rows of a matrix (V, D) with the largest cosine to a query (D,).

    The rows of the matrix have length 1. Rows in `without` are excluded. Ties go to the
    lower row number.
    """
    similarities = (matrix @ unit(query).astype(matrix.dtype)).astype(np.float64)
    allowed = np.setdiff1d(np.arange(len(matrix)), list(without))
    rows = allowed[np.argsort(-similarities[allowed], kind="stable")[:top]]
    mean = float(similarities[allowed].mean()) if len(allowed) else 0.0
    return Near(rows, similarities[rows], mean)


def analogy(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The 3CosAdd vector (D,) b - a + c of unit vectors, for "a is to b as c is to
    what?".

    The `nearest` row to it is the answer (Mikolov, Yih & Zweig 2013, section 4; Levy &
    Goldberg 2014, equation 1).
    """
    return unit(b) - unit(a) + unit(c)


def mean(vectors: np.ndarray) -> np.ndarray:
    """Mean cosine (...) float64 between two different vectors of (n, ..., D); 0 if n is
    1.

    It is 0 for isotropic vectors. The larger it is, the narrower the cone that they
    crowd in (Ethayarajh 2019, sections 3.4 and 4.1).
    """
    rows = unit(np.asarray(vectors, np.float64))
    count, self_products = len(rows), (rows**2).sum(-1).sum(0)
    pairs = (rows.sum(0) ** 2).sum(-1) - self_products
    return pairs / max(count * (count - 1), 1)


def spread(items: Sequence[str], count: int) -> list[str]:
    """Return `count` items or fewer, evenly spaced from first to last."""
    count = min(count, len(items))
    return [items[number * len(items) // count] for number in range(count)]
