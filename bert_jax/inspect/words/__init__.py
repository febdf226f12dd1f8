"""Nearest words, analogies, cosines, and agreement with what people find alike: of the"""

from bert_jax.inspect.words.main import Request, find, request

__all__ = ["Request", "find", "request"]
