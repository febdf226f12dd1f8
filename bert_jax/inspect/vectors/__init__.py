"""Vectors of a word in its sentences: their similarity, and the senses they tell."""

from bert_jax.inspect.vectors.main import (
    VectorRequest,
    around,
    find,
    locate,
    neighbours,
    others,
    read,
    request,
    self_similarity,
)

__all__ = [
    "VectorRequest",
    "around",
    "find",
    "locate",
    "neighbours",
    "others",
    "read",
    "request",
    "self_similarity",
]
