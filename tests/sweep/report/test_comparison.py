"""Arms against the baseline: by hand."""

import math
from pathlib import Path

import pytest

from bert_jax.sweep.experiment import Experiment
from bert_jax.sweep.plan import PlannedRun
from bert_jax.sweep.report import comparison, cost, formatting, verdicts
from bert_jax.sweep.report.results import RunResult

EXPERIMENT = Experiment(
    name="x",
    path=Path("x.py"),
    text="Why?",
    base="",
    metrics=("valid/mlm_loss",),
    baseline="base",
    arms={"base": {}, "low": {}, "mixed": {}, "one": {}},
    seeds=(0, 1, 2, 3),
    then={"task": "t.py"},
    claim="",
    expect={"valid/mlm_loss": {"low": "lower", "mixed": "lower", "one": "higher"}},
)
SCORES = {
    "base": {0: 5.0, 1: 5.2, 2: 5.1, 3: 4.9},
    "low": {0: 4.5, 1: 4.5, 2: 4.6},  # -0.5, -0.7, -0.5
    "mixed": {0: 5.1, 1: 5.1, 2: 5.2, 3: 4.8},  # 0.1, -0.1, 0.1, -0.1
    "one": {3: 5.9},
}


def run(
    arm: str, seed: int, stage: str, metrics: dict[str, float], flops: float
) -> RunResult:
    planned = PlannedRun(arm, seed, stage, None)
    texts = dict.fromkeys(
        ("id", "parent", "commit", "data", "tokenizer", "machine"), "x"
    )
    sums = {"steps": 1.0, "tokens": 10.0, "flops": flops, "seconds": 1800.0}
    return RunResult(
        planned,
        "done",
        **texts,
        **sums,
        devices=("a", "a"),
        metrics=metrics,
        measured={"valid": "rows"},
        goodput={},
        log={},
    )


def runs(flops: dict[str, float]) -> list[RunResult]:
    return [
        run(arm, seed, "pretrain", {"valid/mlm_loss": score}, flops[arm])
        for arm, scores in SCORES.items()
        for seed, score in scores.items()
    ]


RUNS = runs({"base": 1e12, "low": 2e12, "mixed": 3e12, "one": 3e12})


@pytest.fixture
def table():
    return comparison.tables(EXPERIMENT, RUNS)[0]


def test_the_baseline_has_a_mean_and_no_difference(table):
    base = table.arms[0]
    assert base.mean == pytest.approx(5.05)
    assert base.spread == pytest.approx(math.sqrt(0.05 / 3))
    assert base.differences == {}
    assert math.isnan(base.difference) and math.isnan(base.p)


def test_differences_are_those_of_common_seeds(table):
    """-0.5, -0.7, -0.5: deviation 0.2 / sqrt(3), t of two degrees 4.3027."""
    low = table.arms[1]
    assert low.differences == pytest.approx({0: -0.5, 1: -0.7, 2: -0.5})
    assert low.difference == pytest.approx(-1.7 / 3)
    half = 4.3027 * 0.2 / 3
    assert low.interval == pytest.approx((-1.7 / 3 - half, -1.7 / 3 + half), abs=1e-4)
    assert (low.sign, table.gain(low), low.p) == (-1, 1, 0.25)
    assert math.isnan(low.bootstrap[0])


def test_p_is_corrected_over_tested_arms(table):
    """0.25 of `low` twice; 1 of `mixed`, whose sum is 0; `one` has none."""
    _, low, mixed, one = table.arms
    assert (low.p, low.holm) == (0.25, 0.5)
    assert (mixed.p, mixed.holm) == (1, 1)
    assert math.isnan(one.p) and math.isnan(one.holm)
    assert one.difference == pytest.approx(1.0)


def test_a_verdict_is_that_of_the_interval(table):
    found = verdicts.verdicts(EXPERIMENT, [table], [])
    assert [verdict.word for verdict in found] == [
        "confirmed",
        "undecided",
        "undecided",
    ]
    assert verdicts.overall(found) == "undecided"
    assert verdicts.overall(found[:1]) == "confirmed"
    other = found[0]._replace(expected="higher")
    assert other.word == "contradicted"
    assert verdicts.overall([*found, other]) == "contradicted"
    assert verdicts.overall([]) == ""


def test_higher_scores_are_better(table):
    low = table.arms[1]
    assert table._replace(metric="task/test/accuracy").gain(low) == -1


def test_flops_per_gain_needs_significance_and_cost(table):
    """A TFLOP more for 0.567 nats: 17.6 GFLOPs for each hundredth."""
    _, low, mixed, one = table.arms
    assert cost.flops_per_gain(RUNS, table, low) == pytest.approx(
        1e12 / (1.7 / 3) * 0.01
    )
    assert math.isnan(
        cost.flops_per_gain(RUNS, table, mixed)
    )  # its interval includes 0
    assert math.isnan(cost.flops_per_gain(RUNS, table, one))  # it has no interval
    equal = runs(dict.fromkeys(SCORES, 1e12))
    assert math.isnan(cost.flops_per_gain(equal, table, low))


def test_the_price_of_a_task_includes_its_pretraining(table):
    tasks = [run("low", 0, "task", {}, 5e12), run("base", 0, "task", {}, 4e12)]
    of_task = table._replace(stage="task")
    price = cost.flops_per_gain([*RUNS, *tasks], of_task, table.arms[1])
    assert price == pytest.approx(2e12 / (1.7 / 3) * 0.01)


def test_costs_are_summed_over_finished_runs():
    found = cost.arm_cost(RUNS, "low", "pretrain")
    assert found == (3, 30.0, 6e12, 5400.0, 3.0)
    assert found.cell("device_hours") == "1 (3)"
    assert found.cell("flops") == "2 T (6 T)"
    assert cost.arm_cost([], "low", "pretrain").cell("flops") == "–"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (formatting.short(1_155_112), "1.16 M"),
        (formatting.short(999.4), "999"),
        (formatting.short(999_600), "1 M"),
        (formatting.short(0.0), "0"),
        (formatting.short(2e24), "2 Y"),
        (formatting.plain(12_345.6), "12,346"),
        (formatting.plain(99.96), "100"),
        (formatting.plain(0.01234), "0.0123"),
        (formatting.plain(math.nan), "–"),
        (formatting.probability(2 / 64), "0.0312"),
        (formatting.probability(1e-5), "1e−05"),
        (formatting.seeds([3, 0, 1, 2, 7, 9, 8, 5]), "0–3, 5, 7–9"),
        (formatting.seeds([4, 5]), "4, 5"),
        (formatting.seeds([]), ""),
        (formatting.unit("valid/mlm_loss").value(4.23456), "4.2346"),
        (formatting.unit("valid/mlm_loss").difference(-0.02), "−0.0200"),
        (formatting.unit("a/test/f1").value(0.91234), "91.23"),
        (formatting.unit("a/test/f1").interval(-0.01, math.inf), "−1.00 to +∞"),
        (formatting.unit("a/test/f1").interval(math.nan, math.nan), "–"),
    ],
)
def test_numbers_read_well(shown, expected):
    assert shown == expected
