"""Verdicts on each expectation, and the conditions for judging it."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bert_jax.render.document import (
    CONFIRMED,
    CONTRADICTED,
    NOT_COMPARABLE,
    ROWS_UNKNOWN,
    TOO_SHORT,
    UNDECIDED,
)
from bert_jax.sweep.experiment import PRETRAIN, Experiment, partner
from bert_jax.sweep.report.comparison import (
    LANGUAGE_LOSSES,
    UNIGRAM,
    Arm,
    ComparisonTable,
    side,
)
from bert_jax.sweep.report.results import RunResult
from bert_jax.tasks import intervals

# Nats below the unigram loss that a baseline needs to represent published models. The
# loss of a small BERT stays near the unigram loss for long: runs of a million tokens
# end 0.26 below it, where arms differ by when they leave this plateau. The demo's
# recipe, the smallest that is useful, ends 0.71 below.
LEARNT = 0.6
# Pair accuracy, 0.5 by chance, above which a pair loss has taught something, so that
# its ablation is meaningful. The demo's recipe has 0.62.
PAIR_ACCURACY = 0.55
ROWS = ("valid/single", "valid")  # rows to judge the baseline on: the first present
PAIRS = ("valid/pair_accuracy", "valid/nsp/pair_accuracy")  # the first present
PAIR_LOSS = "objective.pair"


class Verdict(NamedTuple):
    """Verdict on one claim: that an arm is "lower" or "higher" than the baseline in a
    metric, or in one metric on both `single` and `pair` rows.

    enough: whether the runs learnt enough for a published claim.
    """

    tables: tuple[ComparisonTable, ...]
    name: str
    expected: str
    enough: bool

    @property
    def arms(self) -> list[Arm]:
        """The arm in each of the tables."""
        return [arm for t in self.tables for arm in t.arms if arm.name == self.name]

    @property
    def word(self) -> str:
        if any(table.mismatch for table in self.tables):
            return NOT_COMPARABLE
        if any(table.rows_unknown for table in self.tables):
            return ROWS_UNKNOWN
        if any(math.isnan(arm.simultaneous[0]) for arm in self.arms):
            return UNDECIDED
        if not self.enough:
            return TOO_SHORT
        wanted = 1 if self.expected == "higher" else -1
        sides = {wanted * side(arm.simultaneous) for arm in self.arms}
        direction = sides.pop() if len(sides) == 1 else 0
        return (UNDECIDED, CONFIRMED, CONTRADICTED)[direction]


class Condition(NamedTuple):
    """Condition for judging a published claim, in words with its numbers."""

    text: str
    holds: bool


def verdicts(
    experiment: Experiment, tables: list[ComparisonTable], conditions: list[Condition]
) -> list[Verdict]:
    """The verdicts on all claims of EXPECT, in the file's order."""
    by_metric = {table.metric: table for table in tables}
    enough = all(condition.holds for condition in conditions)
    return [
        Verdict(tuple(by_metric[metric] for metric in metrics), name, expected, enough)
        for metrics, name, expected in _claims(experiment)
    ]


def _claims(experiment: Experiment) -> Iterator[tuple[list[str], str, str]]:
    """Metrics, arm and direction of each claim; `single` and `pair` metrics are
    joined."""
    joined: set[tuple[str, str]] = set()
    for metric, directions in experiment.expect.items():
        for name, expected in directions.items():
            metrics = [metric, *filter(None, [partner(metric)])]
            if (metric, name) not in joined:
                yield metrics, name, expected
            joined |= {(key, name) for key in metrics}


def overall(verdicts: list[Verdict]) -> str:
    """Contradicted if one verdict is, else the word of all if equal, else undecided; ""
    if there are none."""
    words = {verdict.word for verdict in verdicts}
    if CONTRADICTED in words:
        return CONTRADICTED
    return words.pop() if len(words) == 1 else UNDECIDED if words else ""


def conditions(experiment: Experiment, runs: list[RunResult]) -> list[Condition]:
    """The conditions on the baseline for judging a published claim."""
    baseline = experiment.baseline
    done = [run for run in runs if run.done and run.planned.stage == PRETRAIN]
    baseline_runs = [run for run in done if run.planned.arm == baseline]
    if not baseline_runs or not experiment.claim:
        return []
    required = [_learnt(f"the baseline `{baseline}`", baseline_runs)]
    if any(PAIR_LOSS in changes for changes in experiment.arms.values()):
        required += _pair_conditions(experiment, done)
    return required


def _learnt(who: str, runs: list[RunResult]) -> Condition:
    for prefix in ROWS:
        for loss in LANGUAGE_LOSSES:
            keys = f"{prefix}/{UNIGRAM}", f"{prefix}/{loss}"
            if all(key in run.metrics for run in runs for key in keys):
                below = [run.metrics[keys[0]] - run.metrics[keys[1]] for run in runs]
                mean = float(np.mean(below))
                text = (
                    f"{who} is {mean:.2f} nats{_bounds(below, 1, 2)} below the "
                    f"unigram loss of `{prefix}`; {LEARNT} are needed"
                )
                return Condition(text, mean >= LEARNT)
    return Condition(f"{who} has no loss beside a unigram loss", False)


def _pair_conditions(
    experiment: Experiment, runs: list[RunResult]
) -> Iterator[Condition]:
    """Conditions on the baseline's pair accuracy or, if it has no pair loss, the
    arms'."""
    by_arm = {name: _pair_accuracies(runs, name) for name in experiment.arms}
    baseline_shares = by_arm[experiment.baseline]
    paired = {n: a for n, a in by_arm.items() if a}
    asked = (
        {experiment.baseline: baseline_shares}
        if baseline_shares or not paired
        else paired
    )
    for name, shares in asked.items():
        low = -math.inf
        if len(shares) > 1:
            low = float(np.mean(shares) - intervals.half(shares))
        share = f"{100 * np.mean(shares):.1f} %" if shares else "an unknown share"
        text = (
            f"`{name}` tells {share}{_bounds(shares, 100, 1)} of the pairs apart; "
            f"the interval must lie above {100 * PAIR_ACCURACY:.0f} %"
        )
        yield Condition(text, low > PAIR_ACCURACY)


def _pair_accuracies(runs: list[RunResult], arm: str) -> list[float]:
    arm_runs = [run for run in runs if run.planned.arm == arm]
    for key in PAIRS:
        if arm_runs and all(key in run.metrics for run in arm_runs):
            return [run.metrics[key] for run in arm_runs]
    return []


def _bounds(values: list[float], factor: float, decimals: int) -> str:
    """The interval of a mean in brackets, "" for one value."""
    if len(values) < 2:
        return ""
    mean, width = np.mean(values), intervals.half(values)
    low, high = factor * (mean - width), factor * (mean + width)
    return f" (95 % interval {low:.{decimals}f} to {high:.{decimals}f})"
