"""Vectors of every layer, of texts and of words in them: from the device to numpy.

Layers are numbered as `objective.layers` has them: 0 are the embeddings, k is the output
of block k, and the last is what heads read, the final norm included.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bert_jax.models import network as networks
from bert_jax.models.network import Network
from bert_jax.predict.model import Model
from bert_jax.predict.reader import BATCH, finite, power
from bert_jax.run.config import UsageError
from bert_jax.tasks.examples import rounded

WORD = 4  # tokens of a word by itself: half the work of the least width of examples
LAST_FOUR = "last_4"  # the last four layers side by side (Devlin et al. 2019, 5.3)


class Row(NamedTuple):
    """What the network reads at once. offsets: the characters of each piece in its text,
    or in the pair where `types` is 1; (0, 0) of [CLS] and [SEP]."""

    ids: np.ndarray  # (T,) int32
    types: np.ndarray  # (T,) int32
    offsets: list[tuple[int, int]]


def rows(
    model: Model, texts: Sequence[str], pairs: Sequence[str] | None = None
) -> list[Row]:
    """[CLS] text [SEP] (pair [SEP]), cut to the positions that the model has."""
    coded = model.encode(texts, pairs)
    return [
        Row(ids[:count], types[:count], offsets[:count])
        for ids, types, count, offsets in zip(
            coded["ids"], coded["types"], coded["lengths"], coded["offsets"]
        )
    ]


def averages(
    model: Model, rows: Sequence[Row], weights: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """(K, L + 1, D) float32 of each row: in every layer the averages of its T vectors
    by the K lines of its weights, (K, T), each of sum 1."""
    found: list[Any] = [None] * len(rows)
    order = sorted(range(len(rows)), key=lambda number: len(rows[number].ids))
    for begin in range(0, len(order), BATCH):
        own = order[begin : begin + BATCH]
        batch, line = _batch(model, [rows[i] for i in own], [weights[i] for i in own])
        sums = np.asarray(_averages(model.network, model.params, batch, line))
        finite(sums[: len(own)], model.step)
        for number, vectors in zip(own, sums):
            found[number] = vectors[: len(weights[number])]
    return found


def padded(model: Model, rows: Sequence[Row], width: int) -> dict[str, np.ndarray]:
    """A batch of these rows, ids and types (B, width) and lengths (B,)."""
    ids = np.full((len(rows), width), model.tokenizer.pad_id, np.int32)
    types = np.zeros((len(rows), width), np.int32)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = row.ids
        types[i, : len(row.ids)] = row.types
    lengths = np.array([len(row.ids) for row in rows], np.int32)
    return {"ids": ids, "types": types, "lengths": lengths}


def of_texts(
    model: Model, texts: Sequence[str], pool: str, pairs: Sequence[str] | None = None
) -> np.ndarray:
    """(n, L + 1, D) float32: of each text the "mean" over its tokens, [CLS] and [SEP]
    included; over its "pieces" alone, zeros of a text without any; or its "first",
    [CLS]."""
    return of_rows(model, rows(model, texts, pairs), pool)


def of_rows(model: Model, read: Sequence[Row], pool: str) -> np.ndarray:
    """`of_texts` of what is in rows already."""
    lines = [_pooling(row, pool)[None] for row in read]
    return _stack(model, averages(model, read, lines))


def of_spans(
    model: Model, texts: Sequence[str], spans: Sequence[tuple[int, int]]
) -> np.ndarray:
    """(n, L + 1, D) float32: of each text the mean over the pieces that share a
    character with its span [start, end). UsageError where none does."""
    read = rows(model, texts)
    lines = []
    for row, text, span in zip(read, texts, spans, strict=True):
        lines.append(touching(model, row, text, span)[None])
    return _stack(model, averages(model, read, lines))


def touching(model: Model, row: Row, text: str, span: tuple[int, int]) -> np.ndarray:
    """(T,) float32 of sum 1: equal weights on the pieces of a span of characters.

    UsageError where there is none, as the text is cut or nothing of it is visible.
    """
    start, end = span
    inside = [a < end and b > start for a, b in row.offsets]
    places = np.array(inside, bool) & (row.types == 0)
    if not places.any():
        cut = len(row.ids) == model.max_length
        reason = f"the text is cut to {model.max_length} tokens" if cut else "no piece"
        raise UsageError(f"{text[start:end]!r} has no vector in {text!r}: {reason}")
    return (places / places.sum()).astype(np.float32)


def count(model: Model) -> int:
    """The number of layers with the embeddings, L + 1."""
    return model.config.model.num_layers + 1


def names(model: Model) -> list[str]:
    """Of all layers: "embeddings", "1", ..., "L"."""
    return ["embeddings", *(str(layer) for layer in range(1, count(model)))]


def layer(model: Model, text: str, option: str = "--layer") -> int:
    """The number that "last", or a number from 0, says. UsageError out of range."""
    last = count(model) - 1
    if text == "last":
        return last
    if not text.isdigit() or int(text) > last:
        raise UsageError(
            f"{option}={text} is no layer of this run: it has 0, the embeddings, to "
            f"{last}"
        )
    return int(text)


def select(model: Model, states: np.ndarray, text: str) -> np.ndarray:
    """(..., L + 1, D) -> (..., D), or (..., 4 D) of "last_4"; as `layer` else."""
    if text != LAST_FOUR:
        return states[..., layer(model, text), :]
    if count(model) < 4:
        raise UsageError(f"--layer={text}: this run has {count(model)} layers in all")
    return states[..., -4:, :].reshape(*states.shape[:-2], -1)


def _pooling(row: Row, pool: str) -> np.ndarray:
    """(T,) float32 of sum 1, or of zeros."""
    line = np.ones(len(row.ids), np.float32)
    if pool == "first":
        line[1:] = 0
    elif pool == "pieces":
        line[:] = [end > start for start, end in row.offsets]
    return line / max(line.sum(), 1)


def _stack(model: Model, found: list[np.ndarray]) -> np.ndarray:
    shape = (-1, count(model), model.config.model.model_dim)
    return np.array(found, np.float32).reshape(shape)


def _batch(
    model: Model, rows: list[Row], weights: list[np.ndarray]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """BATCH rows of one width, and their weights; the last row fills up."""
    rows = rows + rows[-1:] * (BATCH - len(rows))
    longest = max(len(row.ids) for row in rows)
    width = WORD if longest <= WORD else rounded(longest)
    width = min(width, model.max_length)
    most = max(len(line) for line in weights)
    line = np.zeros((BATCH, power(most), width), np.float32)
    for i, own in enumerate(weights):
        line[i, : len(own), : own.shape[1]] = own
    return padded(model, rows, width), line


@partial(jax.jit, static_argnums=0)
def _averages(
    network: Network, params: Any, batch: Any, weights: Float[Array, "B K T"]
) -> Float[Array, "B K L D"]:
    outputs = networks.predict(network, params, batch)
    layers = [*outputs["states"][:-1], outputs["hidden"]]
    states = jnp.stack([layer.astype(jnp.float32) for layer in layers])
    return jnp.einsum("BKT,LBTD->BKLD", weights, states, precision="highest")
