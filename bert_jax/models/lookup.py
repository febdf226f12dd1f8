"""Rows of a table by their numbers, with either of two gradients that are equal."""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

GROUP = 512  # ids to sum together: more leave fewer adds, at a product of their square


def plain(table: Float[Array, "V D"], ids: Int[Array, "B *T"]) -> Float[Array, "..."]:
    """The rows; nan beyond the table. The gradient is a scatter that adds."""
    return jnp.take(table, ids, axis=0, mode="fill")


@jax.custom_vjp
def apart(table: Float[Array, "V D"], ids: Int[Array, "B *T"]) -> Float[Array, "..."]:
    """`plain` with a gradient that seldom adds to one place twice.

    NVIDIA adds float32 by compare-and-swap, so that thousands of [MASK]s wait for one
    another. Here equal ids of a group are first summed by a product; the first of
    them carries the sum, and the others go nowhere.
    """
    return plain(table, ids)


def _apart_backward(saved, gradient):
    table, ids = saved
    grouped = ids.reshape(-1, rows_of_group(*ids.shape) * ids[0].size)
    rows = gradient.reshape(*grouped.shape, table.shape[1])
    same = grouped[:, :, None] == grouped[:, None, :]
    earlier = jnp.tri(grouped.shape[1], k=-1, dtype=bool)
    first = ~(same & earlier[None]).any(-1)
    sums = jnp.einsum(
        "GST,GTD->GSD", same.astype(rows.dtype), rows, precision=lax.Precision.HIGHEST
    )
    places = jnp.where(first, grouped, table.shape[0])
    return jnp.zeros_like(table).at[places].add(sums, mode="drop"), None


apart.defvjp(lambda table, ids: (apart(table, ids), (table, ids)), _apart_backward)


def rows_of_group(batch: int, *length: int) -> int:
    """How many rows make up a group: those of two devices never do."""
    rows, ids = 1, math.prod(length)
    while 2 * rows * ids <= GROUP and batch % (2 * rows * jax.device_count()) == 0:
        rows *= 2
    return rows
