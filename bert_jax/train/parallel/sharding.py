"""How the work on global arrays is divided over a mesh: by rows, or by parameters too.

Parameters are divided by rules over their paths. A model knows nothing of this.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from bert_jax.objectives.base import Objective
from bert_jax.train.optim import path_name

AXES = ("data", "fsdp", "tensor")
ROWS = P(("data", "fsdp"))  # of a batch

# The first rule whose regex is found in a parameter's path says which of its
# dimensions the tensor axis divides (Megatron-LM, Shoeybi et al. 2019, section 3):
# columns going into the heads and the hidden layer, rows coming out.
RULES = (
    (r"attention/(query|key|value)/kernel$", (None, "tensor")),
    (r"attention/(query|key|value)/bias$", ("tensor",)),
    (r"attention/out/kernel$", ("tensor", None)),
    (r"mlp/up/kernel$", (None, "tensor")),
    (r"mlp/up/bias$", ("tensor",)),
    (r"mlp/down/kernel$", ("tensor", None)),
    (r"embeddings/token/embedding$", ("tensor", None)),
)


def spec(path: str, shape: tuple[int, ...], mesh: Mesh) -> P:
    """The axes that divide a parameter: its rule, then fsdp on its largest free side.

    An axis that does not divide a dimension evenly leaves it whole. Optimiser moments
    end in the path of their parameter, so they follow it.
    """
    rule = next((axes for regex, axes in RULES if re.search(regex, path)), ())
    axes = list(rule) + [None] * (len(shape) - len(rule))
    axes = [a if a and n % mesh.shape[a] == 0 else None for a, n in zip(axes, shape)]
    free = [
        (n, i)
        for i, n in enumerate(shape)
        if axes[i] is None and n % mesh.shape["fsdp"] == 0
    ]
    if len(shape) >= 2 and free:
        axes[max(free)[1]] = "fsdp"
    return P(*axes)


def shardings(tree: Any, mesh: Mesh) -> Any:
    """Those of a tree of parameters, or of a state, by `spec`."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: NamedSharding(mesh, spec(path_name(path), leaf.shape, mesh)),
        tree,
    )


class Manner(NamedTuple):
    """How the work on global arrays is divided, inside a compiled function.

    step, evaluate: those functions, of a Placement's arguments -> the same, divided.
    total, whole, divided: those of the Placement.
    """

    step: Callable[[Callable], Callable]
    evaluate: Callable[[Callable], Callable]
    total: Callable[[Any], Any]
    whole: Callable[[Any], Any]
    divided: Callable[[Objective], Objective]


def same(it: Any) -> Any:
    """Itself: nothing is to be done."""
    return it


def total(tree: Any) -> Any:
    """The sum over the axis data."""
    return jax.lax.psum(tree, "data")


def whole(tree: Any) -> Any:
    """The rows of all devices of the axis data."""
    return jax.lax.all_gather(tree, "data", tiled=True)


def manner(mesh: Mesh) -> Manner:
    """By parameters wherever any axis but data has more than one device.

    Where the tensor axis has all devices, every one sees the whole batch, and nothing
    is left to divide by hand.
    """
    if mesh.size == mesh.shape["tensor"]:
        return Manner(same, same, same, same, same)
    return _by_rows(mesh) if mesh.size == mesh.shape["data"] else _by_parameters(mesh)


def _by_rows(mesh: Mesh) -> Manner:
    """Every device has all parameters and some rows; gradients are summed by hand.

    Left to itself the compiler sums that of the token table twice over the devices: of
    the look-up and of the decoder, before it adds the two.
    """

    def divided(function, *inputs):
        return _mapped(function, mesh, inputs, P())

    return Manner(
        step=lambda function: divided(function, P(), P("data"), P()),
        evaluate=lambda function: divided(function, P(), P("data")),
        total=total,
        whole=whole,
        divided=same,
    )


def _by_parameters(mesh: Mesh) -> Manner:
    """Every device has a share of the parameters and of the optimiser's state (ZeRO
    stage 3, Rajbhandari et al. 2020, section 5.3): the network gathers what it uses,
    and the gradient of a gathered array is scattered. The tensor axis, and all outside
    of the network, are left to the compiler.

    Left to itself with fsdp, the compiler divides features there in the place of rows,
    and sums the activations of every layer.
    """

    def shares(params):
        """The place of fsdp among the axes of each parameter, and nothing else."""

        def only(sharding):
            return P(*(axis if axis == "fsdp" else None for axis in sharding.spec))

        return jax.tree.map(only, shardings(params, mesh))

    def gathered(leaf, share):
        if "fsdp" not in share:
            return leaf
        return jax.lax.all_gather(leaf, "fsdp", axis=share.index("fsdp"), tiled=True)

    def divided(objective):
        def loss(params, batch, key, counts):
            specs = shares(params)

            def of_rows(params, batch, key, counts):
                whole = jax.tree.map(gathered, params, specs)
                return jax.lax.psum(
                    objective.loss(whole, batch, key, counts), ("data", "fsdp")
                )

            mapped = _mapped(of_rows, mesh, (specs, ROWS, P(), P()), P())
            return mapped(params, batch, key, counts)

        def predict(params, batch):
            specs = shares(params)

            def of_rows(params, batch):
                return objective.predict(jax.tree.map(gathered, params, specs), batch)

            return _mapped(of_rows, mesh, (specs, ROWS), ROWS)(params, batch)

        return objective._replace(loss=loss, predict=predict)

    return Manner(same, same, same, same, divided)


def _mapped(function: Callable, mesh: Mesh, inputs: Any, outputs: Any) -> Callable:
    """A function of each device's part; its sums over devices are its own affair."""
    return jax.shard_map(
        function,
        mesh=mesh,
        in_specs=inputs,
        out_specs=outputs,
        axis_names={"data", "fsdp"},
        check_vma=False,
    )
