"""Training steps of bert_jax beside those of its peers, timed in turns.

  python -m benchmarks.step --json=step.json                     # all rows of the machine
  python -m benchmarks.step --rows small-128 --dropout 0.1 --sides ours:float32 \\
    eager:float32 eager:bfloat16 --warmup=3 --rounds=9 --steps=5

A row is a model and a length (batch sizes: benchmarks/cases.py); a side is who steps,
and in which arithmetic: ours, eager, stock and strong (PyTorch: benchmarks/peers.py),
flax. All take the same random full rows, positions to predict and dropout, clip, and do
AdamW; ours also draws the masks of every step, inside it. Each side is a process of its
own, with as many threads as there are cores; they take rounds in turns, and nothing is
fetched before the end of a round. The peak is that of the device, on a CPU of the
process. The first step includes compilation. MFU counts the FLOPs of bert_jax/run/flops.py,
the same for every side, and divides by the device's peak in bfloat16.

torch and transformers are no dependencies of the project, and a side that fails is a
line with its reason. Install both beside bert_jax; Flax BERT needs transformers 4, so
--flax=PYTHON names an interpreter that has that. What --json=FILE already holds of a row
is kept, and not measured again.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import cases, tables, worker
from benchmarks.cases import Case, Side
from benchmarks.worker import Failed, Worker
from bert_jax.run import flops, hugepages

MODULES = {
    "ours": "benchmarks.ours",
    "eager": "benchmarks.peers",
    "stock": "benchmarks.peers",
    "strong": "benchmarks.peers",
    "flax": "benchmarks.peers_flax",
}
TUNED = ("ours", "strong")  # have large pages: launch.py asks for them
ROWS_CPU, ROWS_GPU = list(cases.BATCHES)[:2], list(cases.BATCHES)[2:]
DTYPES = ("float32", "bfloat16")
SIDES_CPU = [
    f"{side}:{dtype}" for side in ("ours", "eager", "stock") for dtype in DTYPES
]
SIDES_GPU = ["ours:bfloat16", "stock:bfloat16", "strong:bfloat16"]
PATIENCE = 900  # seconds that a side may take for a round or its compilation
Found = dict[str, dict[str, Any]]  # of each side: what was measured, or why not


def measure(case: Case, sides: Sequence[Side], given: argparse.Namespace) -> Found:
    """Every side's rounds. What does not fit in memory beside others is timed alone."""
    found = together(case, sides, given)
    apart = [side for side in sides if "memory" in found[str(side)].get("failed", "")]
    for side in apart if len(sides) > 1 else []:
        found |= {
            name: {**facts, "alone": True}
            for name, facts in together(case, [side], given).items()
        }
    return found


def together(case: Case, sides: Sequence[Side], given: argparse.Namespace) -> Found:
    found: Found = {str(side): {"seconds": []} for side in sides}
    large = hugepages.environment(os.environ, hugepages.KERNEL)
    workers: dict[str, Worker] = {}

    def turn(name: str, steps: int) -> float:
        """The seconds of a step; a side that fails takes no further turn."""
        try:
            answer = worker.ask(workers[name], steps, given.patience)
        except Failed as reason:
            found[name] = {"failed": str(reason)}
            del workers[name]
            return 0.0
        found[name] |= {"memory": answer["memory"], **answer["about"]}
        return answer["seconds"] / steps

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for side in sides:
            name, module = str(side), MODULES[side.name]
            python = given.flax if side.name == "flax" else sys.executable
            environment = large if side.name in TUNED else {}
            starting = worker.running(
                python, module, (case, side), folder / name, environment
            )
            workers[name] = stack.enter_context(starting)
            found[name]["first_step"] = turn(name, 1)
            if name in workers and given.warmup:
                turn(name, given.warmup)
            say(f"{case.name}: {name} {'is warm' if name in workers else 'failed'}")
        for number in range(given.rounds):
            for name in list(workers)[:: -1 if number % 2 else 1]:
                seconds = turn(name, given.steps)
                if name in workers:
                    found[name]["seconds"].append(seconds)
    return found


def summary(case: Case, found: Found) -> dict[str, Any]:
    """With medians, rates, and how many times as fast as each peer each of ours is."""
    measured = {name: facts for name, facts in found.items() if facts.get("seconds")}
    for facts in measured.values():
        seconds = statistics.median(facts["seconds"])
        peak = flops.peak(facts["device"])
        facts |= {
            "median": seconds,
            "tokens_per_s": case.tokens / seconds,
            "flops_per_s": case.flops / seconds,
            "mfu": case.flops / seconds / peak if peak else None,
            "ours_is_faster": {
                name: tables.ratio(facts["seconds"], our_facts["seconds"])
                for name, our_facts in measured.items()
                if name.startswith("ours")
            },
        }
    return {"case": case._asdict(), "sides": found}


def table(results: dict[str, dict[str, Any]]) -> str:
    variants = list(
        dict.fromkeys(s for r in results.values() for s in ours(r["sides"]))
    )
    header = ["row", "side", "ms a step", "real tokens/s", "TFLOP/s", "MFU"]
    header += ["peak GiB", "first step s", *(f"{name} is faster" for name in variants)]
    rows = []
    for name, result in results.items():
        for side in sorted(result["sides"], key=place):
            line, facts = [name, side], result["sides"][side]
            rows.append(line + (cells(facts, variants) or [facts["failed"]]))
    return tables.markdown(header, rows)


def is_measured(sides: Found) -> bool:
    return any(facts.get("seconds") for facts in sides.values())


def place(side: str) -> tuple[int, int]:
    """Where a side stands among the others: ours first, float32 before bfloat16."""
    name, _, dtype = side.partition(":")
    return list(MODULES).index(name), DTYPES.index(dtype)


def ours(sides: Found) -> list[str]:
    return sorted((name for name in sides if name.startswith("ours")), key=place)


def cells(facts: dict[str, Any], variants: Sequence[str]) -> list[str]:
    if not facts.get("seconds"):
        return []
    faster = facts["ours_is_faster"]
    mfu = f"{100 * facts['mfu']:.1f} %" if facts["mfu"] else "no peak known"
    alone = ", alone" if facts.get("alone") else ""
    return [
        tables.spread([1e3 * seconds for seconds in facts["seconds"]]) + alone,
        tables.number(facts["tokens_per_s"]),
        tables.number(facts["flops_per_s"] / 1e12),
        mfu,
        tables.number(facts["memory"] / 2**30),
        tables.number(facts["first_step"]),
        *(f"{faster[name]:.2f}" if name in faster else "" for name in variants),
    ]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def options() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    gpu = cases.has_gpu()
    parser.add_argument(
        "--rows",
        nargs="+",
        default=ROWS_GPU if gpu else ROWS_CPU,
        choices=cases.BATCHES,
    )
    parser.add_argument("--dropout", nargs="+", type=float, default=[0.0, 0.1])
    parser.add_argument(
        "--sides",
        nargs="+",
        type=side_of,
        metavar="NAME:DTYPE",
        help="of " + ", ".join(MODULES),
    )
    parser.add_argument("--flax", help="a Python with transformers 4: adds that side")
    parser.add_argument("--batch", type=int, help="in place of the row's own")
    parser.add_argument("--warmup", type=int, default=20, help="steps, not timed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=50, help="of one round")
    parser.add_argument(
        "--limit", type=float, default=1e9, help="no new row after it, s"
    )
    parser.add_argument("--patience", type=float, default=PATIENCE, help="a round, s")
    parser.add_argument("--json", type=Path, help="write and keep the numbers here")
    given = parser.parse_args()
    if not given.sides:
        given.sides = list(map(side_of, SIDES_GPU if gpu else SIDES_CPU))
        if given.flax:
            given.sides.append(Side("flax", "bfloat16" if gpu else "float32"))
    given.flax = given.flax or sys.executable
    return given


def side_of(text: str) -> Side:
    name, _, dtype = text.partition(":")
    if name not in MODULES or dtype not in DTYPES:
        raise argparse.ArgumentTypeError(f"{text} is no side, such as ours:float32")
    return Side(name, dtype)


def main() -> None:
    given, since = options(), time.monotonic()
    results = tables.read(given.json)
    for row in given.rows:
        for dropout in given.dropout:
            case = cases.case_of(row, given.batch or cases.BATCHES[row], dropout)
            if case.name in results and is_measured(results[case.name]["sides"]):
                say(f"{case.name}: in {given.json}, kept")
            elif time.monotonic() - since > given.limit:
                say(f"{case.name}: left out, the time of --limit is over")
            else:
                found = summary(case, measure(case, given.sides, given))
                found["timing"] = f"{given.warmup} steps to warm up, then "
                found["timing"] += f"{given.rounds} rounds of {given.steps}"
                results[case.name] = found
                tables.write(given.json, results)
    print(report(results))


def report(results: dict[str, dict[str, Any]]) -> str:
    """The table and what it was taken on, in markdown."""
    sides = [facts for r in results.values() for facts in r["sides"].values()]
    versions = [facts["versions"] for facts in sides if "versions" in facts]
    devices = [facts["device"] for facts in sides if "device" in facts]
    timing = dict.fromkeys(result["timing"] for result in results.values())
    facts = tables.conditions([cases.processor(), *devices], versions)
    return f"{table(results)}\n\n{'; '.join([*timing, facts])}"


if __name__ == "__main__":
    main()
