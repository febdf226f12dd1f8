"""What the arms took, beside the difference that it bought."""

import math
from typing import NamedTuple

from bert_jax.render.document import Block, Grid, Section
from bert_jax.sweep.experiment import PRETRAIN
from bert_jax.sweep.report import formatting
from bert_jax.sweep.report.comparison import Arm, Table
from bert_jax.sweep.report.formatting import NONE
from bert_jax.sweep.report.results import Run

GAIN = 0.01  # of a metric as runs write it: 0.01 nats, or one point
MEANING = (
    "Of one finished run and, in brackets, of all. FLOPs are those of the model's "
    "products, forward and backward; device hours are seconds times devices. What was "
    "bought is the paired difference ± half its 95 % interval. The last column is what "
    "one run took above the baseline's, its pretraining included, over what it gained: "
    "only where the arm is better, by its interval, and dearer."
)

GOODPUT = "Goodput: seconds of one run by phase and, in brackets, their share."


class Cost(NamedTuple):
    """Sums over the finished runs of one arm and stage."""

    runs: int
    tokens: float
    flops: float
    seconds: float
    device_hours: float

    def cell(self, name: str) -> str:
        """Of one run and, in brackets, of all."""
        show = (
            formatting.plain
            if name in ("seconds", "device_hours")
            else formatting.short
        )
        total = getattr(self, name)
        return f"{show(self.each(total))} ({show(total)})" if self.runs else NONE

    def each(self, total: float) -> float:
        return total / self.runs if self.runs else math.nan


def of(runs: list[Run], arm: str, stage: str) -> Cost:
    done = [
        run
        for run in runs
        if run.done and (run.planned.arm, run.planned.stage) == (arm, stage)
    ]
    return Cost(
        len(done),
        sum(run.tokens for run in done),
        sum(run.flops for run in done),
        sum(run.seconds for run in done),
        sum(run.device_hours for run in done),
    )


def price(runs: list[Run], table: Table, arm: Arm) -> float:
    """FLOPs of a run above the baseline's, its pretraining included, for each GAIN;
    nan unless the arm is known to be better, and dearer."""
    more = _flops(runs, arm.name, table.stage)
    more -= _flops(runs, table.baseline, table.stage)
    if table.gain(arm) < 1 or not more > 0:
        return math.nan
    return more / abs(arm.difference) * GAIN


def _flops(runs: list[Run], arm: str, stage: str) -> float:
    """Of one run and of the pretraining that it starts from."""
    stages = [of(runs, arm, each) for each in dict.fromkeys([PRETRAIN, stage])]
    return sum(cost.each(cost.flops) for cost in stages)


def section(tables: list[Table], runs: list[Run], stages: tuple[str, ...]) -> Section:
    """A table for each stage, with the difference in its first metric."""
    blocks: list[Block] = []
    for stage in stages:
        own = [t for t in tables if t.stage == stage and not t.unlike]
        blocks += [f"**{stage}**"] * (len(stages) > 1)
        names = [arm.name for arm in tables[0].arms]
        blocks.append(_grid(names, stage, own[:1], runs))
        blocks += _goodput(names, [r for r in runs if r.planned.stage == stage])
    return Section("Cost", [*blocks, MEANING])


def _grid(names: list[str], stage: str, own: list[Table], runs: list[Run]) -> Grid:
    columns = ("tokens", "flops", "seconds", "device_hours")
    header = ["arm", "runs", "tokens", "FLOPs", "seconds", "device hours"]
    for table in own:
        kind = formatting.unit(table.metric)
        header += [f"{table.metric}, {kind.step}", f"FLOPs per {kind.grain}"]
    rows = []
    for number, name in enumerate(names):
        cost = of(runs, name, stage)
        row = [name, str(cost.runs), *map(cost.cell, columns)]
        for table in own:
            row += _bought(table, table.arms[number], runs)
        rows.append(tuple(row))
    return Grid(tuple(header), "l" + "r" * (len(header) - 1), rows, -1)


def _goodput(names: list[str], runs: list[Run]) -> list[Block]:
    """Where the seconds of the runs that tell it went; nothing if none does."""
    told = [run for run in runs if run.goodput]
    phases = list(dict.fromkeys(phase for run in told for phase in run.goodput))
    rows = []
    for name in names:
        own = [run.goodput for run in told if run.planned.arm == name]
        total = sum(sum(seconds.values()) for seconds in own)
        row = [name, str(len(own))]
        for phase in phases:
            spent = sum(seconds.get(phase, 0.0) for seconds in own)
            share = f" ({100 * spent / total:.1f} %)" if total else ""
            row.append(f"{formatting.plain(spent / len(own))}{share}" if own else NONE)
        rows.append(tuple(row))
    grid = Grid(("arm", "runs", *phases), "l" + "r" * (len(phases) + 1), rows, -1)
    return [GOODPUT, grid] if told else []


def _bought(table: Table, arm: Arm, runs: list[Run]) -> tuple[str, str]:
    if arm.name == table.baseline:
        return "baseline", NONE
    kind, (low, high) = formatting.unit(table.metric), arm.interval
    gap = f"{kind.difference(arm.difference)} ± {kind.value((high - low) / 2)}"
    return gap, formatting.short(price(runs, table, arm))
