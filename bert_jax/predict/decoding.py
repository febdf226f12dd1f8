"""Logits of the next token, with the keys and values of the tokens before in a cache."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.models import network as networks
from bert_jax.predict import batches
from bert_jax.predict.batches import Row
from bert_jax.predict.model import Model
from bert_jax.tasks.examples import rounded


class CachedReader:
    """Reads a text that grows by a token at a time: each token once, as long as all fit
    `width` tokens with the first special one; then the last of them anew."""

    def __init__(self, model: Model, width: int):
        self._model, self._width = model, width
        self._cache: Any = None
        self._read: list[int] = []

    def next_logits(self, ids: list[int]) -> np.ndarray:
        """(V,) float32: the logits of the token after `ids`."""
        framed = [self._model.tokenizer.cls_id, *ids]
        shares = self._model.network.config.share in ("all", "attention")
        if len(framed) > self._width or shares:
            return next_logits(self._model, ids, self._width)
        goes_on = framed[: len(self._read)] == self._read != framed
        if self._cache is None or not goes_on:
            self._forget()
        new = framed[len(self._read) :]
        room = self._width - len(self._read)
        size = min(rounded(len(new)), room) if len(new) > 1 else 1
        row = np.full((1, size), self._model.tokenizer.pad_id, np.int32)
        row[0, : len(new)] = new
        batch = {
            "ids": jnp.asarray(row),
            "types": jnp.zeros_like(row),
            "lengths": jnp.array([len(framed)], jnp.int32),
            "positions": jnp.array([[len(new) - 1]], jnp.int32),
        }
        network, params = self._model.network, self._model.params
        logits, cache = _decode(network, params, self._cache, batch)
        # What stands in the padding is written over by the tokens that follow.
        self._cache = jax.tree.map(
            lambda leaf: leaf if leaf.ndim else jnp.full_like(leaf, len(framed)), cache
        )
        self._read = framed
        return np.asarray(logits[0, 0])

    def _forget(self) -> None:
        config = self._model.network.config
        self._cache, self._read = networks.empty_cache(config, 1, self._width), []


_decode = jax.jit(networks.decode, static_argnums=0)


def next_logits(model: Model, ids: list[int], width: int) -> np.ndarray:
    """(V,) float32: logits of the token after `ids`, whose last width - 1 are read.

    One width of a text is one compilation.
    """
    known = [model.tokenizer.cls_id, *ids[max(len(ids) - width + 1, 0) :]]
    row = Row(np.array(known, np.int32), np.zeros(len(known), np.int32), [])
    batch = batches.batch([row], 1, width, model.tokenizer.pad_id)
    batch["positions"] = batch["lengths"][:, None] - 1
    return model.outputs(("logits",), batch)["logits"][0, 0]
