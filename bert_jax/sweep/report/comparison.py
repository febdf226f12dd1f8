"""Arms against the baseline in one metric, by pairs of runs of one seed."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bert_jax.sweep.experiment import Experiment, locate, lower_is_better
from bert_jax.sweep.report import results
from bert_jax.sweep.report.results import Run
from bert_jax.tasks import intervals as statistics

NO_INTERVAL = (math.nan, math.nan)
LANGUAGE_LOSSES = ("mlm_loss", "lm_loss")
UNIGRAM = "unigram_loss"  # of the same rows, beside such a loss


class Arm(NamedTuple):
    """An arm in one metric; numbers that so few seeds do not tell are nan.

    scores: by seed. unigram: the mean unigram loss of the rows behind the scores.
    differences: arm minus baseline, by common seed; none of the baseline itself. spread:
    standard deviation of one seed. interval: at 95 % by itself; simultaneous: at 95 %
    together with all that EXPECT lists, if it lists this arm. p: of sign flips, `holm`
    adjusted over the arms. detectable: by as many pairs that differ as much.
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


class Table(NamedTuple):
    """The arms of an experiment, in its order, in one metric.

    unlike: how what was measured on differs between the runs, "" if it does not; then
    there are no differences. rows: its fingerprint, "" unless every run noted it.
    """

    metric: str
    stage: str
    key: str
    baseline: str
    arms: tuple[Arm, ...]
    unlike: str
    rows: str

    @property
    def others(self) -> list[Arm]:
        return [arm for arm in self.arms if arm.name != self.baseline]

    @property
    def found(self) -> bool:
        """Whether any run has the metric."""
        return any(arm.scores for arm in self.arms)

    @property
    def unknown(self) -> bool:
        """Whether some run does not say what it was measured on."""
        return self.found and not self.unlike and not self.rows

    def gain(self, arm: Arm) -> int:
        """1 if the arm is better than the baseline, -1 if worse, 0 if not known."""
        if self.unknown:
            return 0
        return -arm.sign if lower_is_better(self.metric) else arm.sign


def side(interval: tuple[float, float]) -> int:
    """1 or -1 if the interval lies on one side of 0, else 0."""
    low, high = interval
    return int(low > 0) - int(high < 0)


def tables(experiment: Experiment, runs: list[Run]) -> list[Table]:
    """A table for each metric."""
    return [_table(experiment, metric, runs) for metric in experiment.metrics]


def _table(experiment: Experiment, metric: str, runs: list[Run]) -> Table:
    stage, key = locate(metric, experiment.then)
    own = [run for run in runs if run.planned.stage == stage and key in run.metrics]
    unlike = results.unlike(own, key)
    rows = {results.rows_of(run, key) for run in own}
    expected = experiment.expect.get(metric, {})
    intervals = sum(map(len, experiment.expect.values()))
    own_by_arm = {
        name: [run for run in own if run.planned.arm == name]
        for name in experiment.arms
    }
    scores = {
        name: {run.planned.seed: run.metrics[key] for run in found}
        for name, found in own_by_arm.items()
    }
    baseline = experiment.baseline
    arms = [
        _arm(
            name,
            values,
            {} if unlike or name == baseline else scores[baseline],
            intervals if name in expected else 0,
        )._replace(unigram=_unigram(own_by_arm[name], key))
        for name, values in scores.items()
    ]
    known = not unlike and len(rows) == 1
    return Table(
        metric,
        stage,
        key,
        baseline,
        tuple(_adjusted(arms)),
        unlike,
        rows.pop() if known else "",
    )


def _unigram(runs: list[Run], key: str) -> float:
    """The mean unigram loss of the rows that a language model's metric is of."""
    prefix, _, name = key.rpartition("/")
    if name not in LANGUAGE_LOSSES:
        return math.nan
    losses = [run.metrics.get(f"{prefix}/{UNIGRAM}", math.nan) for run in runs]
    return _mean(losses)


def _adjusted(arms: list[Arm]) -> list[Arm]:
    """With the p of each corrected for their number."""
    tested = [arm for arm in arms if not math.isnan(arm.p)]
    adjusted = statistics.holm([arm.p for arm in tested])
    holm = dict(zip([arm.name for arm in tested], adjusted, strict=True))
    return [arm._replace(holm=holm.get(arm.name, math.nan)) for arm in arms]


def _arm(
    name: str, scores: dict[int, float], reference: Mapping[int, float], intervals: int
) -> Arm:
    """`intervals`: how many must hold at once, 0 if nothing is expected of the arm."""
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
    """That of their mean, at 95 % for so many at once."""
    if len(gaps) < 2 or not together:
        return NO_INTERVAL
    width = float(statistics.simultaneous_half(gaps, together))
    return _mean(gaps) - width, _mean(gaps) + width


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _deviation(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
