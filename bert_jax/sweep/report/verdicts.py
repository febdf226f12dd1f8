"""What came of each expectation, and whether the runs learnt enough to judge it by."""

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
from bert_jax.sweep.report.comparison import LANGUAGE_LOSSES, UNIGRAM, Arm, Table, side
from bert_jax.sweep.report.results import Run
from bert_jax.tasks import intervals

# Nats below the unigram loss from which a baseline may stand for published models. The
# loss of a small BERT rests near that of the frequencies for long: runs of a million
# tokens end 0.26 below it, where arms differ by when they leave. The recipe of the demo,
# the least that is worth its name, ends 0.71 below.
LEARNT = 0.6
# The share of pairs told apart, 0.5 by chance, from which a pair loss has taught
# anything, so that leaving it out can be a question. The demo's recipe has 0.62.
TOLD_APART = 0.55
ROWS = ("valid/single", "valid")  # of which the baseline is judged: the first it has
PAIRS = ("valid/pair_accuracy", "valid/nsp/pair_accuracy")  # its own pairs first
PAIR_LOSS = "objective.pair"


class Verdict(NamedTuple):
    """What came of one claim: that an arm is "lower" or "higher" than the baseline in
    a metric, or in one metric on the rows `single` and `pair` alike.

    enough: whether the runs learnt enough for a published claim.
    """

    tables: tuple[Table, ...]
    name: str
    expected: str
    enough: bool

    @property
    def arms(self) -> list[Arm]:
        """The arm in each of the tables."""
        return [arm for t in self.tables for arm in t.arms if arm.name == self.name]

    @property
    def word(self) -> str:
        if any(table.unlike for table in self.tables):
            return NOT_COMPARABLE
        if any(table.unknown for table in self.tables):
            return ROWS_UNKNOWN
        if any(math.isnan(arm.simultaneous[0]) for arm in self.arms):
            return UNDECIDED
        if not self.enough:
            return TOO_SHORT
        wanted = 1 if self.expected == "higher" else -1
        sides = {wanted * side(arm.simultaneous) for arm in self.arms}
        found = sides.pop() if len(sides) == 1 else 0
        return (UNDECIDED, CONFIRMED, CONTRADICTED)[found]


class Condition(NamedTuple):
    """What must hold before a published claim is judged, in words with its numbers."""

    text: str
    holds: bool


def verdicts(
    experiment: Experiment, tables: list[Table], found: list[Condition]
) -> list[Verdict]:
    """Those of every claim of EXPECT, in the file's order."""
    by_metric = {table.metric: table for table in tables}
    enough = all(condition.holds for condition in found)
    return [
        Verdict(tuple(by_metric[metric] for metric in metrics), name, expected, enough)
        for metrics, name, expected in _claims(experiment)
    ]


def _claims(experiment: Experiment) -> Iterator[tuple[list[str], str, str]]:
    """Metrics, arm and direction; one claim of the two that `single` and `pair` have."""
    joined: set[tuple[str, str]] = set()
    for metric, directions in experiment.expect.items():
        for name, expected in directions.items():
            metrics = [metric, *filter(None, [partner(metric)])]
            if (metric, name) not in joined:
                yield metrics, name, expected
            joined |= {(each, name) for each in metrics}


def overall(found: list[Verdict]) -> str:
    """Contradicted if one is, else the word that all have, else undecided; "" of none."""
    words = {verdict.word for verdict in found}
    if CONTRADICTED in words:
        return CONTRADICTED
    return words.pop() if len(words) == 1 else UNDECIDED if words else ""


def conditions(experiment: Experiment, runs: list[Run]) -> list[Condition]:
    """What the baseline must have learnt before a published claim is judged by it."""
    baseline = experiment.baseline
    done = [run for run in runs if run.done and run.planned.stage == PRETRAIN]
    own = [run for run in done if run.planned.arm == baseline]
    if not own or not experiment.claim:
        return []
    found = [_learnt(f"the baseline `{baseline}`", own)]
    if any(PAIR_LOSS in changes for changes in experiment.arms.values()):
        found += _told_apart(experiment, done)
    return found


def _learnt(who: str, runs: list[Run]) -> Condition:
    for prefix in ROWS:
        for loss in LANGUAGE_LOSSES:
            keys = f"{prefix}/{UNIGRAM}", f"{prefix}/{loss}"
            if all(key in run.metrics for run in runs for key in keys):
                below = [run.metrics[keys[0]] - run.metrics[keys[1]] for run in runs]
                mean = float(np.mean(below))
                text = (
                    f"{who} is {mean:.2f} nats{_ends(below, 1, 2)} below the unigram "
                    f"loss of `{prefix}`; {LEARNT} are needed"
                )
                return Condition(text, mean >= LEARNT)
    return Condition(f"{who} has no loss beside a unigram loss", False)


def _told_apart(experiment: Experiment, runs: list[Run]) -> Iterator[Condition]:
    """The pair accuracy of the baseline; if it has no pair loss, of the arms."""
    by_arm = {name: _pair_accuracies(runs, name) for name in experiment.arms}
    own = by_arm[experiment.baseline]
    paired = {n: a for n, a in by_arm.items() if a}
    asked = {experiment.baseline: own} if own or not paired else paired
    for name, shares in asked.items():
        low = -math.inf
        if len(shares) > 1:
            low = float(np.mean(shares) - intervals.half(shares))
        told = f"{100 * np.mean(shares):.1f} %" if shares else "an unknown share"
        text = (
            f"`{name}` tells {told}{_ends(shares, 100, 1)} of the pairs apart; the "
            f"interval must lie above {100 * TOLD_APART:.0f} %"
        )
        yield Condition(text, low > TOLD_APART)


def _pair_accuracies(runs: list[Run], arm: str) -> list[float]:
    own = [run for run in runs if run.planned.arm == arm]
    for key in PAIRS:
        if own and all(key in run.metrics for run in own):
            return [run.metrics[key] for run in own]
    return []


def _ends(values: list[float], factor: float, decimals: int) -> str:
    """The interval of a mean in brackets, nothing of one value."""
    if len(values) < 2:
        return ""
    mean, width = np.mean(values), intervals.half(values)
    low, high = factor * (mean - width), factor * (mean + width)
    return f" (95 % interval {low:.{decimals}f} to {high:.{decimals}f})"
