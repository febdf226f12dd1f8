"""K runs trained by one step, beside the same K trained one after the other.

  python -m benchmarks.lanes [--lanes=8] [--row=mini-128] [--dtype=float32] [--json=FILE]
  python -m benchmarks.lanes --compare=200 [--row=tiny-128]

With --compare nothing is timed: it tells by how much the loss of a lane differs from
that of the same run by itself, at most, over so many steps. Otherwise a round takes `--steps` steps of all lanes together, and as many of each run by itself; rounds of the
two alternate. Both hold all K states, as a sweep's process does.
"""

import argparse
import statistics
import time
from pathlib import Path

import jax
import numpy as np

from benchmarks import cases, ours, tables
from bert_jax.data.pipeline import Batch
from bert_jax.train import loop, state
from bert_jax.train.lanes import Together

REACH, STRETCH = 3.0, 5.0  # times, on one H100


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--row", default="mini-128", help="as benchmarks.step has them")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--steps", type=int, default=10, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compare", type=int, default=0, metavar="STEPS")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    given = parser.parse_args()
    if given.compare:
        most = difference(Sides(given), given.compare)
        print(f"losses over {given.compare} steps differ by {most:.1e} at most")
        return
    found = measured(Sides(given), given)
    print(told(given, found))
    tables.write(given.json, {**vars(given), "seconds": found})


class Sides:
    """The same K runs, as lanes and apart."""

    def __init__(self, given: argparse.Namespace):
        self.case = cases.case_of(given.row, given.batch, given.dropout)
        side = cases.Side("bert_jax", given.dtype)
        seeds = range(given.lanes)
        parts = [ours.parts_of(self.case, side, seed) for seed in seeds]
        first = parts[0]
        self._put = first.placement.batch
        self._step = first.placement.step(loop.step_of(first))
        self._states = [ours.initial(each) for each in parts]
        self._scalars = [state.scalars(each.config) for each in parts]
        self._lanes = Together(parts, [ours.initial(each) for each in parts])
        self._batch = cases.unmasked(self.case)

    def batch(self, step: int) -> Batch:
        """The same tokens in every step, and new masks."""
        return {**self._batch, "epochs": np.full_like(self._batch["epochs"], step)}

    def together(self, steps: range) -> list[list[jax.Array]]:
        """The losses by lane and step."""
        lanes = range(len(self._scalars))
        metrics = [self._lanes.step([self.batch(i)] * len(lanes)) for i in steps]
        return [[fetch[lane]()["loss"] for fetch in metrics] for lane in lanes]

    def apart(self, steps: range) -> list[list[jax.Array]]:
        """The same of each run by itself, one after the other."""
        return [self._alone(lane, steps) for lane in range(len(self._scalars))]

    def _alone(self, lane: int, steps: range) -> list[jax.Array]:
        losses = []
        for i in steps:
            given = self._states[lane], self._put(self.batch(i)), self._scalars[lane]
            self._states[lane], metrics = self._step(*given)
            losses.append(metrics["loss"])
        return losses


def difference(sides: Sides, steps: int) -> float:
    """The largest, over lanes and steps, between the losses of a lane and of its run."""
    together = np.array(jax.device_get(sides.together(range(steps))))
    apart = np.array(jax.device_get(sides.apart(range(steps))))
    return float(np.abs(together - apart).max())


def measured(sides: Sides, given: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of each round, after one that compiles."""
    seconds: dict[str, list[float]] = {"lanes together": [], "runs apart": []}
    for number in range(given.rounds + 1):
        steps = range(number * given.steps, (number + 1) * given.steps)
        for name, run in zip(seconds, (sides.together, sides.apart)):
            since = time.perf_counter()
            jax.block_until_ready(run(steps))
            if number:
                seconds[name].append(time.perf_counter() - since)
    return seconds


def told(given: argparse.Namespace, seconds: dict[str, list[float]]) -> str:
    """The table, the ratio against its targets, and what it was measured on."""
    case = cases.case_of(given.row, given.batch, given.dropout)
    tokens = given.lanes * given.steps * case.tokens
    rows = [
        [
            f"{given.lanes} {name}, {case.name}, batch {given.batch}, {given.dtype}",
            tables.spread([1e3 * each / given.steps for each in found]),
            tables.number(tokens / statistics.median(found)),
        ]
        for name, found in seconds.items()
    ]
    ratio = tables.ratio(seconds["runs apart"], seconds["lanes together"])
    verdict = tables.verdict(ratio, REACH, STRETCH)
    devices = [jax.devices()[0].device_kind, cases.processor()]
    return "\n".join(
        [
            tables.markdown(["", "ms for a step of all", "tokens/s"], rows),
            f"\ntogether {tables.number(ratio)} times as fast: {verdict}\n",
            tables.conditions(devices, [f"jax {jax.__version__}"]),
        ]
    )


if __name__ == "__main__":
    main()
