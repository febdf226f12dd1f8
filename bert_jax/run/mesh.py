"""Sizes of a device mesh, and checks that batches are divisible by them."""

import math
from collections.abc import Mapping

from bert_jax.run.config import UsageError


def sizes(mesh: str, devices: int) -> tuple[int, int, int]:
    """Parse `-1x2x1` for a number of devices -> (data, fsdp, tensor)."""
    axes = [int(size) for size in mesh.split("x")]
    known = math.prod(size for size in axes if size != -1)
    if -1 in axes:
        axes[axes.index(-1)] = max(devices // known, 1)
    wanted = math.prod(axes)
    if wanted > devices or ("-1" in mesh and wanted != devices):
        raise UsageError(f"parallel.mesh={mesh} does not fit {devices} devices")
    return axes[0], axes[1], axes[2]


def fitted(
    mesh: str, devices: int, batch_sizes: Mapping[str, int]
) -> tuple[int, int, int]:
    """The sizes, checked to divide every named batch evenly. Raises UsageError."""
    axes = sizes(mesh, devices)
    shards = axes[0] * axes[1]
    for name, size in batch_sizes.items():
        if size % shards:
            raise UsageError(
                f"{name} {size} is not divisible by the {shards} devices that share "
                f"a batch (parallel.mesh={mesh}): choose a multiple of {shards}"
            )
    return axes


def check_lane(mesh: str) -> None:
    """Refuse a mesh that shards a model: a lane has one device."""
    if mesh.split("x")[1:] != ["1", "1"]:
        raise UsageError(
            f"a lane lives on one device, and parallel.mesh={mesh} divides a model: "
            "leave out the lanes, or set parallel.mesh=-1x1x1"
        )


def batches(config) -> dict[str, int]:
    """The batches of a config that are sharded, by the names of their keys."""
    return {
        "train.batch / train.accumulate": config.train.batch // config.train.accumulate,
        "eval.batch": config.eval.batch,
    }
