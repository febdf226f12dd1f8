"""dot, attention, dropout, embed: the only place that picks a backend."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key, Shaped

MASKED = -1e30  # finite, so that no arithmetic on scores can make a nan


def dot(lhs, rhs, dimension_numbers, precision=None, preferred_element_type=None):
    """Multiply vectors by a matrix, as `nn.Dense(dot_general=...)` asks for it.

    The vectors are the rows of one long matrix: with several leading dimensions XLA
    transposes them in the backward pass, which costs the CPU a tenth of a step.
    """
    (_, contracted), _ = dimension_numbers
    rows = lhs.reshape(-1, lhs.shape[-1])
    product = lax.dot_general(
        rows, rhs, (((1,), contracted), ((), ())), precision, preferred_element_type
    )
    return product.reshape(*lhs.shape[:-1], -1)


def attention(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B S N H"],
    value: Float[Array, "B S N H"],
    *,
    lengths: Int[Array, "B"],
    causal: bool,
    rate: float,
    keys: Key[Array, "B"] | None,
    record: bool,
) -> tuple[Float[Array, "B T N H"], Float[Array, "B N T S"] | None]:
    """Attend by scaled dot products (Vaswani et al. 2017, equation 1).

    Keys at or after a row's length get a weight of exactly zero. Weights come back
    only if `record` is set: in float32, before dropout.
    """
    # A row of no tokens attends to its first position: a softmax needs one.
    lengths = jnp.maximum(lengths, 1)
    if _fused(query, dropping=keys is not None and rate > 0, record=record):
        attended = jax.nn.dot_product_attention(
            query,
            key,
            value,
            is_causal=causal,
            key_value_seq_lengths=lengths.astype(jnp.int32),
            implementation="cudnn",
        )
        return attended, None
    scores = jnp.einsum(
        "BTNH,BSNH->BNTS", query, key, preferred_element_type=jnp.float32
    )
    visible = _visible(query.shape[1], key.shape[1], lengths, causal)
    scores = jnp.where(visible, scores * query.shape[-1] ** -0.5, MASKED)
    weights = jax.nn.softmax(scores, axis=-1)
    dropped = dropout(weights.astype(value.dtype), rate, keys)
    attended = jnp.einsum("BNTS,BSNH->BTNH", dropped, value)
    return attended, weights if record else None


def _fused(query: Array, *, dropping: bool, record: bool) -> bool:
    """Whether cuDNN's flash attention can do this: it drops and returns no weights."""
    return (
        "NVIDIA" in jax.devices()[0].device_kind
        and query.dtype in (jnp.bfloat16, jnp.float16)
        and query.shape[-1] % 8 == 0
        and query.shape[-1] <= 128
        and not (dropping or record)
    )


def _visible(
    queries: int, keys: int, lengths: Int[Array, "B"], causal: bool
) -> Bool[Array, "B 1 #T S"]:
    """Which keys each query may see."""
    place = jnp.arange(keys)[None, None, None, :]
    inside = place < lengths[:, None, None, None]
    if not causal:
        return inside
    return inside & (place <= jnp.arange(queries)[None, None, :, None])


def dropout(
    x: Float[Array, "B *row"], rate: float, keys: Key[Array, "B"] | None
) -> Float[Array, "B *row"]:
    """Zero a share of the entries and rescale the rest (Srivastava et al. 2014).

    A site costs eight random bits, so `rate` is rounded to a multiple of 1/256 and
    the scale is exact for the rounded rate. Bits depend on a row's own key and on
    nothing else, so neither devices nor neighbours in the batch change them.
    """
    threshold = min(round(rate * 256), 255)
    if keys is None or threshold == 0:
        return x
    *lead, last = x.shape[1:]
    shape = (*lead, -(-last // 4))  # of the words: four sites in each, rounded up
    words = jax.vmap(lambda key: jax.random.bits(key, shape, jnp.uint32))(keys)
    sites = lax.bitcast_convert_type(words, jnp.uint8).reshape(*x.shape[:-1], -1)
    scaled = x * (256 / (256 - threshold))
    return jnp.where(sites[..., :last] >= threshold, scaled, 0)


def embed(
    table: Float[Array, "V D"], ids: Int[Array, "*ids"]
) -> Float[Array, "*ids D"]:
    """Look rows up in the table's own float32; cast afterwards.

    Casting first would make the table's gradient a low-precision scatter-add, slow
    and inexact. An id beyond the table reads nan, which no loss survives unseen.
    """
    return jnp.take(table, ids, axis=0, mode="fill")


def gather(
    x: Shaped[Array, "B T D"], positions: Int[Array, "B P"]
) -> Shaped[Array, "B P D"]:
    """Pick positions of each row by a one-hot product: no scatter in its gradient."""
    one_hot = jax.nn.one_hot(positions, x.shape[1], dtype=x.dtype)
    # The highest precision keeps the picked values exact where dots are rounded.
    return jnp.einsum("BPT,BTD->BPD", one_hot, x, precision=lax.Precision.HIGHEST)
