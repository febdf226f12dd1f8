"""Comparison of arms with the baseline in one metric, by pairs of runs of one seed."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bert_jax.sweep.experiment import Experiment, locate, lower_is_better
from bert_jax.sweep.report import results
from bert_jax.sweep.report.results import RunResult
from bert_jax.tasks import intervals as statistics

NO_INTERVAL = (math.nan, math.nan)
LANGUAGE_LOSSES = ("mlm_loss", "lm_loss")
UNIGRAM = "unigram_loss"  # of the same rows, beside such a loss


class Arm(NamedTuple):
    """Results of an arm in one metric; numbers that need more seeds are nan.

    scores: by seed. unigram: mean unigram loss of the rows behind the scores.
    differences: arm minus baseline, by common seed; empty for the baseline. spread:
    standard deviation over seeds. interval: 95 % for this arm alone; simultaneous: 95 %
    for all claims of EXPECT together, if it lists this arm. p: of the sign-flip test;
    `holm`: adjusted over the arms. detectable: difference detectable with this number
    of pairs and their spread.
    """

    name: str
    scores: dict[int, float]
    differences: dict[int, float]
    mean: float
    unigram: float
    spread: float
    difference: float
    interval: tuple[float, float]
    simultaneous: tuple[float, float]
    bootstrap: tuple[float, float]
    p: float
    holm: float
    detectable: float

    @property
    def sign(self) -> int:
        """The side of 0 on which the interval lies."""
        return side(self.interval)


class ComparisonTable(NamedTuple):
    """Comparison of all arms of an experiment, in its order, in one metric.

    mismatch: how the runs differ in the rows they were measured on, "" if they do not;
    if they do, there are no differences. rows: fingerprint of the rows, "" unless every
    run recorded it.
    """

    metric: str
    stage: str
    key: str
    baseline: str
    arms: tuple[Arm, ...]
    mismatch: str
    rows: str

    @property
    def others(self) -> list[Arm]:
        return [arm for arm in self.arms if arm.name != self.baseline]

    @property
    def has_scores(self) -> bool:
        """Whether any run has the metric."""
        return any(arm.scores for arm in self.arms)

    @property
    def rows_unknown(self) -> bool:
        """Whether some run did not record the rows it was measured on."""
        return self.has_scores and not self.mismatch and not self.rows

    def gain(self, arm: Arm) -> int:
        """1 if the arm is better than the baseline, -1 if worse, 0 if undecided."""
        if self.rows_unknown:
            return 0
        return -arm.sign if lower_is_better(self.metric) else arm.sign


def side(interval: tuple[float, float]) -> int:
    """1 or -1 if the interval lies on one side of 0, else 0."""
    low, high = interval
    return int(low > 0) - int(high < 0)


def tables(experiment: Experiment, runs: list[RunResult]) -> list[ComparisonTable]:
    """A table for each metric."""
    return [_table(experiment, metric, runs) for metric in experiment.metrics]


def _table(
    experiment: Experiment, metric: str, runs: list[RunResult]
) -> ComparisonTable:
    stage, key = locate(metric, experiment.then)
    with_metric = [
        run for run in runs if run.planned.stage == stage and key in run.metrics
    ]
    mismatch = results.mismatch(with_metric, key)
    rows = {results.rows_of(run, key) for run in with_metric}
    expected = experiment.expect.get(metric, {})
    intervals = sum(map(len, experiment.expect.values()))
    by_arm = {
        name: [run for run in with_metric if run.planned.arm == name]
        for name in experiment.arms
    }
    scores = {
        name: {run.planned.seed: run.metrics[key] for run in arm_runs}
        for name, arm_runs in by_arm.items()
    }
    baseline = experiment.baseline
    arms = [
        _arm(
            name,
            values,
            {} if mismatch or name == baseline else scores[baseline],
            intervals if name in expected else 0,
        )._replace(unigram=_unigram(by_arm[name], key))
        for name, values in scores.items()
    ]
    known = not mismatch and len(rows) == 1
    return ComparisonTable(
        metric,
        stage,
        key,
        baseline,
        tuple(_adjusted(arms)),
        mismatch,
        rows.pop() if known else "",
    )


def _unigram(runs: list[RunResult], key: str) -> float:
    """The mean unigram loss of a language-model metric's rows."""
    prefix, _, name = key.rpartition("/")
    if name not in LANGUAGE_LOSSES:
        return math.nan
    losses = [run.metrics.get(f"{prefix}/{UNIGRAM}", math.nan) for run in runs]
    return _mean(losses)


def _adjusted(arms: list[Arm]) -> list[Arm]:
    """The arms with Holm-adjusted p."""
    tested = [arm for arm in arms if not math.isnan(arm.p)]
    adjusted = statistics.holm([arm.p for arm in tested])
    holm = dict(zip([arm.name for arm in tested], adjusted, strict=True))
    return [arm._replace(holm=holm.get(arm.name, math.nan)) for arm in arms]


def _arm(
    name: str, scores: dict[int, float], reference: Mapping[int, float], intervals: int
) -> Arm:
    """Compare one arm. intervals: number of simultaneous ones, 0 if nothing is expected
    of it."""
    differences = {
        seed: score - reference[seed]
        for seed, score in scores.items()
        if seed in reference
    }
    gaps, count = list(differences.values()), len(differences)
    difference, paired, many = _mean(gaps), count > 1, count >= statistics.MANY
    low, high = statistics.bootstrap(gaps, 0) if many else NO_INTERVAL
    return Arm(
        name,
        scores,
        differences,
        mean=_mean(list(scores.values())),
        unigram=math.nan,
        spread=_deviation(list(scores.values())),
        difference=difference,
        interval=_interval(gaps, 1),
        simultaneous=_interval(gaps, intervals),
        bootstrap=(float(low), float(high)),
        p=statistics.sign_flip(gaps) if paired else math.nan,
        holm=math.nan,
        detectable=(
            statistics.detectable(_deviation(gaps), count) if paired else math.nan
        ),
    )


def _interval(gaps: list[float], together: int) -> tuple[float, float]:
    """The 95 % interval of the mean of `gaps`, for `together` simultaneous
    intervals."""
    if len(gaps) < 2 or not together:
        return NO_INTERVAL
    width = float(statistics.simultaneous_half(gaps, together))
    return _mean(gaps) - width, _mean(gaps) + width


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _deviation(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
