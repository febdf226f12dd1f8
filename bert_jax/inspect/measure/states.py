"""Vectors of every layer, of texts and of words in them: from the device to numpy.

Layers are numbered as `objective.layers` has them: 0 are the embeddings, k is the output
of block k, and the last is what heads read, the final norm included.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bert_jax.predict import batches
from bert_jax.predict.batches import BATCH, Row, finite, power
from bert_jax.predict.model import Model
from bert_jax.run.config import UsageError
from bert_jax.tasks.examples import rounded

WORD = 4  # tokens of a word by itself: half the work of the least width of examples
LAST_FOUR = "last_4"  # the last four layers side by side (Devlin et al. 2019, 5.3)


def rows(
    model: Model, texts: Sequence[str], pairs: Sequence[str] | None = None
) -> list[Row]:
    """CLS text SEP (pair SEP), cut to the positions that the model has."""
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
    averages: list[Any] = [None] * len(rows)
    lengths = np.array([len(row.ids) for row in rows], int)
    order = np.argsort(lengths, kind="stable")
    for chosen in batches.slices(lengths[order], lambda length: BATCH):
        numbers = order[chosen]
        lines = [weights[i] for i in numbers]
        batch = _batch(model, [rows[i] for i in numbers], lines)
        names = ("states", "hidden")
        read = batches.read(model.network, names, _averages, model.params, batch)
        sums = finite(np.asarray(read)[: len(numbers)], model.step)
        for number, vectors in zip(numbers, sums):
            averages[number] = vectors[: len(weights[number])]
    return averages


def of_texts(
    model: Model, texts: Sequence[str], pool: str, pairs: Sequence[str] | None = None
) -> np.ndarray:
    """(n, L + 1, D) float32: of each text the "mean" over its tokens, special ones
    included; over its "pieces" alone, zeros of a text without any; or its "first",
    CLS."""
    return of_rows(model, rows(model, texts, pairs), pool)


def of_rows(model: Model, read: Sequence[Row], pool: str) -> np.ndarray:
    """`of_texts` of what is in rows already."""
    lines = [_pooling(row, pool)[None] for row in read]
    return _stack(model, averages(model, read, lines))


def of_spans(
    model: Model, texts: Sequence[str], spans: Sequence[tuple[int, int]]
) -> np.ndarray:
    """(n, L + 1, D) float32: of each text the mean over the tokens that share a
    character with its span [start, end). UsageError where none does."""
    read = rows(model, texts)
    lines = []
    for row, text, span in zip(read, texts, spans, strict=True):
        lines.append(touching(model, row, text, span)[None])
    return _stack(model, averages(model, read, lines))


def touching(model: Model, row: Row, text: str, span: tuple[int, int]) -> np.ndarray:
    """(T,) float32 of sum 1: equal weights on the tokens of a span of characters.

    UsageError where there is none, as the text is cut or nothing of it is visible.
    """
    start, end = span
    inside = [a < end and b > start for a, b in row.offsets]
    places = np.array(inside, bool) & (model.tokenizer.segments(row.ids) == 0)
    if not places.any():
        cut = len(row.ids) == model.max_length
        reason = f"the text is cut to {model.max_length} tokens" if cut else "no token"
        raise UsageError(f"{text[start:end]!r} has no vector in {text!r}: {reason}")
    return (places / places.sum()).astype(np.float32)


def count(model: Model) -> int:
    """The number of layers with the embeddings, L + 1."""
    return model.config.model.num_layers + 1


def names(model: Model) -> list[str]:
    """Names of the layers: "embeddings", "1", ..., "L"."""
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
) -> dict[str, np.ndarray]:
    """BATCH rows of one width with their `weights`, (BATCH, K, width)."""
    longest = max(len(row.ids) for row in rows)
    width = WORD if longest <= WORD else rounded(longest)
    width = min(width, model.max_length)
    most = max(len(lines) for lines in weights)
    padded = np.zeros((BATCH, power(most), width), np.float32)
    for row, lines in enumerate(weights):
        padded[row, : len(lines), : lines.shape[1]] = lines
    batch = batches.batch(rows, BATCH, width, model.tokenizer.pad_id)
    return batch | {"weights": padded}


def _averages(outputs: dict[str, Any], batch: dict) -> Float[Array, "B K L D"]:
    layers = [*outputs["states"][:-1], outputs["hidden"]]
    states = jnp.stack([layer.astype(jnp.float32) for layer in layers])
    weights = batch["weights"]
    return jnp.einsum("BKT,LBTD->BKLD", weights, states, precision="highest")
