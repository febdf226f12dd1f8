"""Training on machines that are not here: what the compiled step sends, holds, costs.

  python -m benchmarks.scaling --json=scaling.json --png=scaling.png [--only=base-128]

The train step of each row of benchmarks.step, dropout 0.1, is compiled ahead of time
for each topology, its devices sharing rows (data) or parameters too (fsdp), as
`launch.py plan` does it; times are a roofline's and no measurement. Each is compiled in
a process of its own, in minutes; where nothing here compiles for a topology, that is a
line with the reason. What --json has already is not compiled again.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from ml_collections import FrozenConfigDict

from benchmarks import cases, tables
from bert_jax.run import hardware, rundir
from bert_jax.run.config import UsageError
from bert_jax.run.hardware import GB, Bounds
from bert_jax.train.plan import main as plan
from bert_jax.train.plan import program

ROOT = Path(__file__).parents[1]
ROWS = ("base-128", "base-512", "large-512")
PLACES = {  # of a topology, the meshes: data x fsdp x tensor
    "v5e:2x4": ("8x1x1", "1x8x1"),
    "v6e:2x4": ("8x1x1", "1x8x1"),
    "v5p:2x2x2": ("8x1x1", "1x8x1"),
    "v5e:4x4": ("16x1x1", "1x16x1"),
    "h100:1": ("1x1x1",),
    "h100:8": ("8x1x1", "1x8x1"),
    "cpu:8": ("8x1x1", "1x8x1"),
}
DROPOUT = 0.1
PARTS = {
    "compute": "arithmetic",
    "memory": "memory traffic",
    "links": "links between chips",
}


class Case(NamedTuple):
    row: str
    topology: str
    mesh: str

    def __str__(self) -> str:
        return " ".join(self)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="a regex over ROW TOPOLOGY MESH")
    parser.add_argument("--json", type=Path, help="the results, kept and added to")
    parser.add_argument("--png", type=Path, help="a picture of them")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(compiled(Case(*arguments.one))))
        return
    found = tables.read(arguments.json)
    for case in wanted(arguments.only):
        if str(case) in found:
            continue
        try:
            found[str(case)] = alone(case)
        except UsageError as error:
            print(f"{case}: {error}", file=sys.stderr)
        tables.write(arguments.json, found)
    found = {str(case): found[str(case)] for case in wanted("") if str(case) in found}
    print(table(found))
    if arguments.png:
        draw(found, arguments.png)


def wanted(pattern: str) -> list[Case]:
    every = [
        Case(row, topology, mesh)
        for row in ROWS
        for topology, meshes in PLACES.items()
        for mesh in meshes
    ]
    return [case for case in every if re.search(pattern, str(case))]


def alone(case: Case) -> dict[str, Any]:
    """Compiled in a process of its own: the environment names the devices."""
    command = [sys.executable, "-m", "benchmarks.scaling", "--one", *case]
    environment = {**os.environ, **hardware.environment(case.topology)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE
    )
    return json.loads(done.stdout)


def compiled(case: Case) -> dict[str, Any]:
    started = time.perf_counter()
    batch = cases.BATCHES[case.row]
    config = cases.config_of(case.row, batch, DROPOUT, "bfloat16")
    config.parallel.mesh = case.mesh
    found = plan.make(FrozenConfigDict(config), case.topology)
    sent: dict[str, list[float]] = {}
    for each in found.collectives:
        counted = sent.setdefault(each.kind, [0, 0, 0])
        counted[0] += each.rounds
        counted[1] += each.rounds * each.bytes
        counted[2] += each.sent
    return {
        "batch": batch,
        "devices": found.devices,
        "tokens": found.tokens,
        "parameters": found.parameters,
        "memory": found.memory.peak,
        "state": found.memory.arguments,
        "collectives": sent,  # of each kind: how many, bytes, bytes that a device sends
        "flops": found.work.flops,
        "formula": found.formula / found.devices,
        "bounds": found.bounds and found.bounds._asdict(),
        "compile_seconds": time.perf_counter() - started,
        "commit": rundir.commit(),
        "versions": rundir.versions(),
    }


def table(found: dict[str, Any]) -> str:
    header = ["row, topology, mesh", "rows a chip", "GB a chip"]
    header += [f"{kind}, MB" for kind in program.KINDS[:3]]
    header += ["arithmetic, ms", "memory, ms", "links, ms", "tokens/s", "MFU, %"]
    rows = [
        [name, *cells(Case(*name.split()), result)] for name, result in found.items()
    ]
    text = tables.markdown(header, rows)
    versions = next(iter(found.values()))["versions"] if found else {}
    used = ", ".join(f"{name} {versions[name]}" for name in versions if name == "jax")
    note = (
        "MB: of whole arrays, a step. tokens/s and MFU: from one part of a chip after "
        "the other to all at once. * more than the chip has."
    )
    return f"{text}\n\n{note}\n\n{tables.conditions(['no accelerator'], [used])}"


def cells(case: Case, result: dict[str, Any]) -> list[str]:
    chip = hardware.chip(case.topology)
    memory = tables.number(result["memory"] / GB)
    if chip and result["memory"] > chip.memory:
        memory += "*"
    sent = [
        tables.number(result["collectives"].get(kind, [0, 0, 0])[1] / 1e6)
        for kind in program.KINDS[:3]
    ]
    share = str(result["batch"] // result["devices"])
    if chip is None:
        return [share, memory, *sent, *[""] * 5]
    bounds = Bounds(**result["bounds"])
    rates = [result["tokens"] / time for time in (bounds.in_turn, bounds.together)]
    shares = [
        100 * result["formula"] / chip.peak / time
        for time in (bounds.in_turn, bounds.together)
    ]
    return [
        share,
        memory,
        *sent,
        *(tables.number(1e3 * time) for time in bounds),
        " to ".join(map(tables.number, rates)),
        " to ".join(f"{share:.0f}" for share in shares),
    ]


def draw(found: dict[str, Any], path: Path) -> None:
    """What each part of a chip needs for a step, and what the step needs of memory."""
    real = {
        name: result for name, result in found.items() if result["bounds"] is not None
    }
    figure = Figure((11, 1.2 + 0.42 * len(real)), layout="constrained")
    times, memory = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    for place, (name, result) in enumerate(real.items()):
        left = 0.0
        for part, color in zip(PARTS, ("C0", "C1", "C2"), strict=True):
            width = 1e3 * result["bounds"][part]
            times.barh(place, width, left=left, color=color)
            left += width
        chip = hardware.chip(Case(*name.split()).topology)
        assert chip is not None
        memory.barh(place, 100 * result["memory"] / chip.memory, color="C7")
    times.set_yticks(range(len(real)), list(real))
    times.set_ylim(-0.7, len(real) - 0.3)
    times.invert_yaxis()
    times.set_xlabel("ms a step that each part of a chip is busy, at its full speed")
    figure.legend(
        times.containers[:3], PARTS.values(), loc="outside upper center", ncols=3
    )
    memory.axvline(100, color="black", linewidth=1)
    memory.set_xlabel("% of the chip's memory")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
