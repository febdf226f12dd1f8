"""Hardware data of accelerators, and roofline bounds of programs.

The figures are those of the pages "TPU v5e", "TPU v5p" and "TPU v6e" of Google's Cloud
TPU documentation and NVIDIA's datasheet "H100 SXM", read in 2026; peaks are in `flops`.
"""

import hashlib
import importlib.util
import os
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from bert_jax.run import flops
from bert_jax.run.config import UsageError

GB = 1e9


class Chip(NamedTuple):
    """Data of a chip. memory: bytes. bandwidth: of that memory, bytes/s. links: bytes/s
    sent to other chips over all links, half of the bidirectional figure."""

    kind: str
    memory: float
    bandwidth: float
    links: float

    @property
    def peak(self) -> float:
        """Dense bfloat16 FLOP/s."""
        rate = flops.peak(self.kind)
        assert rate is not None
        return rate


CHIPS = {
    "v5e": Chip("TPU v5e", 16 * GB, 819 * GB, 200 * GB),
    "v5p": Chip("TPU v5p", 95 * GB, 2765 * GB, 600 * GB),
    "v6e": Chip("TPU v6e", 32 * GB, 1638 * GB, 400 * GB),
    "h100": Chip("NVIDIA H100", 80 * GB, 3350 * GB, 450 * GB),
}

COUNT = r"[1-9]\d*"
SHAPE = rf"{COUNT}(x{COUNT})+"

# Not among the packages, where JAX would look for a TPU at every start.
LIBTPU = Path(sys.prefix) / "tpu" / "libtpu" / "libtpu.so"


class Bounds(NamedTuple):
    """Lower bounds in seconds of a step, for each part of a device."""

    compute: float
    memory: float
    links: float

    @property
    def together(self) -> float:
        """Bound if all parts work concurrently."""
        return max(self)

    @property
    def in_turn(self) -> float:
        """Bound if the parts work one after another."""
        return sum(self)

    @property
    def binding(self) -> str:
        names = ("arithmetic", "memory bandwidth", "links between chips")
        return names[self.index(max(self))]


def roofline(chip: Chip, operations: float, moved: float, sent: float) -> Bounds:
    """Roofline bounds of one device (Williams et al. 2009), with a third roof for
    links."""
    return Bounds(operations / chip.peak, moved / chip.bandwidth, sent / chip.links)


def chip(topology: str) -> Chip | None:
    """The chip of `v5e:4x4`; None for `cpu:8`, simulated devices."""
    name, _, shape = topology.partition(":")
    flat = name in ("cpu", "h100")
    known = name == "cpu" or name in CHIPS
    if not known or not re.fullmatch(COUNT if flat else SHAPE, shape):
        raise UsageError(
            f"there is no topology {topology!r}: give v5e:4x4, v6e:2x4, v5p:2x2x2 or "
            "another shape of these chips, h100:8 or another number of these, or cpu:8 "
            "for simulated devices"
        )
    return CHIPS.get(name)


def environment(topology: str) -> dict[str, str]:
    """Environment variables, set before JAX is imported, to compile for a topology.
    Raises UsageError if that is impossible here."""
    common = {"JAX_PLATFORMS": "cpu"}
    name, _, shape = topology.partition(":")
    target = chip(topology)
    if target is None:
        return common | _flag(f"--xla_force_host_platform_device_count={shape}")
    if name == "h100":
        _check_plugin()
        # There is no device to autotune on.
        return common | _flag("--xla_gpu_autotune_level=0")
    return common | {
        "TPU_LIBRARY_PATH": _libtpu(),
        # Do not search for a TPU; allow several processes to compile at a time.
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_ACCELERATOR_TYPE": "v5litepod-8",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }


def _flag(flag: str) -> dict[str, str]:
    return {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()}


def _check_plugin() -> None:
    package = importlib.util.find_spec("jax_plugins")
    places = package.submodule_search_locations or [] if package else []
    if not any(path for place in places for path in Path(place).glob("xla_cuda*")):
        raise UsageError(
            "compiling for an H100 needs JAX's CUDA plugin, which is not here: "
            f"{sys.executable} -m pip install 'jax[cuda12]=={version('jax')}', 6 GB, no "
            "GPU needed (or --topology=cpu:8, which needs nothing)"
        )


def processor() -> str:
    """A short hash of the instruction set of this machine's processor.

    Programs compiled for one kind may not run on another.
    """
    facts = [platform.machine()]
    described = Path("/proc/cpuinfo")
    if described.is_file():
        lines = described.read_text(encoding="utf-8").splitlines()
        facts += [line for line in lines if line.startswith(("flags", "Features"))][:1]
    return hashlib.sha256("".join(facts).encode()).hexdigest()[:8]


def _libtpu() -> str:
    """The path of the library that compiles for TPUs."""
    given = os.environ.get("TPU_LIBRARY_PATH", "")
    package = importlib.util.find_spec("libtpu")
    installed = (
        [Path(place) for place in package.submodule_search_locations or []]
        if package
        else []
    )
    for path in [Path(given), LIBTPU, *(place / LIBTPU.name for place in installed)]:
        if path.is_file():
            return str(path)
    raise UsageError(
        "compiling for a TPU needs libtpu, which is made for Linux on x86-64 and is not "
        f"here: {sys.executable} -m pip install --target {LIBTPU.parents[1]} --no-deps "
        "'libtpu==0.0.42.*' (or --topology=cpu:8, which needs nothing)"
    )
