"""Cluster profiles: settings of a SLURM or a Kubernetes cluster, as TOML.

`configs/cluster/example.toml` lists every key with a comment. Either table may be left
out, but a table must have all its keys: there are no defaults.
"""

import difflib
import math
import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from bert_jax.run.config import UsageError

EXAMPLE = "configs/cluster/example.toml"


class Slurm(NamedTuple):
    """SLURM settings of one run; time_limit in minutes."""

    partition: str
    account: str
    time_limit: int
    nodes: int
    gpus_per_node: int
    cpus_per_task: int
    memory_gb: int
    signal_seconds: int
    max_parallel: int
    retries: int
    setup: list[str]
    options: dict[str, str | int | bool]


class Kubernetes(NamedTuple):
    """Kubernetes settings of one run. topology: that of a TPU slice, "" for GPU
    nodes."""

    image: str
    namespace: str
    accelerator: str
    topology: str
    hosts: int
    devices_per_host: int
    claim: str
    mount_path: str
    grace_seconds: int
    max_restarts: int


class Profile(NamedTuple):
    """Cluster profile. flops_per_second: measured rate of one device, for estimates."""

    path: Path
    flops_per_second: float
    slurm: Slurm | None
    kubernetes: Kubernetes | None


TABLES = {"slurm": Slurm, "kubernetes": Kubernetes}
FLOPS = "flops_per_second"
KINDS: dict[str, type] = {
    FLOPS: float,
    **{
        f"{name}.{key}": kind if isinstance(kind, type) else kind.__origin__
        for name, table in TABLES.items()
        for key, kind in table.__annotations__.items()
    },
}
LEAST = {  # minima of integers
    "slurm.time_limit": 1,
    "slurm.nodes": 1,
    "slurm.gpus_per_node": 0,
    "slurm.cpus_per_task": 1,
    "slurm.memory_gb": 0,
    "slurm.signal_seconds": 1,
    "slurm.max_parallel": 1,
    "slurm.retries": 0,
    "kubernetes.hosts": 1,
    "kubernetes.devices_per_host": 1,
    "kubernetes.grace_seconds": 1,
    "kubernetes.max_restarts": 0,
}
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"  # RFC 1123, section 2.1
PATTERNS = {  # of texts
    "kubernetes.image": (r"\S+", "the name of an image"),
    "kubernetes.namespace": (LABEL, "a DNS label such as default"),
    "kubernetes.claim": (rf"{LABEL}(\.{LABEL})*", "the name of a volume claim"),
    "kubernetes.mount_path": (r"/\S+", "a path from /"),
    "kubernetes.accelerator": (r"[\w.-]*", "the value of a node's label"),
    "kubernetes.topology": (r"(\d+(x\d+){1,2})?", 'such as 2x4, or "" for GPUs'),
}
# sbatch options that the sweep sets itself.
RESERVED_OPTIONS = {
    "array",
    "chdir",
    "error",
    "job-name",
    "no-requeue",
    "ntasks",
    "open-mode",
}
RESERVED_OPTIONS |= {
    "ntasks-per-node",
    "output",
    "parsable",
    "requeue",
    "signal",
    "wait",
    "wrap",
}
RESERVED_OPTIONS |= {
    "account",
    "cpus-per-task",
    "gpus-per-node",
    "mem",
    "nodes",
    "partition",
}
RESERVED_OPTIONS |= {"time"}


def load(path: Path) -> Profile:
    """Read the profile of a file. Raises UsageError naming every mistake, one a
    line."""
    flat = _flatten(_parse(path))
    if type(flat.get(FLOPS)) is int:
        flat[FLOPS] = float(flat[FLOPS])
    if isinstance(flat.get("slurm.time_limit"), str):
        flat["slurm.time_limit"] = _minutes(flat["slurm.time_limit"])
    problems = _key_problems(flat) or [
        *_value_problems(flat),
        *_consistency_problems(flat),
    ]
    if problems:
        raise UsageError("\n".join(f"{path}: {problem}" for problem in problems))
    tables = {name: _table(name, flat) for name in TABLES}
    return Profile(path, flat[FLOPS], **tables)


def _parse(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"cluster profile {path} does not exist; copy {EXAMPLE}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not TOML, or no UTF-8
        raise UsageError(f"{path} is not TOML: {error}") from None


def _flatten(nested: dict[str, Any]) -> dict[str, Any]:
    """Flatten nested tables to dotted keys, one level deep."""
    flat = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": leaf for name, leaf in value.items()}
        else:
            flat[key] = value
    return flat


def _minutes(text: str) -> int | str:
    """Convert HH:MM:SS or D-HH:MM:SS to minutes, rounded up; return other text
    unchanged."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)", text)
    if not match:
        return text
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return (days * 24 + hours) * 60 + minutes + math.ceil(seconds / 60)


def _key_problems(flat: dict[str, Any]) -> list[str]:
    """Unknown keys, missing keys, and values of a wrong type."""
    problems = [_unknown(key) for key in flat if key not in KINDS]
    present = {key.partition(".")[0] for key in flat}
    for key, kind in KINDS.items():
        if key not in flat:
            if key.partition(".")[0] in present or key == FLOPS:
                problems.append(f"lacks {key}; {EXAMPLE} says what it is")
        elif type(flat[key]) is not kind:
            problems.append(f"{key} must be {_type_name(key)}, not {flat[key]!r}")
    return problems


def _unknown(key: str) -> str:
    near = difflib.get_close_matches(key, KINDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"{EXAMPLE} lists them all"
    return f"there is no key {key}; {hint}"


def _type_name(key: str) -> str:
    if key == "slurm.time_limit":
        return "minutes, or text HH:MM:SS"
    words = {int: "a whole number", float: "a number", str: "text in quotes"}
    words |= {list: "a list of texts", dict: "a table"}
    return words[KINDS[key]]


def _value_problems(flat: dict[str, Any]) -> list[str]:
    """Values out of range."""
    problems = []
    if not 0 < flat[FLOPS] < math.inf:
        problems.append(f"{FLOPS} must be a positive number, not {flat[FLOPS]}")
    for key, least in LEAST.items():
        if key in flat and flat[key] < least:
            problems.append(f"{key} must be at least {least}, not {flat[key]}")
    for key, (form, words) in PATTERNS.items():
        if key in flat and not re.fullmatch(form, flat[key]):
            problems.append(f"{key} must be {words}, not {flat[key]!r}")
    return [*problems, *_setup_problems(flat), *_option_problems(flat)]


def _setup_problems(flat: dict[str, Any]) -> list[str]:
    return [
        f"slurm.setup must be a list of texts, not {line!r}"
        for line in flat.get("slurm.setup", [])
        if not isinstance(line, str)
    ]


def _option_problems(flat: dict[str, Any]) -> list[str]:
    problems = []
    for name, value in flat.get("slurm.options", {}).items():
        if name.replace("_", "-") in RESERVED_OPTIONS:
            problems.append(f"slurm.options.{name} is set by the sweep itself")
        elif not isinstance(value, str | int) or value is False:
            problems.append(
                f"slurm.options.{name} must be text, a whole number or true, "
                f"not {value!r}"
            )
    return problems


def _consistency_problems(flat: dict[str, Any]) -> list[str]:
    """Keys that contradict each other."""
    problems = []
    if "slurm.time_limit" in flat:
        seconds, limit = flat["slurm.signal_seconds"], flat["slurm.time_limit"]
        if seconds >= 60 * limit:
            problems.append(
                f"slurm.signal_seconds {seconds} must be below slurm.time_limit, which "
                f"is {60 * limit} seconds"
            )
    if flat.get("kubernetes.topology") and not flat["kubernetes.accelerator"]:
        problems.append("kubernetes.accelerator must name the kind of TPU")
    if re.fullmatch(r"\d+(x\d+)+", flat.get("kubernetes.topology", "")):
        topology = flat["kubernetes.topology"]
        chips = math.prod(int(side) for side in topology.split("x"))
        hosts, per_host = flat["kubernetes.hosts"], flat["kubernetes.devices_per_host"]
        if chips != hosts * per_host:
            problems.append(
                f"kubernetes.topology {topology} has {chips} chips, but {hosts} hosts "
                f"of {per_host} have {hosts * per_host}"
            )
    return problems


def _table(name: str, flat: dict[str, Any]) -> Any:
    kind = TABLES[name]
    values = {key: flat.get(f"{name}.{key}") for key in kind._fields}
    return kind(**values) if None not in values.values() else None
