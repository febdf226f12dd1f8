"""Association tests, the direction of word pairs, and the effects of its removal."""

from bert_jax.inspect.bias.main import BiasRequest, find, request

__all__ = ["BiasRequest", "find", "request"]
