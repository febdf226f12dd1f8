"""Masking: which tokens a masked LM predicts, and what replaces them.

Devlin et al. 2019, section 3.1, task 1: a share of the tokens is predicted; of
those most become [MASK], some a random token, the rest stay. A mask is a pure
function of (key, epoch, example id), computed on the device inside the step.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int, Key

# Whole words may leave this share of a row's budget unused; of more than that a part
# of a word makes up.
SHORTFALL = 0.08


class Masking(NamedTuple):
    rate: float  # of the tokens that may be predicted
    unit: str  # token | word: what is drawn, and replaced, as a whole
    token_share: float  # of the predicted: become [MASK]
    random_share: float  # ... become a random token
    copies: int  # 0: a new mask every epoch; k: k masks in turn

    def max_predictions(self, length: int) -> int:
        """The most that any row of `length` tokens, [CLS] and [SEP] among them, gets."""
        return max(1, math.ceil(self.rate * (length - 2)))


class Vocabulary(NamedTuple):
    """Properties of the tokens that masking needs."""

    continuation: Bool[np.ndarray, "V"]  # tokens that go on with a word
    special: Bool[np.ndarray, "V"]  # never predicted, never inserted
    mask_id: int


def mask(
    batch: Mapping[str, Array | np.ndarray],
    key: Key[Array, ""],
    masking: Masking,
    vocabulary: Vocabulary,
) -> dict[str, Array | np.ndarray]:
    """Mask every row of a batch: new `ids`, and what to predict where.

    Adds `positions`, `targets` and `target_weights`, all (B, P), in the order of the
    text; slots that a row does not need hold zeros.
    """
    ids, epochs = jnp.asarray(batch["ids"]), jnp.asarray(batch["epochs"])
    versions = epochs % masking.copies if masking.copies else epochs
    key_of = jax.vmap(
        lambda version, example: jax.random.fold_in(
            jax.random.fold_in(key, version), example
        )
    )
    chosen, replaced = jax.vmap(partial(_mask_row, masking, vocabulary))(
        key_of(versions, jnp.asarray(batch["example_ids"])),
        ids,
        jnp.asarray(batch["lengths"]),
    )
    slots = masking.max_predictions(ids.shape[1])
    # A stable sort brings the chosen positions to the front, in order.
    positions = jnp.argsort(~chosen, axis=-1, stable=True)[:, :slots]
    used = jnp.take_along_axis(chosen, positions, axis=-1)
    targets = jnp.take_along_axis(ids, positions, axis=-1)
    return {
        **batch,
        "ids": replaced,
        "positions": jnp.where(used, positions, 0),
        "targets": jnp.where(used, targets, 0),
        "target_weights": used * jnp.asarray(batch["weights"])[:, None],
    }


def _mask_row(
    masking: Masking,
    vocabulary: Vocabulary,
    key: Key[Array, ""],
    ids: Int[Array, "T"],
    length: Int[Array, ""],
) -> tuple[Bool[Array, "T"], Int[Array, "T"]]:
    """The positions to predict in one row, and its ids once those are replaced."""
    for_budget, for_order, for_fate, for_random = jax.random.split(key, 4)
    place = jnp.arange(len(ids))
    maskable = (place < length) & ~jnp.asarray(vocabulary.special)[ids]
    # Rounding by chance, up as often as the fraction says, keeps the rate unbiased.
    budget = masking.rate * maskable.sum() + jax.random.uniform(for_budget)
    budget = jnp.minimum(budget.astype(int), masking.max_predictions(len(ids)))

    starts = maskable
    if masking.unit == "word":  # a token goes on with the word of the token before it
        goes_on = jnp.asarray(vocabulary.continuation)[ids]
        starts &= ~(goes_on & jnp.roll(maskable, 1).at[0].set(False))
    word = jnp.cumsum(starts) - 1
    sizes = jnp.sum((word[None] == place[:, None]) & maskable[None], axis=1)
    draws = jax.random.uniform(for_order, place.shape)
    order = jnp.argsort(jnp.where(place < starts.sum(), draws, jnp.inf))
    taken, left = _take(masking.unit, sizes[order], budget)
    chosen = maskable & taken[jnp.argsort(order)][word]
    if masking.unit == "word":
        passed_over = maskable & (word == order[jnp.argmin(taken)])
        count = jnp.where(left > SHORTFALL * budget, left, 0)
        chosen |= _run(passed_over, count, jax.random.fold_in(for_order, 1))

    allowed = jnp.asarray(np.flatnonzero(~vocabulary.special), ids.dtype)
    random = jax.random.choice(for_random, allowed, place.shape)
    fate = jax.random.uniform(for_fate, place.shape)[word]
    to_token = fate < masking.token_share
    to_random = fate < masking.token_share + masking.random_share
    stand_ins = jnp.select([to_token, to_random], [vocabulary.mask_id, random], ids)
    return chosen, jnp.where(chosen, stand_ins, ids)


def _take(
    unit: str, sizes: Int[Array, "T"], budget: Int[Array, ""]
) -> tuple[Bool[Array, "T"], Int[Array, ""]]:
    """Words that fit the budget in this order, and what is left of it; a
    misfit is passed over."""
    if unit == "token":  # every word has size one
        return jnp.arange(len(sizes)) < budget, jnp.zeros_like(budget)

    def step(left, size):
        fits = size <= left
        return left - fits * size, fits

    left, fits = lax.scan(step, budget, sizes, unroll=8)
    return fits, left


def _run(
    word: Bool[Array, "T"], count: Int[Array, ""], key: Key[Array, ""]
) -> Bool[Array, "T"]:
    """`count` consecutive tokens of a word, any such run as likely as another."""
    starts = word.sum() - count + 1
    start = jnp.argmax(word) + (jax.random.uniform(key) * starts).astype(int)
    place = jnp.arange(len(word))
    return (place >= start) & (place < start + count)
