"""The vectors of a word in its sentences: how like each other they are, and whether they"""

from bert_jax.inspect.vectors.main import (
    Request,
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
    "Request",
    "around",
    "find",
    "locate",
    "neighbours",
    "others",
    "read",
    "request",
    "self_similarity",
]
