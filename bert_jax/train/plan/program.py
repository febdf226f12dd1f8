"""Collectives, memory and operations of a compiled program.

All of it is for one device. XLA's text is read, not its internal tables, which the
backends do not share; the forms are those of jaxlib 0.10's CPU, TPU and NVIDIA compilers.
"""

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

import jax

KINDS = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
)

_HEADER = re.compile(r"^(?:ENTRY )?%?([\w.-]+) \(.*\{\s*$")
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.-]+) = (.*?) ([a-z][a-z0-9-]*)\((.*)")
_ARRAY = re.compile(r"\b([a-z]+\d*)(?:[a-z]\w*)?\[([\d,]*)\]")
_CALL = re.compile(r"\b(calls|to_apply|body)=%?([\w.-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_COLLECTIVE = re.compile(rf"({'|'.join(KINDS)})(?:-start)?$")

_CONTROL = ("call", "while", "conditional")  # what they do is done by what they call
_NAMES = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast")


class Collective(NamedTuple):
    """Arrays that devices exchange.

    kind: one of KINDS. bytes: of the whole arrays, in one round; what is gathered is
    counted after, what is reduced or scattered before. group: the devices that take
    part. rounds: how often a step does it, more than once in a loop.
    """

    kind: str
    bytes: int
    group: int
    rounds: int

    @property
    def sent(self) -> float:
        """Bytes that each device sends in a step, round a ring (Patarasuk and Yuan
        2009, section 3): a whole reduction is a scatter and a gather."""
        share = (self.group - 1) / self.group
        factor = {"all-reduce": 2 * share, "collective-permute": 1}
        return self.rounds * self.bytes * factor.get(self.kind, share)


class Memory(NamedTuple):
    """Bytes of a device: what goes in and out, what is both, what is in between."""

    arguments: int
    outputs: int
    donated: int
    temporaries: int
    code: int

    @property
    def peak(self) -> int:
        """Upper bound; outputs that take the place of an argument cost nothing."""
        both = self.arguments + self.outputs - self.donated
        return both + self.temporaries + self.code


class Work(NamedTuple):
    """Operations, and bytes read and written, of one device; a loop counts once."""

    flops: float
    bytes: float


class _Line(NamedTuple):
    """An instruction: where it stands, its name, type, operation, and what follows."""

    computation: str
    name: str
    type: str
    operation: str
    rest: str


def memory(compiled: jax.stages.Compiled) -> Memory:
    """Memory that XLA set aside."""
    found = compiled.memory_analysis()
    assert found is not None
    return Memory(
        arguments=found.argument_size_in_bytes,
        outputs=found.output_size_in_bytes,
        donated=found.alias_size_in_bytes,
        temporaries=found.temp_size_in_bytes,
        code=found.generated_code_size_in_bytes,
    )


def work(compiled: jax.stages.Compiled) -> Work:
    """Operations and bytes that XLA counts; each fusion reads and writes memory.

    For NVIDIA XLA counts nothing: bytes are those of `traffic`, operations are 0.
    """
    found = compiled.cost_analysis()
    if found is None:
        return Work(0.0, traffic(str(compiled.as_text())))
    return Work(found["flops"], found["bytes accessed"])


def traffic(text: str) -> float:
    """Bytes that a program's instructions read and write, what is fused as one. Of an
    array that is read in part the whole counts."""
    lines = list(_lines(text))
    types = {line.name: line.type for line in lines}
    fused = {
        called
        for line in lines
        if line.operation not in _CONTROL
        for _, called in _CALL.findall(line.rest)
    }
    return float(
        sum(
            _bytes(line.type) + sum(_bytes(types[x]) for x in _operands(line.rest))
            for line in lines
            if line.computation not in fused
            and line.operation not in (*_CONTROL, *_NAMES)
            and not line.operation.endswith("-done")
        )
    )


def collectives(text: str, devices: int) -> list[Collective]:
    """Collectives of a program's text (`compiled.as_text()`) on so many devices.

    A collective that runs beside other work counts once: where it starts, or, if the
    compiler spread it over several fusions, as the one chain that these make. One of a
    single device sends nothing and is left out.
    """
    lines = list(_lines(text))
    types = {line.name: line.type for line in lines}
    rounds = _rounds(lines)
    found, chains = [], set()
    for line in lines:
        match = _COLLECTIVE.match(line.operation)
        group = _group(line.rest, devices) if match else 1
        chain = re.search(r'chain_id="(\d+)"', line.rest)
        if match is None or group == 1 or (chain and chain[1] in chains):
            continue
        if chain:
            chains.add(chain[1])
        kind = match[1]
        # A TPU's way to write a scatter: a sum of which each device keeps its part.
        if kind == "all-reduce" and "all-reduce-scatter" in line.computation:
            kind = "reduce-scatter"
        size = sum(_bytes(types[name]) for name in _operands(line.rest))
        size *= group if kind == "all-gather" else 1
        found.append(Collective(kind, size, group, rounds[line.computation]))
    return found


def _lines(text: str) -> Iterable[_Line]:
    computation = ""
    for line in text.splitlines():
        if header := _HEADER.match(line):
            computation = header[1]
        elif found := _INSTRUCTION.match(line):
            yield _Line(computation, *found.groups())


def _rounds(lines: list[_Line]) -> dict[str, int]:
    """Number of runs of each computation; a loop of unknown length counts once."""
    callers = {}
    for line in lines:
        trips = _TRIPS.search(line.rest)
        for how, called in _CALL.findall(line.rest):
            callers[called] = (
                line.computation,
                int(trips[1]) if trips and how == "body" else 1,
            )
    found = {}
    for name in {line.computation for line in lines}:
        times, at = 1, name
        while at in callers:
            at, trips = callers[at]
            times *= trips
        found[name] = times
    return found


def _operands(rest: str) -> list[str]:
    return re.findall(r"%([\w.-]+)", rest.partition(")")[0])


def _bytes(type: str) -> int:
    """Bytes of an array or of a tuple: `(f32[2,3]{1,0}, bf16[4])` is 32."""
    total = 0
    for element, sizes in _ARRAY.findall(type):
        bits = 8 if element == "pred" else int(re.sub(r"\D", "", element) or 0)
        count = math.prod(int(size) for size in sizes.split(",") if size)
        total += -(-bits * count // 8)
    return total


def _group(rest: str, devices: int) -> int:
    """Devices of one group, as any of XLA's four ways of writing groups has it."""
    if named := re.search(r"replica_groups=mesh\[(.*?)\].*? \{(.*?)\}", rest):
        sizes = dict(re.findall(r"('\w+')=(\d+)", named[1]))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'\w+'", named[2]))
    if tiled := re.search(r"replica_groups=\[\d+,(\d+)\]<=", rest):
        return int(tiled[1])
    if listed := re.search(r"replica_groups=\{\{([\d,]+)\}", rest):
        return len(listed[1].split(","))
    return devices
