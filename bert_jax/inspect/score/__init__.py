"""How likely sentences are, piece by piece, and which of two the model prefers."""

from bert_jax.inspect.score.main import Request, Text, arrays, find, mean, nats, request

__all__ = ["Request", "Text", "arrays", "find", "mean", "nats", "request"]
