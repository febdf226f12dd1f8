"""Attention maps of a text in every head, and statistics of heads over texts."""

from bert_jax.inspect.attention.main import (
    Attention,
    AttentionRequest,
    WordPlace,
    find,
    locate,
    of_text,
    places,
    request,
)

__all__ = [
    "Attention",
    "AttentionRequest",
    "WordPlace",
    "find",
    "locate",
    "of_text",
    "places",
    "request",
]
