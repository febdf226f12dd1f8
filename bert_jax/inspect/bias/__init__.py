"""Associations of the vectors of words and sentences, a direction that pairs of words"""

from bert_jax.inspect.bias.main import Request, find, request

__all__ = ["Request", "find", "request"]
