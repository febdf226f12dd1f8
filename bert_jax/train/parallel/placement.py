"""Placement of arrays and of the compiled step: the only module that knows devices.

The step is a pure function. `Jit` compiles it over a mesh with the axes (data, fsdp,
tensor), `Pmap` for the local devices of each host; both give the numbers of one device.
"""

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from bert_jax.objectives.base import Objective
from bert_jax.run import mesh as meshes
from bert_jax.run.config import UsageError
from bert_jax.train.parallel import sharding
from bert_jax.train.parallel.sharding import AXES, ROWS


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


def grid(devices: Sequence[Any], sizes: tuple[int, int, int]) -> Mesh:
    """A mesh of the first of these devices."""
    chosen = np.array(devices[: math.prod(sizes)])
    return Mesh(chosen.reshape(sizes), AXES)


class Jit:
    """Arrays sharded over a mesh, and functions compiled by jit.

    The mesh is divided in one of three ways. Data axis alone: `_by_rows`. Tensor axis
    alone, or one device: the compiler does all of it. Any other: `_by_parameters`.
    """

    def __init__(self, mesh: Mesh):
        self._mesh = mesh
        self._batch, self._replicated = (NamedSharding(mesh, p) for p in (ROWS, P()))
        self._splits_rows = mesh.size == mesh.shape["data"] > 1
        alone = mesh.shape["data"], mesh.shape["tensor"]
        self._splits_parameters = mesh.size not in alone

    def rows(self, size: int) -> np.ndarray:
        """The rows of a global batch of that size that this host assembles."""
        return _rows(self._batch, size)

    def batch(self, host: dict) -> dict:
        """Put a batch of host arrays on the devices."""
        put = jax.make_array_from_process_local_data
        return {name: put(self._batch, array) for name, array in host.items()}

    def shardings(self, tree: Any) -> Any:
        """The shardings that the arrays of a tree are stored with."""
        return sharding.shardings(tree, self._mesh)

    def local(self, state: Any) -> Any:
        """A stored state as the step takes it."""
        return state

    def stored(self, state: Any) -> Any:
        """A state of the step as it is stored."""
        return state

    def step(self, function: Callable) -> Callable:
        """Compile (state, batch, own) -> (state, metrics), with the state donated."""
        sharded = self._by_rows(function, P(), P("data"), P())

        # The state goes out as it came in; metrics are the same everywhere.
        def placed(state, batch, scalars):
            state, metrics = sharded(state, batch, scalars)
            kept = jax.lax.with_sharding_constraint(state, self.shardings(state))
            return kept, jax.lax.with_sharding_constraint(metrics, self._replicated)

        return jax.jit(placed, donate_argnums=0)

    def evaluate(self, function: Callable) -> Callable:
        """Compile (params, batch) -> sums."""
        sharded = self._by_rows(function, P(), P("data"))
        return jax.jit(sharded, out_shardings=self._replicated)

    def psum(self, tree: Any) -> Any:
        """Sum over the devices, in a compiled function that sees the rows of one."""
        return jax.lax.psum(tree, "data") if self._splits_rows else tree

    def all_gather(self, tree: Any) -> Any:
        """The rows of all devices, in a compiled function that sees the rows of one."""
        gather = jax.lax.all_gather
        return gather(tree, "data", tiled=True) if self._splits_rows else tree

    def objective(self, objective: Objective) -> Objective:
        """The objective to make a step or an evaluation of."""
        return self._by_parameters(objective) if self._splits_parameters else objective

    def _by_rows(self, function: Callable, *inputs: P) -> Callable:
        """Every device has all parameters and some rows; the function sums by `psum`.

        Left to itself the compiler sums the gradient of the token table twice over the
        devices: of the look-up and of the decoder, before it adds the two.
        """
        return self._mapped(function, inputs, P()) if self._splits_rows else function

    def _by_parameters(self, objective: Objective) -> Objective:
        """Every device has a share of the parameters and of the optimiser's state (ZeRO
        stage 3, Rajbhandari et al. 2020, section 5.3): the network gathers what it uses,
        and the gradient of a gathered array is scattered. The tensor axis, and all
        outside of the network, are left to the compiler.

        Left to itself with fsdp, the compiler divides features there in the place of
        rows, and sums the activations of every layer.
        """

        def loss(params, batch, key, counts):
            specs = sharding.fsdp_specs(params, self._mesh)

            def of_rows(params, batch, key, counts):
                full = jax.tree.map(sharding.all_gather_fsdp, params, specs)
                return jax.lax.psum(
                    objective.loss(full, batch, key, counts), ("data", "fsdp")
                )

            mapped = self._mapped(of_rows, (specs, ROWS, P(), P()), P())
            return mapped(params, batch, key, counts)

        def predict(params, batch):
            specs = sharding.fsdp_specs(params, self._mesh)

            def of_rows(params, batch):
                full = jax.tree.map(sharding.all_gather_fsdp, params, specs)
                return objective.predict(full, batch)

            return self._mapped(of_rows, (specs, ROWS), ROWS)(params, batch)

        return objective._replace(loss=loss, predict=predict)

    def _mapped(self, function: Callable, inputs: Any, outputs: Any) -> Callable:
        """The function mapped over each device's rows; it sums over devices itself."""
        return jax.shard_map(
            function,
            mesh=self._mesh,
            in_specs=inputs,
            out_specs=outputs,
            axis_names={"data", "fsdp"},
            check_vma=False,
        )


class Pmap:
    """Arrays replicated over devices, and functions compiled by pmap.

    A stored state belongs to all devices of the run, the one that a step takes to the
    devices of this host: the same arrays, described in two ways.
    """

    def __init__(self, size: int):
        count = size // jax.process_count()
        local = set(jax.local_devices()[:count])
        self._devices = [device for device in jax.devices() if device in local]
        self._all = Mesh(np.array(jax.devices()[:size]), ("data",))
        self._local = Mesh(np.array(self._devices), ("data",))

    def rows(self, size: int) -> np.ndarray:
        return _rows(NamedSharding(self._all, P("data")), size)

    def batch(self, host: dict) -> dict:
        """Put a part of the rows on each local device."""
        count = len(self._devices)
        return {n: a.reshape(count, -1, *a.shape[1:]) for n, a in host.items()}

    def shardings(self, tree: Any) -> Any:
        return jax.tree.map(lambda _: NamedSharding(self._all, P()), tree)

    def local(self, state: Any) -> Any:
        return _moved(state, self._local)

    def stored(self, state: Any) -> Any:
        return _moved(state, self._all)

    def step(self, function: Callable) -> Callable:
        axes = {"in_axes": (None, 0, None), "out_axes": (None, None)}
        return self._pmap(function, donate_argnums=0, **axes)

    def evaluate(self, function: Callable) -> Callable:
        return self._pmap(function, in_axes=(None, 0), out_axes=None)

    def psum(self, tree: Any) -> Any:
        return jax.lax.psum(tree, "data")

    def all_gather(self, tree: Any) -> Any:
        return jax.lax.all_gather(tree, "data", tiled=True)

    def objective(self, objective: Objective) -> Objective:
        return objective

    def _pmap(self, function: Callable, **options: Any) -> Callable:
        devices = None if jax.process_count() > 1 else self._devices
        return jax.pmap(function, axis_name="data", devices=devices, **options)


Placement = Jit | Pmap


def place(placement: str, mesh: str, batch_sizes: dict[str, int]) -> Placement:
    """The placement that the config strings name.

    `batch_sizes` maps the name of each batch size to its value: all must divide
    evenly over the devices. Raises UsageError where they, or the mesh, do not fit.
    """
    sizes = meshes.fitted(mesh, jax.device_count(), batch_sizes)
    if placement == "jit":
        return Jit(grid(jax.devices(), sizes))
    if sizes[1:] != (1, 1):
        raise UsageError(f"parallel.placement=pmap needs mesh Nx1x1, not {mesh}")
    return Pmap(sizes[0])


def _rows(batch: NamedSharding, size: int) -> np.ndarray:
    slices = batch.addressable_devices_indices_map((size,)).values()
    return np.unique(np.concatenate([np.arange(size)[index] for index in slices]))


def _moved(tree: Any, mesh: Mesh) -> Any:
    """The same replicated arrays, described as arrays of a mesh of these devices."""

    def move(leaf):
        shards = [shard.data for shard in leaf.addressable_shards]
        return jax.make_array_from_single_device_arrays(
            leaf.shape, NamedSharding(mesh, P()), shards
        )

    return jax.tree.map(move, tree)
