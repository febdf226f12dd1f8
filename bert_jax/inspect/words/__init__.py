"""Nearest words, analogies, cosines, and agreement with human similarity judgements."""

from bert_jax.inspect.words.main import WordRequest, find, request

__all__ = ["WordRequest", "find", "request"]
