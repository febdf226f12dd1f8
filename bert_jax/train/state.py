"""Training state, carried from step to step, and its sharded initialisation."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bert_jax.run.config import Config, stream
from bert_jax.train.optim import path_name


class TrainState(NamedTuple):
    """step: steps done so far, an int32 scalar. skips: `no_skips` and on from there
    where updates may be skipped, else empty. No data position and no random state:
    both follow from the seed and the step."""

    step: jax.Array
    params: Any
    opt_state: Any
    skips: Any = ()


def no_skips() -> dict[str, np.number]:
    """The updates skipped so far, of all and of the last ones in a row: none."""
    return {"all": np.int32(0), "in_a_row": np.int32(0)}


def named_key(seed: int, name: str) -> jax.Array:
    """The random key of a named stream: init, or one of evaluation."""
    return jax.random.key(_draw(seed, name))


def scalars(config: Config) -> dict[str, np.number]:
    """The numbers of a run that its step is given: what the keys of its streams are
    made of, and its learning rate. Runs that differ in these alone share one compiled
    step."""
    streams = {name: _draw(config.seed, name) for name in ("masking", "dropout")}
    return {
        **{name: np.uint32(number) for name, number in streams.items()},
        "learning_rate": np.float32(config.optim.learning_rate),
    }


def _draw(seed: int, name: str) -> int:
    return stream(seed, name) % 2**32


def shapes(init: Callable, optimiser: optax.GradientTransformation) -> TrainState:
    """The state's tree with shapes and types in place of arrays."""
    return jax.eval_shape(_create(init, optimiser), jax.random.key(0))


def initialise(
    init: Callable,
    optimiser: optax.GradientTransformation,
    seed: int,
    shardings: Callable[[Any], Any],
) -> TrainState:
    """The state of step 0, each array made where it will live.

    The numbers depend on the seed alone, not on the sharding (JAX's threefry is
    partitionable).
    """
    create = _create(init, optimiser)
    sharded = jax.jit(create, out_shardings=shardings(shapes(init, optimiser)))
    return sharded(named_key(seed, "init"))


def adopt(
    params: Any, optimiser: optax.GradientTransformation, shardings
) -> TrainState:
    """Step 0 of a new run from another run's parameters: a fresh optimiser."""
    create = _create(_given, optimiser)
    out = shardings(jax.eval_shape(create, params))
    return jax.jit(create, out_shardings=out)(params)


def _given(params: Any) -> Any:
    return params


@jax.jit
def _is_finite(tree: Any) -> jax.Array:
    """Whether every number of a tree is finite, as one boolean."""
    floats = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in floats]))


def not_finite(tree: Any) -> str:
    """The path of the first array that holds a number which is not finite, "" for none.

    One look on the devices at all of them; where it fails, one at each.
    """
    if _is_finite(tree):
        return ""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return next(path_name(path) for path, leaf in leaves if not _is_finite([leaf]))


# The same function for the same run: JAX then traces it once, whatever asks for the
# shapes or the arrays, and lanes share the program.
@functools.lru_cache(maxsize=2)
def _create(init: Callable, optimiser: optax.GradientTransformation) -> Callable:
    def create(source):
        params = init(source)
        return TrainState(jnp.zeros((), jnp.int32), params, optimiser.init(params))

    return create
