"""Tables of all runs: their problems, and the provenance of their numbers."""

import csv
import io
from collections import Counter
from collections.abc import Iterator

from bert_jax.render.document import Block, Grid, Section
from bert_jax.sweep import states
from bert_jax.sweep.experiment import Experiment, locate
from bert_jax.sweep.report import formatting
from bert_jax.sweep.report.comparison import ComparisonTable
from bert_jax.sweep.report.results import RunResult

MEANING = {
    states.WAITING: "waits for the run that it starts from",
    states.READY: "has not begun",
    states.RUNNING: "is at it now",
    states.STOPPED: "stopped before its end; the sweep goes on from there",
    states.DIVERGED: "its loss is no number",
    states.FOREIGN: "its directory holds another run, of which nothing is used",
}
COLUMNS = ("arm", "seed", "stage", "state", "run id", "parent", "commit", "data")
COLUMNS += ("tokenizer", "steps", "tokens", "flops", "seconds", "devices")
COLUMNS += ("device_hours",)
DIGITS = 12  # of a commit


def attention(
    experiment: Experiment,
    tables: list[ComparisonTable],
    runs: list[RunResult],
    removed: list[RunResult],
) -> Section:
    """A section on missing, failed and degenerate runs, and on runs `removed` from the
    file."""
    rows = [row for run in runs for row in _problems(tables, run)]
    rows += _unplanned(experiment, runs)
    rows += [(run.name, run.state, "no more in the experiment file") for run in removed]
    grid = Grid(("run", "state", "what that means"), "lll", rows, -1)
    blocks: list[Block] = (
        [grid] if rows else ["None: every run is done, and none is degenerate."]
    )
    return Section("Missing, failed and degenerate runs", blocks)


def _problems(
    tables: list[ComparisonTable], run: RunResult
) -> Iterator[tuple[str, str, str]]:
    if not run.done:
        yield run.name, run.state, MEANING[run.state]
    elif run.degenerate:
        yield run.name, "degenerate", "no better than looking at nothing; it counts"
    for table in tables:
        has = run.planned.stage != table.stage or table.key in run.metrics
        if run.done and not has:
            yield run.name, "no number", f"its {table.key} is none"


def _unplanned(
    experiment: Experiment, runs: list[RunResult]
) -> Iterator[tuple[str, str, str]]:
    """Runs of the experiment file that its plan does not contain yet."""
    planned = {run.name for run in runs}
    for arm in experiment.arms:
        for seed in experiment.seeds:
            for stage in experiment.stages:
                name = f"{arm}/seed_{seed}/{stage}"
                if name not in planned:
                    yield name, "not planned", "sweep again to add it to the plan"


def section(
    tables: list[ComparisonTable], runs: list[RunResult], stages: tuple[str, ...]
) -> Section:
    """A table of the runs of each stage that have begun, with their numbers."""
    blocks: list[Block] = []
    for stage in stages:
        begun = [run for run in runs if run.planned.stage == stage and run.id]
        blocks += [f"**{stage}**"] * (len(stages) > 1)
        blocks.append(_grid([t for t in tables if t.stage == stage], begun))
    return Section("Every run", blocks)


def _grid(tables: list[ComparisonTable], runs: list[RunResult]) -> Grid:
    header = ("arm", "seed", "run id", "parent", "commit", "data", "tokenizer")
    header += ("steps", *(table.key for table in tables))
    rows = []
    for run in runs:
        row = [run.planned.arm, str(run.planned.seed), run.id, run.parent]
        row += [_commit(run.commit), run.data, run.tokenizer]
        row += [f"{run.steps:.0f}" if run.done else run.state]
        for table in tables:
            value = run.metrics.get(table.key, float("nan"))
            row.append(formatting.unit(table.metric).value(value))
        rows.append(tuple(cell or formatting.NONE for cell in row))
    sides = "lrlllll" + "r" * (len(header) - 7)
    return Grid(header, sides, rows, -1)


def _commit(text: str) -> str:
    """Shorten a commit; keep the mark of edited code."""
    digits, dash, rest = text.partition("-")
    return f"{digits[:DIGITS]}{dash}{rest}"


def table_of_runs(experiment: Experiment, runs: list[RunResult]) -> str:
    """CSV of all runs, numbers unrounded; a metric is filled in for its stage's
    runs."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*COLUMNS, *experiment.metrics])
    for run in runs:
        planned = run.planned
        line = [planned.arm, planned.seed, planned.stage, run.state, run.id]
        line += [run.parent, run.commit, run.data, run.tokenizer]
        line += [_integer(run, run.steps), _integer(run, run.tokens)]
        line += [run.flops, run.seconds] if run.done else ["", ""]
        line += [_devices(run), run.device_hours if run.done else ""]
        for metric in experiment.metrics:
            stage, key = locate(metric, experiment.then)
            line.append(run.metrics.get(key, "") if stage == planned.stage else "")
        writer.writerow(line)
    return file.getvalue()


def _devices(run: RunResult) -> str:
    kinds = Counter(run.devices)
    return " + ".join(f"{count} x {kind}" for kind, count in kinds.items())


def _integer(run: RunResult, number: float) -> int | str:
    return int(number) if run.done else ""
