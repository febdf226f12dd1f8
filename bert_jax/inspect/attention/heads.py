"""Statistics of every head over texts: its entropy, its mean distance, and the
shares of its weight (Clark et al. 2019, section 3).

Every token of a text is a query, [CLS] and [SEP] as well; padding is none. A mean is
over all queries of all texts, so that a long text counts for more than a short one.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from bert_jax.inspect.measure import states
from bert_jax.predict import batches
from bert_jax.predict.batches import BATCH, Row, finite, power
from bert_jax.predict.model import Model

BLOCK = 1024  # texts that are tokens at once
CELLS = 2**20  # of a batch in one head: its maps of long texts fill the memory
# Of each measure what it is, with a the weights of one query.
MEASURES = {
    "entropy": "−Σ a ln a, in nats: 0 where one token gets all, ln T where T tokens "
    "get the same (Clark et al. 2019, section 3.3)",
    "distance": "Σ a |i − j| of the query at i and the tokens at j, in tokens (Vig & "
    "Belinkov 2019)",
    "on [SEP]": "the weight on all [SEP] of the text (Clark et al. 2019, section 3.2)",
    "on [CLS]": "the weight on [CLS]",
    "on itself": "the diagonal of the map, the weight on the query's own token "
    "(Clark et al. 2019, section 3.1)",
    "on previous": "the weight on the token before the query, where there is one",
    "on next": "the weight on the token after the query, where there is one",
}
ABSENT = ("on previous", "on next")  # what one token of each text has not


class Statistics(NamedTuple):
    """measures: by the names of MEASURES (L, N) float64, means over the queries.
    uniform: the same of a head that gives all visible tokens the same weight."""

    measures: dict[str, np.ndarray]
    uniform: dict[str, float]
    texts: int
    queries: int
    cut: int  # texts that do not fit the positions of the model
    unseen: int  # texts with positions that the run was not trained on


def of_texts(
    model: Model, texts: Sequence[str], pairs: Sequence[str] | None = None
) -> Statistics:
    """The statistics of all heads over one text or more (or texts and their pairs).

    Weights never leave the device: of each text its sums do, which are added up in
    float64.
    """
    config = model.config.model
    shape = (len(MEASURES), config.num_layers, config.num_heads)
    sums, uniform = np.zeros(shape), np.zeros(len(MEASURES))
    queries = cut = unseen = 0
    for begin in range(0, len(texts), BLOCK):
        end = begin + BLOCK
        block, seconds = texts[begin:end], pairs[begin:end] if pairs else None
        rows = states.rows(model, block, seconds)
        longest_first = sorted(rows, key=lambda row: -len(row.ids))
        lengths = np.array([len(row.ids) for row in longest_first])
        for chosen in batches.slices(lengths, _most):
            together = longest_first[chosen]
            of_heads, of_uniform = _sums(model, together)
            sums += of_heads[: len(together)].sum(0)
            uniform += of_uniform[: len(together)].sum(0)
        queries += sum(len(row.ids) for row in rows)
        unseen += sum(len(row.ids) > model.config.data.length for row in rows)
        for number, row in enumerate(rows):
            pair = seconds[number] if seconds else None
            cut += is_cut(model, row, block[number], pair)
    counts = {name: queries - len(texts) * (name in ABSENT) for name in MEASURES}
    return Statistics(
        {name: sums[i] / counts[name] for i, name in enumerate(MEASURES)},
        {name: float(uniform[i] / counts[name]) for i, name in enumerate(MEASURES)},
        len(texts),
        queries,
        cut,
        unseen,
    )


def is_cut(model: Model, row: Row, text: str, pair: str | None) -> bool:
    """Whether a row lacks something of its text or pair: the model has too few
    positions."""
    if len(row.ids) < model.max_length:
        return False
    pairs = None if pair is None else [pair]
    # A character may be parted in several before it is read: a Korean one in three.
    tokens = 8 * (len(text) + len(pair or ""))
    room = tokens + model.tokenizer.special_count(pair is not None)
    coded = model.tokenizer.encode_inputs([text], pairs, room, pad=False)
    return int(coded["lengths"][0]) > model.max_length


def _most(length: int) -> int:
    """The rows of a batch whose longest has so many tokens."""
    return max(1, min(BATCH, CELLS // power(length) ** 2))


def _sums(model: Model, rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Sums over the queries of each row, float64: of every measure of every head, (B,
    M, L, N), and of a uniform head, (B, M). The longest row stands first."""
    longest, tokenizer = len(rows[0].ids), model.tokenizer
    width = min(power(longest), model.max_length)
    batch = batches.batch(rows, _most(longest), width, tokenizer.pad_id)
    batch["special"] = np.array([tokenizer.sep_id, tokenizer.cls_id], np.int32)
    causal = model.config.model.attention == "causal"
    measure = _measure_causal if causal else _measure_bidirectional
    read = batches.read(model.network, ("attention",), measure, model.params, batch)
    of_heads, of_uniform = finite(read, model.step)
    return np.asarray(of_heads, np.float64), np.asarray(of_uniform, np.float64)


def _measure(
    outputs: dict[str, Any], batch: Any, causal: bool
) -> tuple[Float[Array, "B M L N"], Float[Array, "B M"]]:
    place = jnp.arange(batch["ids"].shape[1])
    seen = (place[None] < batch["lengths"][:, None])[:, None, None, :]
    if causal:
        seen = seen & (place[None, :] <= place[:, None])[None, None]
    seen = jnp.broadcast_to(seen, (*seen.shape[:2], len(place), len(place)))
    uniform = seen / seen.sum(-1, keepdims=True)
    sums = [_measured(weights, batch) for weights in outputs["attention"]]
    return jnp.stack(sums, axis=2), _measured(uniform, batch)[..., 0]


_measure_causal = partial(_measure, causal=True)
_measure_bidirectional = partial(_measure, causal=False)


def _measured(weights: Float[Array, "B N T S"], batch: Any) -> Float[Array, "B M N"]:
    """The measures of MEASURES, in order, summed over the queries of each row."""
    ids, place = batch["ids"], jnp.arange(batch["ids"].shape[1])
    gap = place[None, :] - place[:, None]
    special = ids[:, None, :] == batch["special"][None, :, None]
    places = jnp.stack([abs(gap), gap == 0, gap == -1, gap == 1])
    query = (place[None] < batch["lengths"][:, None]).astype(jnp.float32)

    def total(subscripts: str, *factors: Array) -> Array:
        return jnp.einsum(
            subscripts,
            *[x.astype(jnp.float32) for x in factors],
            precision=lax.Precision.HIGHEST,
        )

    entropy = total("BNTS,BT->BN", jax.scipy.special.entr(weights), query)
    on_places = total("BNTS,MTS,BT->BMN", weights, places, query)
    on_special = total("BNTS,BMS,BT->BMN", weights, special, query)
    parts = [entropy[:, None], on_places[:, :1], on_special, on_places[:, 1:]]
    return jnp.concatenate(parts, axis=1)
