"""A machine's devices, in as many equal parts as runs that share it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bert_jax.run.config import UsageError


class Slot(NamedTuple):
    """cores: that its process may use, () for all. environment: what it sees of the
    accelerators. devices: how many those are, 1 for the processor."""

    cores: tuple[int, ...]
    environment: dict[str, str]
    devices: int


def share(count: int) -> list[Slot]:
    """So many slots of this machine. Raises UsageError where they come out uneven."""
    if count < 1:
        raise UsageError(f"--slots={count}: one or more are expected")
    cores, gpus = _cores(), _gpus()
    if gpus and len(gpus) % count:
        raise UsageError(
            f"--slots={count} does not divide the {len(gpus)} GPUs of this machine"
        )
    parts = [_part(cores, count, number) for number in range(count)]
    if not gpus:
        return [Slot(part, {}, 1) for part in parts]
    each = len(gpus) // count
    visible = [gpus[i * each : (i + 1) * each] for i in range(count)]
    return [
        Slot(part, {"CUDA_VISIBLE_DEVICES": ",".join(own)}, each)
        for part, own in zip(parts, visible)
    ]


def _part(cores: Sequence[int], count: int, number: int) -> tuple[int, ...]:
    """Of more slots than cores, several share one."""
    if not cores or count == 1:
        return ()
    if count > len(cores):
        return (cores[number % len(cores)],)
    return tuple(
        cores[len(cores) * number // count : len(cores) * (number + 1) // count]
    )


def _cores() -> list[int]:
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0))


def _gpus() -> list[str]:
    """The NVIDIA GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if "cpu" in os.environ.get("JAX_PLATFORMS", ""):
        return []
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name]
    found = Path("/dev").glob("nvidia[0-9]*")
    return sorted((path.name.removeprefix("nvidia") for path in found), key=int)
