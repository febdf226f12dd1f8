"""What every head of every layer attends to in a text, and what heads do on average."""

from bert_jax.inspect.attention.main import (
    Attention,
    Place,
    Request,
    find,
    locate,
    of_text,
    places,
    request,
)

__all__ = [
    "Attention",
    "Place",
    "Request",
    "find",
    "locate",
    "of_text",
    "places",
    "request",
]
