"""The update and the evaluation as pure functions, for `parallel` to place."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from bert_jax.objectives.base import Batch, Objective
from bert_jax.train.state import TrainState, named_key

MOST_SKIPPED = 10  # updates in a row: what follows on that many is no accident


def make_step(
    objective: Objective,
    optimiser: optax.GradientTransformationExtraArgs,
    schedule: Callable,
    accumulate: int,
    total: Callable[[Any], Any],
    frozen: Callable[[Any], Any],
) -> Callable:
    """(state, batch, scalars) -> (state, metrics), one update of the global batch.

    The whole batch is masked first, so that the denominators of the losses are global
    counts; micro-batches and devices then only add. Gradients are clipped, inside the
    optimiser, once they are whole. `total` sums a tree over devices, `frozen` says of
    parameters which are not to be trained: their gradients are 0 and cost nothing.
    `scalars` are those of `state.scalars`.

    The metric `finite` says whether training may go on from the new state. A loss or a
    gradient that is not finite makes it so of all parameters, for good: whoever looks,
    sees it then or later. A state that counts skips keeps its parameters and moments
    instead, until MOST_SKIPPED in a row. The metric `targets` is the number of targets
    of the loss that had the fewest.
    """

    def step(state, batch, scalars):
        peak = scalars["learning_rate"]
        batch, counts = objective.prepare(batch, jax.random.key(scalars["masking"]))
        key = jax.random.fold_in(jax.random.key(scalars["dropout"]), state.step)
        counts = total(counts)

        def loss(params, batch):
            used = jax.tree.map(_frozen, params, frozen(params))
            return objective.loss(used, batch, key, counts)

        def gradients(batch):
            return jax.value_and_grad(loss, has_aux=True)(state.params, batch)

        (mean, sums), grads = total(_accumulated(gradients, batch, accumulate))
        norm = optax.tree.norm(grads)
        sound = jnp.isfinite(mean) & jnp.isfinite(norm)
        updates, opt_state = optimiser.update(
            grads,
            state.opt_state,
            state.params,
            learning_rate=jnp.where(sound, peak, jnp.nan),
            step=state.step,
        )
        params = optax.apply_updates(state.params, updates)
        new = TrainState(state.step + 1, params, opt_state, state.skips)
        finite = sound & _are_finite(params)
        metrics = {
            name: value / jnp.maximum(count, 1)  # a batch may predict nothing
            for name, (value, count) in sums.items()
        }
        metrics["loss"] = mean
        metrics["grad_norm"] = norm
        metrics["lr"] = jnp.asarray(schedule(state.step, peak), jnp.float32)
        metrics["targets"] = jnp.min(jnp.stack(list(counts.values())))
        if state.skips:
            new, finite = _skipped(state, new, finite)
            metrics["skipped"] = new.skips["all"]
        return new, metrics | {"finite": finite}

    return step


def _are_finite(params: Any) -> jax.Array:
    """Whether updated parameters and their moments are, of an update that is sound.

    Moments are means of gradients and of their squares, which are finite where the norm
    is. Sums are read at the speed of memory, where a look at each number is not; some
    that pass 1e38 before their entries do are called not finite.
    """
    return jnp.isfinite(sum(jnp.sum(leaf) for leaf in jax.tree.leaves(params)))


def _skipped(
    old: TrainState, new: TrainState, finite: jax.Array
) -> tuple[TrainState, jax.Array]:
    """The state after an update that may not be finite, and whether to go on from it.

    Once there were too many in a row nothing is updated any more: the state is the
    same whenever somebody looks.
    """
    ended = old.skips["in_a_row"] >= MOST_SKIPPED
    skip = ~finite | ended

    def kept(before, after):
        return jnp.where(skip, before, after)

    in_a_row = jnp.where(skip, old.skips["in_a_row"] + ~ended, 0)
    skips = {"all": old.skips["all"] + (skip & ~ended), "in_a_row": in_a_row}
    params = jax.tree.map(kept, old.params, new.params)
    opt_state = jax.tree.map(kept, old.opt_state, new.opt_state)
    state = TrainState(new.step, params, opt_state, skips)
    return state, in_a_row < MOST_SKIPPED


def _frozen(leaf: jax.Array, frozen: bool) -> jax.Array:
    return jax.lax.stop_gradient(leaf) if frozen else leaf


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


def make_evaluation(
    objective: Objective,
    total: Callable[[Any], Any],
    gather: Callable[[Any], Any],
    output: str,
) -> Callable:
    """(params, batch) -> (sums, seen) of one held-out batch, whose masks never change.

    `seen` holds the network's `output` for each row, with example_ids and weights of
    all devices by `whole`; nothing if `output` is "".
    """
    mask_key = evaluation_key()

    def evaluate(params, batch):
        batch, counts = objective.prepare(batch, mask_key)
        sums = total(objective.loss(params, batch, None, total(counts))[1])
        if not output:
            return sums, {}
        prediction = objective.predict(params, batch)[output]
        return sums, gather(
            {
                "output": prediction.reshape(
                    *batch["weights"].shape, *_rest(prediction, batch)
                ),
                "example_ids": batch["example_ids"],
                "weights": batch["weights"],
            }
        )

    return evaluate


def evaluation_key() -> jax.Array:
    """The key of the masks that never change."""
    return named_key(0, "evaluation/masking")


def _rest(prediction: Any, batch: Batch) -> tuple[int, ...]:
    """Arrays that have one entry an example, whose choices are rows of the network."""
    several = batch["lengths"].ndim == 2
    return batch["lengths"].shape[1:] if several else prediction.shape[1:]
