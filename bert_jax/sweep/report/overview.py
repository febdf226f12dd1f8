"""First part of a report: the answer, the runs, and the expectations."""

import math
from collections import Counter

from bert_jax.render.document import VERDICTS, Grid, Items, Section
from bert_jax.sweep.experiment import Experiment
from bert_jax.sweep.report import formatting
from bert_jax.sweep.report.comparison import Arm, ComparisonTable
from bert_jax.sweep.report.results import RunResult
from bert_jax.sweep.report.verdicts import Condition, Verdict

RULE = (
    "Confirmed: the simultaneous interval excludes 0 on the expected side, and of a claim "
    "on shared rows on `single` and on `pair`. Contradicted: on the other side, likewise. "
    "Undecided: neither, or there is no interval. Not comparable: the arms were measured "
    "on different rows. Rows unknown: some run does not say on which."
)
SIMULTANEOUS = (
    "The simultaneous intervals hold all {count} at once at 95 %: each has the level "
    "1 − 0.05/{count} by Student's t (Bonferroni)."
)


def answer(verdicts: list[Verdict]) -> str:
    """Count the verdicts in words, or state that there are none."""
    if not verdicts:
        return "The experiment states no expectation, so none is judged."
    counts = Counter(verdict.word for verdict in verdicts)
    parts = [f"{counts[word]} {word}" for word in VERDICTS if counts[word]]
    return (
        f"Of {formatting.count(len(verdicts), 'expectation')}: {', '.join(parts)}, by "
        "simultaneous 95 % intervals of the paired differences."
    )


def about(experiment: Experiment) -> list[str]:
    """The paragraphs of the file's text after the question, without its commands."""
    paragraphs = experiment.text.strip().split("\n\n")[1:]
    words = [text for text in paragraphs if not text.startswith("  ")]
    return [" ".join(text.split()) for text in words]


def facts(experiment: Experiment, runs: list[RunResult]) -> list[str]:
    tasks = [f"`{spec}` as {task}" for task, spec in experiment.then.items()]
    parts = [f"{formatting.count(len(experiment.arms), 'arm')} of `{experiment.base}`"]
    parts += [f"then {', '.join(tasks)}"] if tasks else []
    parts += [f"seeds {formatting.seeds(experiment.seeds)}"]
    return [
        "; ".join([*parts, f"baseline `{experiment.baseline}`"]),
        _progress(runs),
        _commits(runs),
        *_machines(runs),
    ]


def _progress(runs: list[RunResult]) -> str:
    states = Counter(run.state for run in runs if not run.done)
    parts = [f"{sum(run.done for run in runs)} of {len(runs)} runs done"]
    parts += [f"{count} {state}" for state, count in states.items()]
    degenerate = sum(run.degenerate for run in runs)
    parts += [f"{degenerate} of the done degenerate"] if degenerate else []
    return ", ".join(parts)


def _commits(runs: list[RunResult]) -> str:
    commits = Counter(run.commit or "unknown" for run in runs if run.done)
    quoted = [f"`{commit}`" for commit in commits]
    if len(commits) < 2:
        return f"commit {quoted[0]}" if quoted else "no run is done, of any commit"
    return f"**runs of {len(commits)} commits in one table**: " + ", ".join(
        f"{commit} ({formatting.count(count, 'run')})"
        for commit, count in zip(quoted, commits.values(), strict=True)
    )


def _machines(runs: list[RunResult]) -> list[str]:
    """The machines of the finished runs, without duplicates."""
    return list(dict.fromkeys(run.machine for run in runs if run.done and run.machine))


def expectations(
    verdicts: list[Verdict], required: list[Condition], baseline: str
) -> list[Section]:
    """A section with a row for each metric of each claim; [] if there are no claims."""
    if not verdicts:
        return []
    header = ("metric", "arm", "expected", "difference", "95 % interval")
    header += ("simultaneous 95 %", "verdict")
    rows = [
        _row(table, arm, f"{verdict.expected} than {baseline}", verdict.word)
        for verdict in verdicts
        for table, arm in zip(verdict.tables, verdict.arms, strict=True)
    ]
    grid = Grid(header, "lllrrrl", rows, -1)
    blocks = [grid, RULE, SIMULTANEOUS.format(count=len(rows))]
    return [Section("Expected and found", [*blocks, *_required(required)])]


def _row(table: ComparisonTable, arm: Arm, expected: str, word: str) -> tuple[str, ...]:
    kind = formatting.unit(table.metric)
    gap = formatting.NONE
    if not math.isnan(arm.difference):
        gap = f"{kind.difference(arm.difference)} {kind.step}"
    ends = kind.interval(*arm.interval), kind.interval(*arm.simultaneous)
    return table.metric, arm.name, expected, gap, *ends, word


def _required(conditions: list[Condition]) -> list[Items]:
    """The conditions of a published claim, with measured values."""
    needs = [
        f"A published claim is judged: {condition.text}."
        if condition.holds
        else f"**Too short to say**: {condition.text}."
        for condition in conditions
    ]
    return [Items(needs)] if needs else []
