"""Stateless random numbers: hashes of names and numbers, computable in any order."""

from functools import lru_cache

import numpy as np

from bert_jax.run.config import stream

_stream = lru_cache(maxsize=1024)(stream)  # every batch uses a few dozen names


def uniform(
    seed: int, versions: np.ndarray, examples: np.ndarray, name: str
) -> np.ndarray:
    """(B,) in [0, 1): hashes of (seed, name, version, example)."""
    bits = hashes(_stream(seed, "pairs", name), versions, examples)
    return (bits >> np.uint64(11)) * 2.0**-53


def between(low: np.ndarray | int, high: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Integers of [low, high); low if that is empty."""
    return low + (uniform * np.maximum(high - low, 0)).astype(np.int64)


def hashes(key: int, versions: np.ndarray, examples: np.ndarray) -> np.ndarray:
    """(B,) uint64: hashes of (key, version, example)."""
    mixed = _mix(np.uint64(key) + versions.astype(np.uint64))
    return _mix(mixed + examples.astype(np.uint64))


def permutation(key: int, version: int, count: int) -> np.ndarray:
    """(count,): a permutation determined by (key, version)."""
    draws = hashes(key, np.array([version]), np.arange(count))
    return np.argsort(draws, kind="stable")


def _mix(x: np.ndarray) -> np.ndarray:
    """splitmix64 of each number (Steele, Lea & Flood 2014, figure 13)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
