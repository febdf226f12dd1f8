"""Cosines of vectors, and what is nearest by them."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np


class Near(NamedTuple):
    """What is nearest to one query, the nearest first."""

    rows: np.ndarray  # (top,) int, of the matrix that was searched
    cosines: np.ndarray  # (top,) float64
    mean: float  # the cosine to a row that may be found, on average; 0 of none


def unit(vectors: np.ndarray) -> np.ndarray:
    """(..., D), each of length 1; zeros, which have no direction, stay zeros."""
    sizes = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(sizes > 0, sizes, 1)


def table(vectors: np.ndarray) -> np.ndarray:
    """(n, D) -> (n, n) float64: the cosine of each with each."""
    rows = unit(np.asarray(vectors, np.float64))
    return np.clip(rows @ rows.T, -1, 1)


def nearest(
    query: np.ndarray, matrix: np.ndarray, top: int, without: Collection[int]
) -> Near:
    """The rows of a matrix (V, D), each of length 1, that have the largest cosine to a
    query (D,): `top` or fewer, none of those in `without`. Of equal ones the first."""
    found = (matrix @ unit(query).astype(matrix.dtype)).astype(np.float64)
    allowed = np.setdiff1d(np.arange(len(matrix)), list(without))
    rows = allowed[np.argsort(-found[allowed], kind="stable")[:top]]
    mean = float(found[allowed].mean()) if len(allowed) else 0.0
    return Near(rows, found[rows], mean)


def analogy(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """(D,): what is to c as b is to a, which `nearest` then looks for: 3CosAdd (Mikolov,
    Yih & Zweig 2013, section 4; Levy & Goldberg 2014, equation 1), b - a + c of vectors
    of length 1."""
    return unit(b) - unit(a) + unit(c)


def mean(vectors: np.ndarray) -> np.ndarray:
    """(n, ..., D) -> (...), float64: the mean cosine of two different ones; 0 of one.

    Of vectors that point everywhere it is 0; how far above is how narrow the cone is
    that they crowd in (Ethayarajh 2019, sections 3.4 and 4.1).
    """
    rows = unit(np.asarray(vectors, np.float64))
    count, own = len(rows), (rows**2).sum(-1).sum(0)
    pairs = (rows.sum(0) ** 2).sum(-1) - own
    return pairs / max(count * (count - 1), 1)


def spread(items: Sequence[str], count: int) -> list[str]:
    """As many of them or fewer, evenly from first to last."""
    count = min(count, len(items))
    return [items[number * len(items) // count] for number in range(count)]
