"""Slots: equal parts of a machine's devices, one for each concurrent run."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bert_jax.run.config import UsageError


class Slot(NamedTuple):
    """Resources of one process. cores: () for all. environment: variables that select
    its accelerators. devices: their number, 1 for the CPU."""

    cores: tuple[int, ...]
    environment: dict[str, str]
    devices: int


def split_machine(count: int) -> list[Slot]:
    """Split this machine into `count` slots. Raises UsageError if they are uneven."""
    if count < 1:
        raise UsageError(f"--slots={count}: one or more are expected")
    cores, gpus = _cores(), _gpus()
    if gpus and len(gpus) % count:
        raise UsageError(
            f"--slots={count} does not divide the {len(gpus)} GPUs of this machine"
        )
    parts = [_slot_cores(cores, count, number) for number in range(count)]
    if not gpus:
        return [Slot(part, {}, 1) for part in parts]
    per_slot = len(gpus) // count
    visible = [gpus[i * per_slot : (i + 1) * per_slot] for i in range(count)]
    return [
        Slot(part, {"CUDA_VISIBLE_DEVICES": ",".join(gpu_names)}, per_slot)
        for part, gpu_names in zip(parts, visible)
    ]


def _slot_cores(cores: Sequence[int], count: int, number: int) -> tuple[int, ...]:
    """The cores of slot `number`; with more slots than cores, slots share cores."""
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
