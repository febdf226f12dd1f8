"""One update and one evaluation as pure functions, for `parallel` to place."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from bert_jax.objectives.base import Batch, Objective
from bert_jax.state import TrainState, named_key


def make_step(
    objective: Objective,
    optimiser: optax.GradientTransformation,
    schedule: Callable,
    seed: int,
    accumulate: int,
    total: Callable[[Any], Any],
) -> Callable:
    """(state, batch) -> (state, metrics), one update of the global batch.

    The whole batch is masked first, so that the denominators of the losses are global
    counts; micro-batches and devices then only add. Gradients are clipped, inside the
    optimiser, once they are whole. `total` sums a tree over devices.
    """
    mask_key = named_key(seed, "masking")
    dropout_key = named_key(seed, "dropout")

    def step(state, batch):
        batch, counts = objective.prepare(batch, mask_key)
        key = jax.random.fold_in(dropout_key, state.step)
        counts = total(counts)

        def gradients(batch):
            value_and_grad = jax.value_and_grad(objective.loss, has_aux=True)
            return value_and_grad(state.params, batch, key, counts)

        (loss, sums), grads = total(_accumulated(gradients, batch, accumulate))
        updates, opt_state = optimiser.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {
            name: value / jnp.maximum(count, 1)  # a batch may predict nothing
            for name, (value, count) in sums.items()
        }
        metrics["loss"] = loss
        metrics["grad_norm"] = optax.tree.norm(grads)
        metrics["lr"] = jnp.asarray(schedule(state.step), jnp.float32)
        return TrainState(state.step + 1, params, opt_state), metrics

    return step


def _accumulated(gradients: Callable, batch: Batch, accumulate: int) -> tuple:
    """The sums and gradients of a batch, taken `accumulate` micro-batches at a time.

    Micro-batch i takes the rows i, i + accumulate, ...: each device keeps its rows.
    """
    if accumulate == 1:
        return gradients(batch)

    def split(x):
        return x.reshape(-1, accumulate, *x.shape[1:]).swapaxes(0, 1)

    micro = jax.tree.map(split, batch)
    first = jax.tree.map(lambda x: x[0], micro)
    zeros = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
        jax.eval_shape(gradients, first),
    )

    def body(carry, batch):
        return jax.tree.map(jnp.add, carry, gradients(batch)), None

    return jax.lax.scan(body, zeros, micro)[0]


def make_evaluation(objective: Objective, total: Callable[[Any], Any]) -> Callable:
    """(params, batch) -> sums of one held-out batch, with masks that never change."""
    mask_key = named_key(0, "evaluation/masking")

    def evaluate(params, batch):
        batch, counts = objective.prepare(batch, mask_key)
        return total(objective.loss(params, batch, None, total(counts))[1])

    return evaluate
