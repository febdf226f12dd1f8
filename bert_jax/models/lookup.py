"""Rows of a table by their numbers, with either of two gradients that are equal."""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

GROUP = 512  # ids to sum together: more leave fewer adds, at a product of their square


def rows(table: Float[Array, "V D"], ids: Int[Array, "B *T"]) -> Float[Array, "B *T D"]:
    """The rows of these numbers; nan beyond the table."""
    return jnp.take(table, ids, axis=0, mode="fill")


def gradient(
    table: Float[Array, "V D"], ids: Int[Array, "B *T"], of_rows: Float[Array, "B *T D"]
) -> Float[Array, "V D"]:
    """The gradient of `rows`: a scatter that adds."""
    return jax.vjp(lambda table: rows(table, ids), table)[1](of_rows)[0]


def grouped_gradient(
    table: Float[Array, "V D"], ids: Int[Array, "B *T"], of_rows: Float[Array, "B *T D"]
) -> Float[Array, "V D"]:
    """`gradient` that seldom adds to one place twice.

    NVIDIA adds float32 by compare-and-swap, so that thousands of [MASK]s wait for one
    another. Here equal ids of a group are first summed by a product; the first of
    them carries the sum, and the others go nowhere.
    """
    grouped = ids.reshape(-1, rows_of_group(*ids.shape) * ids[0].size)
    vectors = of_rows.reshape(*grouped.shape, table.shape[1])
    repeated = grouped[:, :, None] == grouped[:, None, :]
    earlier = jnp.tri(grouped.shape[1], k=-1, dtype=bool)
    first = ~(repeated & earlier[None]).any(-1)
    sums = jnp.einsum(
        "GST,GTD->GSD",
        repeated.astype(vectors.dtype),
        vectors,
        precision=lax.Precision.HIGHEST,
    )
    places = jnp.where(first, grouped, table.shape[0])
    return jnp.zeros_like(table).at[places].add(sums, mode="drop")


def rows_of_group(batch: int, *length: int) -> int:
    """Number of rows in a group, which never spans two devices."""
    count, ids = 1, math.prod(length)
    while 2 * count * ids <= GROUP and batch % (2 * count * jax.device_count()) == 0:
        count *= 2
    return count
