"""The sharding of parameters over a mesh, by rules over their paths.

A model knows nothing of this.
"""

import re
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

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
    (r"mlp/(up|gate)/kernel$", (None, "tensor")),
    (r"mlp/(up|gate)/bias$", ("tensor",)),
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
    """The shardings of a tree of parameters, or of a state, by `spec`."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: NamedSharding(mesh, spec(path_name(path), leaf.shape, mesh)),
        tree,
    )


def fsdp_specs(params: Any, mesh: Mesh) -> Any:
    """The place of fsdp among the axes of each parameter, and of no other axis."""

    def only(sharding):
        return P(*(axis if axis == "fsdp" else None for axis in sharding.spec))

    return jax.tree.map(only, shardings(params, mesh))


def all_gather_fsdp(leaf: jax.Array, spec: P) -> jax.Array:
    """A parameter made of the shares of all devices along fsdp, if it has shares."""
    if "fsdp" not in spec:
        return leaf
    return jax.lax.all_gather(leaf, "fsdp", axis=spec.index("fsdp"), tiled=True)
