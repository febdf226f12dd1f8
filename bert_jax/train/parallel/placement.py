"""Where arrays live and how the step is compiled: the only module that knows devices.

The step is a pure function. A `Placement` compiles it by `jit` over a mesh with the
axes (data, fsdp, tensor), or by `pmap`; both give the numbers of one device.
"""

import math
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from bert_jax.objectives.base import Objective
from bert_jax.run import mesh as meshes
from bert_jax.run.config import UsageError
from bert_jax.train.parallel.sharding import (
    AXES,
    ROWS,
    Manner,
    manner,
    same,
    shardings,
    total,
    whole,
)


class Placement(NamedTuple):
    """How arrays and functions are laid over the devices.

    rows: batch size -> the rows of the global batch that this host assembles.
    batch: host arrays of those rows -> device arrays.
    shardings: a tree of shapes -> the shardings its arrays are stored with.
    local, stored: a stored state -> the one the step takes, and back.
    step: (state, batch, own) -> (state, metrics), compiled with the state donated.
    evaluate: (params, batch) -> sums, compiled.
    total: counts, sums or gradients of a device's rows -> those of the global batch,
        inside a compiled function.
    whole: rows of a batch -> the rows of all devices, inside a compiled evaluation.
    divided: the objective that a step or an evaluation is to be made of.
    """

    rows: Callable[[int], np.ndarray]
    batch: Callable[[dict], dict]
    shardings: Callable[[Any], Any]
    local: Callable[[Any], Any]
    stored: Callable[[Any], Any]
    step: Callable[[Callable], Callable]
    evaluate: Callable[[Callable], Callable]
    total: Callable[[Any], Any]
    whole: Callable[[Any], Any]
    divided: Callable[[Objective], Objective]


def join_hosts() -> None:
    """Connect to the other hosts when the environment names a coordinator.

    Reads JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID.
    """
    if "JAX_COORDINATOR_ADDRESS" in os.environ and not jax.distributed.is_initialized():
        jax.distributed.initialize(
            os.environ["JAX_COORDINATOR_ADDRESS"],
            int(os.environ["JAX_NUM_PROCESSES"]),
            int(os.environ["JAX_PROCESS_ID"]),
        )


def any_host(flag: bool) -> bool:
    """Whether the flag is set on any host; every host must ask."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def place(placement: str, mesh: str, batch_sizes: dict[str, int]) -> Placement:
    """The placement that the config strings name.

    `batch_sizes` maps the name of each batch size to its value: all must divide
    evenly over the devices. Raises UsageError where they, or the mesh, do not fit.
    """
    sizes = meshes.fitted(mesh, jax.device_count(), batch_sizes)
    if placement == "jit":
        return over(grid(jax.devices(), sizes))
    if sizes[1:] != (1, 1):
        raise UsageError(f"parallel.placement=pmap needs mesh Nx1x1, not {mesh}")
    return _pmap_placement(sizes[0])


def grid(devices: Sequence[Any], sizes: tuple[int, int, int]) -> Mesh:
    """A mesh of the first of these devices."""
    chosen = np.array(devices[: math.prod(sizes)])
    return Mesh(chosen.reshape(sizes), AXES)


def by_row(mesh: Mesh) -> NamedSharding:
    """Of a batch."""
    return NamedSharding(mesh, ROWS)


def over(mesh: Mesh) -> Placement:
    """The placement by jit on a mesh, whose devices need not be at hand."""
    return _jit_placement(mesh, manner(mesh))


def _rows(sharding: NamedSharding, size: int) -> np.ndarray:
    slices = sharding.addressable_devices_indices_map((size,)).values()
    return np.unique(np.concatenate([np.arange(size)[index] for index in slices]))


def _jit_placement(mesh: Mesh, how: Manner) -> Placement:
    rows, everywhere = by_row(mesh), NamedSharding(mesh, P())

    def batch(host):
        put = jax.make_array_from_process_local_data
        return {name: put(rows, array) for name, array in host.items()}

    def step(function):
        divided = how.step(function)

        # The state goes out as it came in; metrics are the same everywhere.
        def placed(state, batch, own):
            state, metrics = divided(state, batch, own)
            kept = jax.lax.with_sharding_constraint(state, shardings(state, mesh))
            return kept, jax.lax.with_sharding_constraint(metrics, everywhere)

        return jax.jit(placed, donate_argnums=0)

    def evaluate(function):
        return jax.jit(how.evaluate(function), out_shardings=everywhere)

    return Placement(
        rows=lambda size: _rows(rows, size),
        batch=batch,
        shardings=lambda tree: shardings(tree, mesh),
        local=same,
        stored=same,
        step=step,
        evaluate=evaluate,
        total=how.total,
        whole=how.whole,
        divided=how.divided,
    )


def _pmap_placement(size: int) -> Placement:
    count = size // jax.process_count()
    devices = [d for d in jax.devices() if d in set(jax.local_devices()[:count])]
    mesh = Mesh(np.array(jax.devices()[:size]), ("data",))
    here = Mesh(np.array(devices), ("data",))

    def placed(function, inputs, outputs, **options):
        return jax.pmap(
            function,
            axis_name="data",
            in_axes=inputs,
            out_axes=outputs,
            devices=None if jax.process_count() > 1 else devices,
            **options,
        )

    def batch(host):
        return {
            name: array.reshape(count, -1, *array.shape[1:])
            for name, array in host.items()
        }

    def moved(tree, mesh):
        # The same replicated arrays, seen as belonging to these devices.
        def move(leaf):
            shards = [shard.data for shard in leaf.addressable_shards]
            return jax.make_array_from_single_device_arrays(
                leaf.shape, NamedSharding(mesh, P()), shards
            )

        return jax.tree.map(move, tree)

    return Placement(
        rows=lambda size: _rows(NamedSharding(mesh, P("data")), size),
        batch=batch,
        shardings=lambda tree: jax.tree.map(lambda _: NamedSharding(mesh, P()), tree),
        local=lambda state: moved(state, here),
        stored=lambda state: moved(state, mesh),
        step=lambda function: placed(
            function, (None, 0, None), (None, None), donate_argnums=0
        ),
        evaluate=lambda function: placed(function, (None, 0), None),
        total=total,
        whole=whole,
        divided=same,
    )
