"""Positions without a trained table: sinusoids, rotary embeddings, linear biases."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

LOCAL_BASE = 10_000.0  # of rotary layers with a window, whatever the others have


def sinusoids(length: int, dim: int) -> np.ndarray:
    """Fixed positions (Vaswani et al. 2017, section 3.5): sine, cosine, sine, ..."""
    column = np.arange(dim)
    angle = np.arange(length)[:, None] / 10_000 ** (column // 2 * 2 / dim)
    return np.where(column % 2, np.cos(angle), np.sin(angle)).astype(np.float32)


def rotary(
    x: Float[Array, "B T N H"], places: Int[Array, "T"], base: float
) -> Float[Array, "B T N H"]:
    """Turn pairs of entries by angles that grow with the place (Su et al. 2021,
    section 3.2), in float32.

    Entry i is paired with entry i + H / 2, as in the released weights, not with its
    neighbour, as in the paper.
    """
    half = x.shape[-1] // 2
    rate = base ** -(np.arange(half) / half)
    angle = places.astype(jnp.float32)[:, None] * rate.astype(np.float32)[None]
    sine, cosine = jnp.sin(angle)[None, :, None], jnp.cos(angle)[None, :, None]
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def slopes(num_heads: int) -> Float[np.ndarray, "N"]:
    """The slopes of ALiBi (Press et al. 2022, section 3): how much a head lowers a score
    for each token of distance, 2^(-8/N), 2^(-16/N), ..."""
    return 2.0 ** (-8 * np.arange(1, num_heads + 1) / num_heads)
