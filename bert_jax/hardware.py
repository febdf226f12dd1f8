"""What an accelerator's maker says of it, and how fast a program can be there at best.

Arithmetic alone. The figures are those of the pages "TPU v5e", "TPU v5p" and "TPU v6e"
of Google's Cloud TPU documentation, read in 2026; peaks are in `flops`.
"""

import hashlib
import importlib.util
import os
import platform
import re
import sys
from pathlib import Path
from typing import NamedTuple

from bert_jax import flops
from bert_jax.config import UsageError

GB = 1e9


class Chip(NamedTuple):
    """memory: bytes. bandwidth: of that memory, bytes/s. links: bytes/s that it can
    send to other chips over all its links, half of what is called bidirectional."""

    kind: str
    memory: float
    bandwidth: float
    links: float

    @property
    def peak(self) -> float:
        """Dense bfloat16 FLOP/s."""
        found = flops.peak(self.kind)
        assert found is not None
        return found


CHIPS = {
    "v5e": Chip("TPU v5e", 16 * GB, 819 * GB, 200 * GB),
    "v5p": Chip("TPU v5p", 95 * GB, 2765 * GB, 600 * GB),
    "v6e": Chip("TPU v6e", 32 * GB, 1638 * GB, 400 * GB),
}

# Beside the packages, not among them: there JAX would look for a TPU at every start.
LIBTPU = Path(sys.prefix) / "tpu" / "libtpu" / "libtpu.so"


class Bounds(NamedTuple):
    """Seconds of a step that each part of a device needs for its share, at its best."""

    compute: float
    memory: float
    links: float

    @property
    def together(self) -> float:
        """Where each part works while the others do."""
        return max(self)

    @property
    def in_turn(self) -> float:
        """Where each part waits for the others."""
        return sum(self)

    @property
    def binding(self) -> str:
        names = ("arithmetic", "memory bandwidth", "links between chips")
        return names[self.index(max(self))]


def roofline(chip: Chip, operations: float, moved: float, sent: float) -> Bounds:
    """Williams et al. 2009, with a third roof for the links. All of one device."""
    return Bounds(operations / chip.peak, moved / chip.bandwidth, sent / chip.links)


def chip(topology: str) -> Chip | None:
    """That of `v5e:4x4`; None of `cpu:8`, devices that are only simulated."""
    match = re.fullmatch(r"(?:cpu:[1-9]\d*|(\w+):[1-9]\d*(x[1-9]\d*)+)", topology)
    if match is None or (match[1] and match[1] not in CHIPS):
        raise UsageError(
            f"there is no topology {topology!r}: give v5e:4x4, v6e:2x4, v5p:2x2x2 or "
            "another shape of these chips, or cpu:8 for simulated devices"
        )
    return CHIPS[match[1]] if match[1] else None


def environment(topology: str) -> dict[str, str]:
    """What must stand in the environment before JAX is imported to compile for a
    topology. Raises UsageError where that cannot be done here."""
    common = {"JAX_PLATFORMS": "cpu"}
    if chip(topology) is None:
        given, count = os.environ.get("XLA_FLAGS", ""), topology.removeprefix("cpu:")
        flag = f"--xla_force_host_platform_device_count={count}"
        return common | {"XLA_FLAGS": f"{given} {flag}".strip()}
    return common | {
        "TPU_LIBRARY_PATH": _libtpu(),
        # No TPU is looked for, and several processes may compile at a time.
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_ACCELERATOR_TYPE": "v5litepod-8",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }


def processor() -> str:
    """The instructions that this machine's processor knows, as a short name.

    What was compiled for one kind may not run on another.
    """
    facts = [platform.machine()]
    described = Path("/proc/cpuinfo")
    if described.is_file():
        lines = described.read_text(encoding="utf-8").splitlines()
        facts += [line for line in lines if line.startswith(("flags", "Features"))][:1]
    return hashlib.sha256("".join(facts).encode()).hexdigest()[:8]


def _libtpu() -> str:
    """The file that compiles for TPUs."""
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
