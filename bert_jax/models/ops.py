"""dot, attention, dropout, embed and their kin: the only place that picks a backend.

What each choice was predicted to gain, and what it gained, stands in
`benchmarks/NOTES.md`.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Key, Shaped

from bert_jax.models import lookup, random_bits

MASKED = -1e30  # finite, so that no arithmetic on scores can make a nan
WIDE = 8192  # entries of a row


def device_kind() -> str:
    """The kind of device that is traced for: cpu, TPU v5 lite, NVIDIA H100.

    The devices of the mesh in use (as `plan` sets one; JAX tells programs apart by it),
    or else those at hand. `lax.platform_dependent` serves in gradients that are written
    by hand; elsewhere it would hide products from remat's policy, and the backward pass
    would keep what any branch saves.
    """
    device = jax.sharding.get_abstract_mesh().abstract_device
    return (device or jax.devices()[0]).device_kind


def _nvidia() -> bool:
    return "NVIDIA" in device_kind()


def dot(
    x: Float[Array, "*B D"], matrix: Float[Array, "..."], *, axis: int, dtype: DTypeLike
) -> Float[Array, "*B F"]:
    """Contract the last axis of x with an axis of a matrix.

    In float32 the vectors are the rows of one long matrix: with several leading
    dimensions XLA transposes them in the backward pass, which costs the CPU a tenth of
    a step.
    """
    spec = ("{0}D,DF->{0}F", "{0}D,FD->{0}F")[axis]
    if x.dtype != jnp.float32:
        return product(spec.format("BTU"[: x.ndim - 1]), x, matrix, dtype)
    rows = product(spec.format("B"), x.reshape(-1, x.shape[-1]), matrix, dtype)
    return rows.reshape(*x.shape[:-1], -1)


def decode(x: Float[Array, "*B D"], table: Float[Array, "V D"]) -> Float[Array, "*B V"]:
    """The logits of every row of a table, in float32.

    For NVIDIA the table gets rows up to a multiple of 128, and no caller sees theirs:
    its matrix units read whole tiles, or else XLA copies both sides to pad them.
    """
    padding = -table.shape[0] % 128 if _nvidia() else 0
    rows = jnp.pad(table.astype(x.dtype), ((0, padding), (0, 0)))
    return dot(x, rows, axis=1, dtype=jnp.float32)[..., : table.shape[0]]


def product(spec: str, lhs: Array, rhs: Array, dtype: DTypeLike) -> Array:
    """The einsum of two arrays, its sums in float32 whatever the arrays are."""
    if lhs.dtype == jnp.float32:
        return jnp.einsum(spec, lhs, rhs, preferred_element_type=dtype)
    return _narrow(spec, lhs, rhs, jnp.dtype(dtype))


@partial(jax.custom_vjp, nondiff_argnums=(0, 3))
def _narrow(spec, lhs, rhs, dtype):
    """A product of 16-bit arrays whose gradients are such products too.

    The gradient that arrives is rounded to 16 bits first: left in float32, as that of
    scores and logits is, it would keep both products off the matrix units.
    """
    # XLA's CPU has a kernel for AMX only where the result is float32 as well; the
    # others sum in float32 of themselves, and need not write it out.
    wide = jnp.float32 if device_kind() == "cpu" else dtype
    return jnp.einsum(spec, lhs, rhs, preferred_element_type=wide).astype(dtype)


def _narrow_backward(spec, dtype, operands, gradient):
    (lhs, rhs), (ins, out) = operands, spec.split("->")
    left, right = ins.split(",")
    gradient = gradient.astype(lhs.dtype)
    return (
        _narrow(f"{out},{right}->{left}", gradient, rhs, lhs.dtype),
        _narrow(f"{out},{left}->{right}", gradient, lhs, rhs.dtype),
    )


_narrow.defvjp(
    lambda spec, lhs, rhs, dtype: (_narrow(spec, lhs, rhs, dtype), (lhs, rhs)),
    _narrow_backward,
)


@jax.custom_vjp
def add(
    x: Float[Array, "*rows_and_row"], row: Float[Array, "*row"]
) -> Float[Array, "*rows_and_row"]:
    """Add one array to every row; its gradient sums the rows in float32."""
    return x + row.reshape(*(1,) * (x.ndim - row.ndim), *row.shape)


def _add_backward(row, gradient):
    rows = gradient.reshape(-1, row.size).astype(jnp.float32)
    # XLA's CPU sums wide or 16-bit rows up to ten times slower than it multiplies them
    # by ones; others as fast, and with less rounding.
    slow = row.size > WIDE or gradient.dtype != "float32"
    on_cpu = _times_ones if slow else _sum
    total = lax.platform_dependent(rows, cpu=on_cpu, default=_sum)
    return gradient, total.astype(row.dtype).reshape(row.shape)


def _sum(rows: Float[Array, "B D"]) -> Float[Array, "D"]:
    return rows.sum(0)


def _times_ones(rows: Float[Array, "B D"]) -> Float[Array, "D"]:
    return jnp.dot(jnp.ones(rows.shape[0]), rows, precision=lax.Precision.HIGHEST)


add.defvjp(lambda x, row: (add(x, row), row), _add_backward)


@jax.custom_vjp
def gelu(x: Float[Array, "*x"]) -> Float[Array, "*x"]:
    """x times the chance that a normal number is smaller (Hendrycks & Gimpel 2016).

    Computed in float32. The backward pass keeps `x` alone and computes the rest again:
    arithmetic is cheaper than a float32 copy of the widest layer.
    """
    wide = x.astype(jnp.float32)
    return (wide * _smaller(wide)).astype(x.dtype)


def _gelu_backward(x, gradient):
    wide = x.astype(jnp.float32)
    density = jnp.exp(-0.5 * wide * wide) * (2 * jnp.pi) ** -0.5
    return ((gradient * (_smaller(wide) + wide * density)).astype(x.dtype),)


gelu.defvjp(lambda x: (gelu(x), x), _gelu_backward)


def _smaller(x: Float[Array, "*x"]) -> Float[Array, "*x"]:
    return 0.5 * (1 + lax.erf(x * 0.5**0.5))


def attention(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B S N H"],
    value: Float[Array, "B S N H"],
    *,
    lengths: Int[Array, "B"],
    causal: bool,
    window: int,
    slopes: Float[np.ndarray, "N"] | None,
    first: Int[Array, ""] | int,
    rate: float,
    keys: Key[Array, "B"] | None,
    record: bool,
) -> tuple[Float[Array, "B T N H"], Float[Array, "B N T S"] | None]:
    """Attend by scaled dot products (Vaswani et al. 2017, equation 1).

    Keys at or after a row's length get a weight of exactly zero, and so do those more
    than window // 2 away, unless `window` is 0. `slopes` lower each head's scores by
    the distance. The first query stands at the key of number `first`. Weights come back
    only if `record` is set: in float32, before dropout.
    """
    # A row of no tokens attends to its first position: a softmax needs one.
    lengths = jnp.maximum(lengths, 1)
    if window // 2 + 1 >= key.shape[1]:
        window = 0
    dropping = keys is not None and rate > 0
    plain = window == 0 and slopes is None and isinstance(first, int)
    if plain and _fused(query, dropping=dropping, record=record):
        attended = jax.nn.dot_product_attention(
            query,
            key,
            value,
            is_causal=causal,
            key_value_seq_lengths=lengths.astype(jnp.int32),
            implementation="cudnn",
        )
        return attended, None
    # Heads outside first, by hand: XLA would do so later, and worse.
    query, key, value = (x.swapaxes(1, 2) for x in (query, key, value))
    scores = product("BNTH,BNSH->BNTS", query, key, jnp.float32)
    scores *= query.shape[-1] ** -0.5
    distance = _distances(query.shape[2], key.shape[2], first)
    if slopes is not None:
        scores -= jnp.asarray(slopes, jnp.float32)[None, :, None, None] * abs(distance)
    visible = _visible(distance, lengths, causal, window)
    scores = jnp.where(visible, scores, MASKED)
    dropped = _weigh(scores, keys, rate, value.dtype)
    attended = product("BNTS,BNSH->BNTH", dropped, value, value.dtype)
    weights = jax.nn.softmax(scores, axis=-1) if record else None
    return attended.swapaxes(1, 2), weights


def _weighed(
    scores: Float[Array, "B N T S"],
    keys: Key[Array, "B"] | None,
    rate: float,
    dtype: DTypeLike,
) -> Float[Array, "B N T S"]:
    """A softmax in float32, rounded once, then dropout."""
    return _weighed_forward(scores, keys, rate, dtype)[0]


def _weighed_forward(scores, keys, rate, dtype):
    weights = jax.nn.softmax(scores, axis=-1).astype(dtype)
    dropped = dropout(weights, rate, keys)
    return dropped, (weights, dropped)


def _weighed_backward(rate, dtype, saved, gradient):
    """weights * (gradient that dropout lets through - its mean), written so that what
    was dropped tells which passed: neither bits nor a mask are needed again."""
    weights, dropped, gradient = (x.astype(jnp.float32) for x in (*saved, gradient))
    passed = dropped * gradient
    return passed - weights * passed.sum(-1, keepdims=True), None


_weigh = jax.custom_vjp(_weighed, nondiff_argnums=(2, 3))
_weigh.defvjp(_weighed_forward, _weighed_backward)


def _fused(query: Array, *, dropping: bool, record: bool) -> bool:
    """Whether cuDNN's flash attention can do this: it drops and returns no weights."""
    return (
        _nvidia()
        and query.dtype in (jnp.bfloat16, jnp.float16)
        and query.shape[-1] % 8 == 0
        and query.shape[-1] <= 128
        and not (dropping or record)
    )


def _distances(
    queries: int, keys: int, first: Int[Array, ""] | int
) -> Int[Array, "1 1 T S"]:
    """Count the tokens from each key to each query after it."""
    behind = first + jnp.arange(queries)[:, None] - jnp.arange(keys)[None]
    return behind[None, None]


def _visible(
    distance: Int[Array, "1 1 T S"], lengths: Int[Array, "B"], causal: bool, window: int
) -> Bool[Array, "B 1 #T S"]:
    """Mask of the keys that each query may see."""
    places = jnp.arange(distance.shape[3])[None, None, None]
    visible = places < lengths[:, None, None, None]
    if causal:
        visible &= distance >= 0
    if window:
        visible &= abs(distance) <= window // 2
    return visible


def dropout(
    x: Float[Array, "B *row"], rate: float, keys: Key[Array, "B"] | None
) -> Float[Array, "B *row"]:
    """Zero a share of the entries and rescale the rest (Srivastava et al. 2014).

    Bits depend on a row's own key and on nothing else, so neither devices nor
    neighbours in the batch change them. They are too cheap to share between entries,
    or to keep for the backward pass: XLA computes them wherever it reads them.
    """
    if keys is None or rate == 0:
        return x
    threshold = jnp.uint32(round(rate * 2**32))
    kept = random_bits.bits(keys, x.shape[1:]) >= threshold
    return jnp.where(kept, x * (1 / (1 - rate)), 0)


@jax.custom_vjp
def embed(
    table: Float[Array, "V D"], ids: Int[Array, "B *T"]
) -> Float[Array, "B *T D"]:
    """Look rows up in the table's own float32; cast afterwards.

    Casting first would make the table's gradient a low-precision scatter-add, slow
    and inexact. An id beyond the table reads nan, which no loss survives unseen.
    """
    return lookup.rows(table, ids)


def _embed_backward(saved, gradient):
    branches = {"cuda": lookup.grouped_gradient, "default": lookup.gradient}
    return lax.platform_dependent(*saved, gradient, **branches), None


embed.defvjp(lambda table, ids: (embed(table, ids), (table, ids)), _embed_backward)


def gather(
    x: Shaped[Array, "B T D"], positions: Int[Array, "B P"]
) -> Shaped[Array, "B P D"]:
    """Pick positions of each row by a one-hot product: no scatter in its gradient."""
    one_hot = jax.nn.one_hot(positions, x.shape[1], dtype=x.dtype)
    # The highest precision keeps the picked values exact where dots are rounded.
    return jnp.einsum("BPT,BTD->BPD", one_hot, x, precision=lax.Precision.HIGHEST)


@jax.custom_vjp
def pick(x: Float[Array, "*rows V"], ids: Int[Array, "*rows"]) -> Float[Array, "*rows"]:
    """Pick one entry of each row; the gradient is a comparison, not a scatter."""
    return jnp.take_along_axis(x, ids[..., None], axis=-1)[..., 0]


def _pick_backward(saved, gradient):
    x, ids = saved
    chosen = jax.nn.one_hot(ids, x.shape[-1], dtype=bool)
    return jnp.where(chosen, gradient[..., None], 0), None


pick.defvjp(lambda x, ids: (pick(x, ids), (x, ids)), _pick_backward)
