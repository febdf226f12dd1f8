"""Cost of the arms, beside their difference to the baseline."""

import math
from typing import NamedTuple

from bert_jax.render.document import Block, Grid, Section
from bert_jax.sweep.experiment import PRETRAIN
from bert_jax.sweep.report import formatting
from bert_jax.sweep.report.comparison import Arm, ComparisonTable
from bert_jax.sweep.report.formatting import NONE
from bert_jax.sweep.report.results import RunResult

GAIN = 0.01  # of a metric as runs write it: 0.01 nats, or one point
MEANING = (
    "Of one finished run and, in brackets, of all. FLOPs are those of the model's "
    "products, forward and backward; device hours are seconds times devices. What was "
    "bought is the paired difference ± half its 95 % interval. The last column is what "
    "one run took above the baseline's, its pretraining included, over what it gained: "
    "only where the arm is better, by its interval, and dearer."
)

GOODPUT = "Goodput: seconds of one run by phase and, in brackets, their share."


class ArmCost(NamedTuple):
    """Total cost of the finished runs of one arm and stage."""

    runs: int
    tokens: float
    flops: float
    seconds: float
    device_hours: float

    def cell(self, name: str) -> str:
        """The cost of one run and, in brackets, of all."""
        show = (
            formatting.plain
            if name in ("seconds", "device_hours")
            else formatting.short
        )
        total = getattr(self, name)
        return f"{show(self.per_run(total))} ({show(total)})" if self.runs else NONE

    def per_run(self, total: float) -> float:
        return total / self.runs if self.runs else math.nan


def arm_cost(runs: list[RunResult], arm: str, stage: str) -> ArmCost:
    done = [
        run
        for run in runs
        if run.done and (run.planned.arm, run.planned.stage) == (arm, stage)
    ]
    return ArmCost(
        len(done),
        sum(run.tokens for run in done),
        sum(run.flops for run in done),
        sum(run.seconds for run in done),
        sum(run.device_hours for run in done),
    )


def flops_per_gain(runs: list[RunResult], table: ComparisonTable, arm: Arm) -> float:
    """FLOPs of a run above the baseline's, with pretraining, for each GAIN.

    nan unless the arm is significantly better and costs more.
    """
    more = _flops(runs, arm.name, table.stage)
    more -= _flops(runs, table.baseline, table.stage)
    if table.gain(arm) < 1 or not more > 0:
        return math.nan
    return more / abs(arm.difference) * GAIN


def _flops(runs: list[RunResult], arm: str, stage: str) -> float:
    """FLOPs of one run and of the pretraining that it starts from."""
    stages = [arm_cost(runs, arm, name) for name in dict.fromkeys([PRETRAIN, stage])]
    return sum(cost.per_run(cost.flops) for cost in stages)


def section(
    tables: list[ComparisonTable], runs: list[RunResult], stages: tuple[str, ...]
) -> Section:
    """A table for each stage, with the difference in its first metric."""
    blocks: list[Block] = []
    for stage in stages:
        comparable = [t for t in tables if t.stage == stage and not t.mismatch]
        blocks += [f"**{stage}**"] * (len(stages) > 1)
        names = [arm.name for arm in tables[0].arms]
        blocks.append(_grid(names, stage, comparable[:1], runs))
        blocks += _goodput(names, [r for r in runs if r.planned.stage == stage])
    return Section("Cost", [*blocks, MEANING])


def _grid(
    names: list[str], stage: str, tables: list[ComparisonTable], runs: list[RunResult]
) -> Grid:
    columns = ("tokens", "flops", "seconds", "device_hours")
    header = ["arm", "runs", "tokens", "FLOPs", "seconds", "device hours"]
    for table in tables:
        kind = formatting.unit(table.metric)
        header += [f"{table.metric}, {kind.step}", f"FLOPs per {kind.grain}"]
    rows = []
    for number, name in enumerate(names):
        cost = arm_cost(runs, name, stage)
        row = [name, str(cost.runs), *map(cost.cell, columns)]
        for table in tables:
            row += _gain_cells(table, table.arms[number], runs)
        rows.append(tuple(row))
    return Grid(tuple(header), "l" + "r" * (len(header) - 1), rows, -1)


def _goodput(names: list[str], runs: list[RunResult]) -> list[Block]:
    """A table of seconds by phase; [] if no run recorded them."""
    recorded = [run for run in runs if run.goodput]
    phases = list(dict.fromkeys(phase for run in recorded for phase in run.goodput))
    rows = []
    for name in names:
        arm_goodput = [run.goodput for run in recorded if run.planned.arm == name]
        total = sum(sum(seconds.values()) for seconds in arm_goodput)
        row = [name, str(len(arm_goodput))]
        for phase in phases:
            spent = sum(seconds.get(phase, 0.0) for seconds in arm_goodput)
            share = f" ({100 * spent / total:.1f} %)" if total else ""
            row.append(
                f"{formatting.plain(spent / len(arm_goodput))}{share}"
                if arm_goodput
                else NONE
            )
        rows.append(tuple(row))
    grid = Grid(("arm", "runs", *phases), "l" + "r" * (len(phases) + 1), rows, -1)
    return [GOODPUT, grid] if recorded else []


def _gain_cells(
    table: ComparisonTable, arm: Arm, runs: list[RunResult]
) -> tuple[str, str]:
    if arm.name == table.baseline:
        return "baseline", NONE
    kind, (low, high) = formatting.unit(table.metric), arm.interval
    gap = f"{kind.difference(arm.difference)} ± {kind.value((high - low) / 2)}"
    return gap, formatting.short(flops_per_gain(runs, table, arm))
