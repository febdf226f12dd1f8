"""Objective: the model and the loss that the loop trains, as four functions.

Every mean is a (total, count) pair, summed over micro-batches, devices and batches and
divided last, so a global mean never becomes a mean of means.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from bert_jax.models import network as networks
from bert_jax.models import ops
from bert_jax.models.network import Network

Params = Any
Batch = Mapping[str, Any]  # arrays, of numpy before the step and of jax inside
Counts = dict[str, Array]
Sums = dict[str, tuple[Array, Array]]


class Objective(NamedTuple):
    """A model and its losses; the loop knows nothing else of the task.

    init(key) gives the parameters.
    prepare(batch, key) gives the batch as the model sees it, masked on the device, and
        the counts: for each loss, the total weight of this part of the batch.
    loss(params, batch, key, counts) divides its own sums by the counts that it is
        given, those of the whole update: parts of a batch, on devices or in
        micro-batches, then only add up. A key of None means no dropout.
    predict(params, batch) gives what the model says of an unmasked batch, by name.
    """

    init: Callable[[Key[Array, ""]], Params]
    prepare: Callable[[Batch, Key[Array, ""]], tuple[Batch, Counts]]
    loss: Callable[
        [Params, Batch, Key[Array, ""] | None, Counts], tuple[Float[Array, ""], Sums]
    ]
    predict: Callable[[Params, Batch], dict[str, Any]]


def of_network(
    network: Network,
    weights: Mapping[str, float],
    prepare: Callable[[Batch, Key[Array, ""]], tuple[Batch, Counts]],
    score: Callable[[dict[str, Any], Batch], Sums],
) -> Objective:
    """The objective of a network whose outputs for a batch `score` turns into sums.

    `weights` are those of the losses in their sum.
    """

    def init(key: Key[Array, ""]) -> Params:
        return networks.init(network, key)

    def loss(
        params: Params, batch: Batch, key: Key[Array, ""] | None, counts: Counts
    ) -> tuple[Float[Array, ""], Sums]:
        texts = flat(batch)
        rows = None if key is None else texts["rows"]
        rngs = {} if key is None else {"dropout": key}
        outputs: Any = network.apply({"params": params}, texts, rows, rngs=rngs)
        sums = score(outputs, batch)
        return global_mean(sums, counts, weights), sums

    def predict(params: Params, batch: Batch) -> dict[str, Any]:
        return networks.predict(network, params, flat(batch))

    return Objective(init, prepare, loss, predict)


def flat(batch: Batch) -> Batch:
    """The texts of a batch as rows: each of several choices is a row of its own."""
    lengths = batch["lengths"]
    if lengths.ndim == 1:
        return batch
    rows, choices = lengths.shape
    numbers = batch["rows"][:, None] * choices + jnp.arange(choices)[None]
    wide = {name: batch[name].reshape(rows * choices, -1) for name in ("ids", "types")}
    return {**wide, "lengths": lengths.reshape(-1), "rows": numbers.reshape(-1)}


def add_sums(left: Any, right: Any) -> Any:
    """Adds sums or counts of two parts, on the device or on the host."""
    return jax.tree.map(operator.add, left, right)


def means(sums: Mapping[str, tuple[Any, Any]]) -> dict[str, float]:
    """Total over count by name; a name that counted nothing has no mean: left out."""
    return {
        name: float(total) / float(count)
        for name, (total, count) in sums.items()
        if float(count) > 0
    }


def global_mean(
    sums: Sums, counts: Counts, weights: Mapping[str, float]
) -> Float[Array, ""]:
    """The loss: for each count, this part's share of the weighted global mean.

    The count and the weight "mlm" belong to the sum "mlm_loss". A count of nothing
    gives 0, not nan.
    """
    return sum(
        (
            weights[name] * sums[f"{name}_loss"][0] / jnp.where(count > 0, count, 1)
            for name, count in counts.items()
        ),
        start=jnp.float32(0),
    )


def weighted_cross_entropy(
    logits: Float[Array, "*rows V"],
    targets: Int[Array, "*rows"],
    weights: Float[Array, "*rows"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The (total, count) of -log softmax(logits)[targets], in float32."""
    logits = logits.astype(jnp.float32)
    log_likelihood = ops.pick(logits, targets) - jax.nn.logsumexp(logits, -1)
    return -jnp.sum(weights * log_likelihood), jnp.sum(weights)


def weighted_accuracy(
    logits: Float[Array, "*rows V"],
    targets: Int[Array, "*rows"],
    weights: Float[Array, "*rows"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The (total, count) of targets that have the largest logit, first among equals.

    So logits that say nothing are no better than chance. Whether all others stay
    behind is a cheaper question than which is the largest.
    """
    target, places = ops.pick(logits, targets)[..., None], jnp.arange(logits.shape[-1])
    earlier = places.reshape(*(1,) * targets.ndim, -1) < targets[..., None]
    behind = jnp.where(earlier, logits < target, logits <= target)
    return jnp.sum(weights * behind.all(-1)), jnp.sum(weights)
