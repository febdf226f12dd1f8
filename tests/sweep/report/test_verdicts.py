"""What may be said of an expectation: by which rows, which intervals, which runs."""

import math
from pathlib import Path

import pytest
from scipy import stats

from bert_jax.sweep.experiment import Experiment
from bert_jax.sweep.plan import PlannedRun
from bert_jax.sweep.report import comparison, verdicts
from bert_jax.sweep.report.results import RunResult

SINGLE, PAIR, TASK = "valid/single/mlm_loss", "valid/pair/mlm_loss", "t/test/f1"
SEEDS = range(6)
NOISE = (0.003, -0.001, 0.002, -0.003, 0.001, -0.002)  # of a seed; its mean is 0
EXPERIMENT = Experiment(
    name="x",
    path=Path("x.py"),
    text="Why?",
    base="",
    metrics=(SINGLE, PAIR, TASK),
    baseline="base",
    arms={"base": {}, "arm": {}, "other": {}},
    seeds=tuple(SEEDS),
    then={"t": "t.py"},
    claim="",
    expect={SINGLE: {"arm": "lower"}, PAIR: {"arm": "lower"}, TASK: {"arm": "higher"}},
)
MARKS = {"valid": "o", "valid/single": "s", "valid/pair": "p", "test": "t"}
FREEDOM = len(SEEDS) - 1


def run(
    arm: str, seed: int, stage: str, metrics: dict[str, float], marks: dict
) -> RunResult:
    texts = dict.fromkeys(
        ("id", "parent", "commit", "data", "tokenizer", "machine"), "x"
    )
    sums = dict.fromkeys(("steps", "tokens", "flops", "seconds"), 1.0)
    more = {"devices": ("cpu",), "goodput": {}, "log": {}}
    planned = PlannedRun(arm, seed, stage, None)
    return RunResult(
        planned, "done", **texts, **sums, **more, metrics=metrics, measured=marks
    )


def runs(
    single: float, pair: float, unigram=6.0, marks=None, accuracy=0.62
) -> list[RunResult]:
    """Six seeds of a baseline and of an arm that differs by so much in each metric."""
    found = []
    for seed in SEEDS:
        for arm, gaps in (("base", (0.0, 0.0)), ("arm", (single, pair))):
            noise = NOISE[seed] * (arm == "arm")
            losses = {SINGLE: 5.0 + gaps[0] + noise, PAIR: 5.1 + gaps[1] + noise}
            losses |= {
                f"valid/{rows}/unigram_loss": unigram for rows in ("single", "pair")
            }
            losses |= (
                {"valid/pair_accuracy": accuracy + NOISE[seed]} if arm == "base" else {}
            )
            marks_of_arm = MARKS if marks is None else marks[arm]
            found.append(run(arm, seed, "pretrain", losses, marks_of_arm))
    return found


def judge(found: list[RunResult], **changes) -> list[str]:
    experiment = EXPERIMENT._replace(**changes)
    tables = comparison.tables(experiment, found)
    required = verdicts.conditions(experiment, found)
    return [v.word for v in verdicts.verdicts(experiment, tables, required)]


@pytest.mark.parametrize(
    ("single", "pair", "word"),
    [
        (-0.1, -0.1, "confirmed"),
        (0.1, 0.1, "contradicted"),
        (-0.1, 0.1, "undecided"),
        (-0.1, 0.0, "undecided"),
        (0.0, 0.1, "undecided"),
    ],
)
def test_a_claim_is_judged_on_single_and_pair(single, pair, word):
    assert judge(runs(single, pair)) == [word, "undecided"]


def test_every_expected_interval_counts_for_the_level():
    """NOISE has the deviation sqrt(28/5)/1000; three intervals are expected."""
    arm = comparison.tables(EXPERIMENT, runs(-0.1, -0.1))[0].arms[1]
    error = math.sqrt(28 / 5) / 1000 / math.sqrt(6)
    for ends, level in ((arm.interval, 0.05), (arm.simultaneous, 0.05 / 3)):
        width = stats.t.ppf(1 - level / 2, FREEDOM) * error
        assert ends == pytest.approx((-0.1 - width, -0.1 + width))


def test_single_interval_may_exclude_0_but_not_simultaneous():
    """Between t(0.975) = 2.571 and t(1 - 0.025/3) = 3.534 standard errors."""
    error = math.sqrt(28 / 5) / 1000 / math.sqrt(6)
    assert judge(runs(-3 * error, -3 * error))[0] == "undecided"
    assert judge(runs(-3.6 * error, -3.6 * error))[0] == "confirmed"
    alone = {"expect": {SINGLE: {"arm": "lower"}}, "metrics": (SINGLE, PAIR)}
    assert (
        comparison.tables(EXPERIMENT._replace(**alone), runs(-3 * error, 0))[0]
        .arms[1]
        .simultaneous[1]
        < 0
    )


def test_arms_of_different_rows_are_not_compared():
    """FAULTS 54: each arm was evaluated on rows of its own."""
    marks = {"base": MARKS, "arm": MARKS | {"valid/pair": "q"}}
    found = runs(-0.1, -0.1, marks=marks)
    assert judge(found) == ["not comparable", "undecided"]
    single, pair, _ = comparison.tables(EXPERIMENT, found)
    assert pair.mismatch == "the rows differ: `p` of base; `q` of arm"
    assert not pair.arms[1].differences and not math.isnan(pair.arms[1].mean)
    assert single.rows == "s" and single.arms[1].sign == -1


def test_one_seed_of_other_rows_is_named():
    found = runs(-0.1, -0.1)
    odd = found[5]._replace(measured=MARKS | {"valid/single": "z"})
    table = comparison.tables(EXPERIMENT, [*found[:5], odd, *found[6:]])[0]
    assert table.mismatch.endswith("arm/seed_5; `z` of arm/seed_2")


@pytest.mark.parametrize("marks", [{}, {"valid": "o"}])
@pytest.mark.parametrize("gap", [-0.1, 0.1])
def test_rows_that_nobody_noted_confirm_nothing(marks, gap):
    """Also if it is only the runs of one arm that are from before."""
    for given in ({"base": marks, "arm": marks}, {"base": MARKS, "arm": marks}):
        found = runs(gap, gap, marks=given)
        assert judge(found) == ["rows unknown", "undecided"]
        table = comparison.tables(EXPERIMENT, found)[0]
        assert table.rows_unknown and table.gain(table.arms[1]) == 0


@pytest.mark.parametrize(
    ("unigram", "accuracy", "word"),
    [
        (5.61, 0.62, "confirmed"),
        (5.59, 0.62, "too short to say"),
        (5.61, 0.552, "too short to say"),  # 0.5495 to 0.5545
        (5.61, 0.56, "confirmed"),
    ],
)
def test_a_published_claim_needs_runs_that_learnt(unigram, accuracy, word):
    arms = {"base": {}, "arm": {"objective.pair": "none"}}
    found = runs(-0.1, -0.1, unigram=unigram, accuracy=accuracy)
    assert judge(found, claim="Published: ...", arms=arms)[0] == word


def test_other_questions_need_no_pair_accuracy():
    short = runs(-0.1, -0.1, unigram=5.2, accuracy=0.5)
    assert judge(short)[0] == "confirmed"  # nothing published is claimed
    long = runs(-0.1, -0.1, accuracy=0.5)
    assert judge(long, claim="Published: ...")[0] == "confirmed"


def test_conditions_state_measured_numbers():
    arms = {"base": {}, "arm": {"objective.pair": "none"}}
    experiment = EXPERIMENT._replace(claim="Published: ...", arms=arms)
    found = verdicts.conditions(experiment, runs(0.0, 0.0, unigram=5.26, accuracy=0.51))
    assert [condition.holds for condition in found] == [False, False]
    assert found[0].text == (
        "the baseline `base` is 0.26 nats (95 % interval 0.26 to 0.26) below the unigram "
        "loss of `valid/single`; 0.6 are needed"
    )
    assert found[1].text == (
        "`base` tells 51.0 % (95 % interval 50.8 to 51.2) of the pairs apart; the interval "
        "must lie above 55 %"
    )


def test_baseline_without_shared_rows_uses_valid_loss():
    metrics = {"valid/lm_loss": 5.0, "valid/unigram_loss": 5.7}
    found = [run("base", seed, "pretrain", metrics, MARKS) for seed in SEEDS]
    experiment = EXPERIMENT._replace(claim="Published: ...")
    assert [c.holds for c in verdicts.conditions(experiment, found)] == [True]


def test_a_baseline_without_pair_loss_asks_its_arms():
    arms = {"base": {}, "arm": {"objective.pair": "nsp"}}
    experiment = EXPERIMENT._replace(claim="Published: ...", arms=arms)
    found = [
        r._replace(metrics=r.metrics | {"valid/pair_accuracy": 0.5})
        if r.planned.arm == "arm"
        else r._replace(metrics={k: m for k, m in r.metrics.items() if "acc" not in k})
        for r in runs(0.0, 0.0)
    ]
    asked = verdicts.conditions(experiment, found)
    assert [c.holds for c in asked] == [True, False]
    assert asked[1].text.startswith("`arm` tells 50.0 %")
