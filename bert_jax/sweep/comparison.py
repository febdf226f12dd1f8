"""Arms against the baseline in one metric, by pairs of runs of one seed."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bert_jax import statistics
from bert_jax.report.document import CONFIRMED, CONTRADICTED, UNDECIDED
from bert_jax.sweep.experiment import Experiment, locate, lower_is_better
from bert_jax.sweep.results import Run

NO_INTERVAL = (math.nan, math.nan)


class Arm(NamedTuple):
    """An arm in one metric; numbers that so few seeds do not tell are nan.

    scores: by seed. differences: arm minus baseline, by common seed; none of the
    baseline itself. spread: standard deviation of one seed. p: of sign flips, `holm`
    adjusted over the arms. detectable: by as many pairs that differ as much.
    """

    name: str
    scores: dict[int, float]
    differences: dict[int, float]
    mean: float
    spread: float
    difference: float
    interval: tuple[float, float]
    bootstrap: tuple[float, float]
    p: float
    holm: float
    detectable: float

    @property
    def sign(self) -> int:
        """1 or -1 if the interval lies on one side of 0, else 0."""
        low, high = self.interval
        return int(low > 0) - int(high < 0)


class Table(NamedTuple):
    """The arms of an experiment, in its order, in one metric."""

    metric: str
    stage: str
    key: str
    baseline: str
    arms: tuple[Arm, ...]

    @property
    def others(self) -> list[Arm]:
        return [arm for arm in self.arms if arm.name != self.baseline]

    def gain(self, arm: Arm) -> int:
        """1 if the arm is better than the baseline, -1 if worse, 0 if not known."""
        return -arm.sign if lower_is_better(self.metric) else arm.sign


class Verdict(NamedTuple):
    """What came of one expectation: "lower" or "higher" than the baseline."""

    metric: str
    arm: Arm
    expected: str

    @property
    def word(self) -> str:
        wanted = 1 if self.expected == "higher" else -1
        return (UNDECIDED, CONFIRMED, CONTRADICTED)[wanted * self.arm.sign]


def tables(experiment: Experiment, runs: list[Run]) -> list[Table]:
    """A table for each metric."""
    return [_table(experiment, metric, runs) for metric in experiment.metrics]


def _table(experiment: Experiment, metric: str, runs: list[Run]) -> Table:
    stage, key = locate(metric, experiment.then)
    scores: dict[str, dict[int, float]] = {arm: {} for arm in experiment.arms}
    for run in runs:
        arm, seed = run.planned.arm, run.planned.seed
        if run.planned.stage == stage and key in run.metrics:
            scores[arm][seed] = run.metrics[key]
    baseline = experiment.baseline
    reference = scores[baseline]
    arms = [
        _arm(name, values, {} if name == baseline else reference)
        for name, values in scores.items()
    ]
    tested = [arm for arm in arms if not math.isnan(arm.p)]
    adjusted = statistics.holm([arm.p for arm in tested])
    holm = dict(zip([arm.name for arm in tested], adjusted, strict=True))
    arms = [arm._replace(holm=holm.get(arm.name, math.nan)) for arm in arms]
    return Table(metric, stage, key, baseline, tuple(arms))


def _arm(name: str, scores: dict[int, float], reference: Mapping[int, float]) -> Arm:
    differences = {
        seed: score - reference[seed]
        for seed, score in scores.items()
        if seed in reference
    }
    gaps, count = list(differences.values()), len(differences)
    difference, paired, many = _mean(gaps), count > 1, count >= statistics.MANY
    width = float(statistics.half(gaps)) if paired else math.nan
    low, high = statistics.bootstrap(gaps, 0) if many else NO_INTERVAL
    return Arm(
        name,
        scores,
        differences,
        mean=_mean(list(scores.values())),
        spread=_deviation(list(scores.values())),
        difference=difference,
        interval=(difference - width, difference + width),
        bootstrap=(float(low), float(high)),
        p=statistics.sign_flip(gaps) if paired else math.nan,
        holm=math.nan,
        detectable=(
            statistics.detectable(_deviation(gaps), count) if paired else math.nan
        ),
    )


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _deviation(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def verdicts(experiment: Experiment, found: list[Table]) -> list[Verdict]:
    """Those of every expectation, in the file's order."""
    arms = {(table.metric, arm.name): arm for table in found for arm in table.arms}
    return [
        Verdict(metric, arms[metric, name], expected)
        for metric, directions in experiment.expect.items()
        for name, expected in directions.items()
    ]


def overall(found: list[Verdict]) -> str:
    """Contradicted if one is, confirmed if all are, else undecided; "" of none."""
    words = {verdict.word for verdict in found}
    if CONTRADICTED in words:
        return CONTRADICTED
    return UNDECIDED if UNDECIDED in words else CONFIRMED if words else ""
