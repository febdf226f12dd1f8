"""Likelihoods of sentences, token by token, and preferences between two sentences."""

from bert_jax.inspect.score.main import (
    ScoredText,
    ScoreRequest,
    arrays,
    find,
    mean,
    nats,
    request,
)

__all__ = ["ScoreRequest", "ScoredText", "arrays", "find", "mean", "nats", "request"]
