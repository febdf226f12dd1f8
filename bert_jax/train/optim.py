"""Schedules and optimisers; which parameters decay and which are frozen, by path.

A path is the names of a parameter joined by "/", as in
encoder/block_03/attention/query/kernel. Rules over paths are regexes, searched.
"""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from bert_jax.run.config import Config, UsageError

TRAINED, FROZEN = "trained", "frozen"
BLOCK = re.compile(r"encoder/block_(\d+)/")


def make(optim: Config, steps: int) -> optax.GradientTransformationExtraArgs:
    """The optimiser of config.optim, for gradients that are summed already.

    Its `update` takes the peak of the rate, as `learning_rate`: runs that differ in
    that alone share one compiled step. It takes the `step` too, which is what the rate
    follows: also past updates that were skipped. Frozen parameters keep their values bit for bit,
    have no moments, and do not enter the norm that clipping looks at.
    """
    chain = optax.chain(
        clip_by_global_norm(optim.clip_norm) if optim.clip_norm else optax.identity(),
        OPTIMISERS[optim.name](optim),
        scale_by_rate(schedule(optim, steps)),
    )
    if optim.freeze:
        chain = optax.partition(
            {TRAINED: chain, FROZEN: optax.set_to_zero()}, _frozen_labels(optim.freeze)
        )
    if optim.layer_decay == 1:
        return chain
    return optax.chain(chain, scale_by_layer(optim.layer_decay))


def clip_by_global_norm(most: float) -> optax.GradientTransformation:
    """Pascanu et al. 2013, algorithm 1: gradients of a larger norm are scaled to it.

    By one factor, where optax divides each entry: XLA repeats a product in whatever
    reads the gradient, and writes a quotient out.
    """

    def clipped(updates: Any, params: Any) -> Any:
        norm = optax.tree.norm(updates)
        factor = jnp.where(norm < most, 1, most / norm)
        return jax.tree.map(lambda x: x * factor.astype(x.dtype), updates)

    return optax.stateless(clipped)


def schedule(optim: Config, steps: int) -> Callable[[Any, Any], jax.Array]:
    """(step, peak) -> the rate of the update that starts at that step, from 0 on.

    The warm-up is linear from 0. BERT's decay counts from step 0 and so meets the
    warm-up below the peak; Hugging Face's counts from the end of the warm-up. Past the
    last step the rate stays at end_share of the peak.
    """
    first = {"start": 0, "warmup_end": optim.warmup_steps}[optim.decay_from]
    decay = DECAYS[optim.schedule]

    def rate(step: Any, peak: Any) -> jax.Array:
        progress = jnp.clip((step - first) / max(steps - first, 1), 0, 1)
        share = optim.end_share + (1 - optim.end_share) * decay(progress)
        warmup = step / max(optim.warmup_steps, 1)
        return peak * jnp.where(step < optim.warmup_steps, warmup, share)

    return rate


def scale_by_rate(
    rate: Callable[[Any, Any], jax.Array],
) -> optax.GradientTransformationExtraArgs:
    """optax.scale_by_learning_rate, and its state, with the peak given to `update`."""

    def update(
        updates: Any, state: Any, params: Any = None, **given: Any
    ) -> tuple[Any, Any]:
        factor = -rate(given["step"], given["learning_rate"])
        updates = jax.tree.map(lambda x: factor.astype(x.dtype) * x, updates)
        return updates, optax.ScaleByScheduleState(state.count + 1)

    init = optax.scale_by_schedule(lambda count: count).init
    return optax.GradientTransformationExtraArgs(init, update)


def scale_by_layer(decay: float) -> optax.GradientTransformation:
    """Discriminative rates (Howard and Ruder 2018, section 3.1): each layer's is
    `decay` times that of the layer above it, as `layers_below_the_heads` counts them.
    """

    def scaled(updates: Any, params: Any) -> Any:
        below = layers_below_the_heads(updates)
        return jax.tree.map(lambda x, layers: x * decay**layers, updates, below)

    return optax.stateless(scaled)


def layers_below_the_heads(params: Any) -> Any:
    """A tree of counts: heads 0, the last of L blocks 1, the first L, embeddings L + 1.

    (ELECTRA's released code gives its last block 2.)
    """
    paths = [path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    blocks = 1 + max(int(found[1]) for found in map(BLOCK.search, paths) if found)

    def count(path: Any, _: Any) -> int:
        name = path_name(path)
        if found := BLOCK.search(name):
            return blocks - int(found[1])
        return blocks + 1 if "encoder/embeddings/" in name else 0

    return jax.tree_util.tree_map_with_path(count, params)


def matches(pattern: str) -> Callable[[Any], Any]:
    """A function from parameters to a tree of booleans; "" matches nothing."""

    def tree(params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda path, _: bool(pattern) and bool(re.search(pattern, path_name(path))),
            params,
        )

    return tree


def path_name(path: Any) -> str:
    """A tree path as `encoder/block_03/attention/query/kernel`."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _decays(optim: Config) -> Callable[[Any], Any]:
    exempt = matches(optim.no_decay)
    return lambda params: jax.tree.map(lambda match: not match, exempt(params))


def _frozen_labels(pattern: str) -> Callable[[Any], Any]:
    def labels(params: Any) -> Any:
        frozen = matches(pattern)(params)
        if not any(jax.tree.leaves(frozen)):
            raise UsageError(
                f"optim.freeze = {pattern!r} matches no parameter path: a path looks "
                "like encoder/block_00/attention/query/kernel"
            )
        return jax.tree.map(lambda match: FROZEN if match else TRAINED, frozen)

    return labels


def _adam(optim: Config) -> optax.GradientTransformation:
    """Kingma and Ba 2015, algorithm 1; without its bias correction, BERT's own Adam."""
    if optim.bias_correction:
        return optax.scale_by_adam(optim.beta1, optim.beta2, optim.epsilon)
    return scale_by_raw_adam(optim.beta1, optim.beta2, optim.epsilon)


def scale_by_raw_adam(
    beta1: float, beta2: float, epsilon: float
) -> optax.GradientTransformation:
    """optax.scale_by_adam, and its state, less the bias correction."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        mean = optax.tree.update_moment(updates, state.mu, beta1, 1)
        square = optax.tree.update_moment(updates, state.nu, beta2, 2)
        updates = jax.tree.map(
            lambda mean, square: mean / (jnp.sqrt(square) + epsilon), mean, square
        )
        return updates, state._replace(count=state.count + 1, mu=mean, nu=square)

    return optax.GradientTransformation(optax.scale_by_adam().init, update)


def _adamw(optim: Config) -> optax.GradientTransformation:
    """Loshchilov and Hutter 2019, algorithm 2, the decay times the rate too."""
    decay = optax.add_decayed_weights(optim.weight_decay, _decays(optim))
    return optax.chain(_adam(optim), decay)


def _lamb(optim: Config) -> optax.GradientTransformation:
    """You et al. 2020, algorithm 2.

    As in its authors' code, parameters that do not decay (norms and biases) are not
    scaled by the trust ratio either, and phi is the identity.
    """
    trust = optax.masked(optax.scale_by_trust_ratio(), _decays(optim))
    return optax.chain(_adamw(optim), trust)


OPTIMISERS = {"adamw": _adamw, "lamb": _lamb}
DECAYS = {
    "linear": lambda progress: 1 - progress,
    "cosine": lambda progress: (1 + jnp.cos(jnp.pi * progress)) / 2,
    "constant": lambda progress: jnp.ones_like(progress),
}
