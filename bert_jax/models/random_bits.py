"""Random bits by hashing a key and a place: as cheap as the arithmetic beside them.

A mixing hash is no cryptographic generator, and dropout needs none: it needs bits that
are even, and unrelated between places, rows, sites and steps. The tests measure that,
beside threefry. Multiplications, xors and shifts of uint32 vectorise everywhere, fuse
into whatever reads the bits, and are the same under jit, pmap, vmap and any sharding.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Key, UInt32


def bits(keys: Key[Array, "B"], shape: tuple[int, ...]) -> UInt32[Array, "B *shape"]:
    """32 bits for each place of each row, from the row's own key and the place alone.

    The number of the place within its row is mixed with each word of the key in turn.
    """
    ones = (1,) * len(shape)
    hashed = places(shape)[None]
    for word in jnp.unstack(jax.random.key_data(keys), axis=-1):
        hashed = mix(hashed ^ word.reshape(-1, *ones))
    return hashed


def places(shape: tuple[int, ...]) -> UInt32[Array, "*shape"]:
    """0, 1, 2, ... in the order of memory; each device of a mesh counts its own part."""
    number, stride = jnp.zeros(shape, jnp.uint32), 1
    for axis in reversed(range(len(shape))):
        number += jnp.uint32(stride) * lax.broadcasted_iota(jnp.uint32, shape, axis)
        stride *= shape[axis]
    return number


def mix(x: UInt32[Array, "*x"]) -> UInt32[Array, "*x"]:
    """`lowbias32` of Wellons, "Prospecting for Hash Functions" (2018): a bijection.

    Murmur3's finaliser with the shifts and factors that a search found least biased:
    to flip one bit of `x` flips each bit of the result half of the time.
    """
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)
