"""Runs read back: what counts, what does not, and what may share a table."""

import math
import shutil

import pytest

from bert_jax.run import config as configs
from bert_jax.run import rundir
from bert_jax.run.config import UsageError
from bert_jax.sweep import plan
from bert_jax.sweep.report import results
from tests.running import amend
from tests.sweep import pretending

LEARNT = {"valid/mlm_loss": 4.0, "valid/unigram_loss": 6.0}
SCORED = {"test/accuracy": 0.8, "test/baseline": 0.25}


@pytest.fixture
def sweep(tmp_path):
    """Folder and plan of two arms, two seeds and a task, all of it done."""
    path = pretending.write_experiment(
        tmp_path / "experiments" / "pairs.py",
        text="Why?",
        BASE="configs/demo.py",
        METRIC="topics/test/accuracy",
        BASELINE="nsp",
        SEEDS=2,
        THEN={"topics": "configs/finetune/topics.py"},
        arms={"nsp": {}, "deep": {"model.num_layers": 3}},
    )
    found = pretending.launch(path, tmp_path / "runs")
    folder = tmp_path / "runs" / "pairs"
    outcome = {"pretrain": LEARNT, "topics": SCORED}
    pretending.run_all(folder, found.runs, lambda arm, seed, stage: outcome[stage])
    return folder, found


def states_of(sweep) -> dict[str, str]:
    return {run.name: run.state for run in results.read(*sweep)}


def change(folder, name: str, values: dict, file: str = rundir.RESULT) -> None:
    amend(folder / name / file, values)


def test_finished_run_is_read_completely(sweep):
    run = results.read(*sweep)[-1]
    assert run.name == "deep/seed_1/topics"
    assert (run.state, run.steps, run.tokens, run.seconds) == (
        "done",
        200,
        200_001,
        62.5,
    )
    assert run.flops == 1e9 * 200 * 3
    assert run.metrics == SCORED
    assert run.device_hours == 62.5 / 3600
    assert run.data == "topics-1"
    assert run.parent == f"{results.read(*sweep)[-2].id}/6000"


def test_two_devices_take_two_hours_an_hour(sweep):
    folder, _ = sweep
    change(folder, "nsp/seed_0/pretrain", {"devices": ["a", "a"]}, rundir.RUN)
    change(folder, "nsp/seed_0/pretrain", {"seconds": 3600})
    assert results.read(*sweep)[0].device_hours == 2


def test_unfinished_run_has_no_numbers(sweep):
    folder, _ = sweep
    (folder / "nsp/seed_0/topics" / rundir.RESULT).unlink()
    run = results.read(*sweep)[1]
    assert (run.state, run.metrics) == ("stopped", {})
    assert math.isnan(run.device_hours)
    assert run.id


def test_of_a_foreign_run_nothing_is_read(sweep):
    folder, _ = sweep
    shutil.rmtree(folder / "nsp/seed_0/pretrain")
    shutil.copytree(folder / "deep/seed_0/pretrain", folder / "nsp/seed_0/pretrain")
    run = results.read(*sweep)[0]
    assert (run.state, run.id, run.commit, run.metrics, run.log) == (
        "foreign",
        "",
        "",
        {},
        {},
    )


def test_copied_run_and_its_children_are_foreign(sweep):
    """The task of a copied chain agrees with its parent, and neither is of the arm."""
    folder, _ = sweep
    shutil.rmtree(folder / "nsp")
    shutil.copytree(folder / "deep", folder / "nsp")
    states = states_of(sweep)
    assert {name for name in states if states[name] == "foreign"} == {
        f"nsp/seed_{seed}/{stage}"
        for seed in (0, 1)
        for stage in ("pretrain", "topics")
    }


@pytest.mark.parametrize(
    "damage",
    [{"metrics": None}, {"metrics": {"a": "b"}}, {"steps": None}, {"seconds": [1]}],
)
def test_a_damaged_result_is_named(sweep, damage):
    folder, _ = sweep
    change(folder, "nsp/seed_1/topics", damage)
    with pytest.raises(UsageError, match="nsp/seed_1/topics/result.json is not what"):
        results.read(*sweep)


@pytest.mark.parametrize(
    ("spec", "metrics", "expected"),
    [
        ("demo", {"valid/mlm_loss": 5.9, "valid/unigram_loss": 6.0}, False),
        ("demo", {"valid/mlm_loss": 6.0, "valid/unigram_loss": 6.0}, True),
        ("demo", {"valid/unigram_loss": 6.0}, True),
        ("finetune/topics", {"test/accuracy": 0.26, "test/baseline": 0.25}, False),
        ("finetune/topics", {"test/accuracy": 0.25, "test/baseline": 0.25}, True),
        ("finetune/topics", {"test/baseline": 0.25}, True),
        ("finetune/topics", {"valid/accuracy": 0.9, "valid/baseline": 0.2}, True),
    ],
)
def test_no_better_than_looking_at_nothing_is_degenerate(spec, metrics, expected):
    config = configs.frozen(configs.read(f"configs/{spec}.py", {}))
    assert results.is_degenerate(config, metrics) == expected


def test_causal_runs_are_judged_by_lm_loss():
    changes = {"objective.kind": "clm", "objective.pair": "none"}
    changes |= {"model.attention": "causal", "data.pairs": "single"}
    config = configs.load("configs/demo.py", changes)
    assert not results.is_degenerate(
        config, {"valid/lm_loss": 5.0, "valid/unigram_loss": 6.0}
    )


def test_like_runs_may_share_a_table(sweep):
    results.check_comparable(results.read(*sweep))


def test_data_may_differ_by_seed_only(sweep):
    folder, _ = sweep
    change(folder, "nsp/seed_1/topics", {"data": "x"}, rundir.RUN)
    with pytest.raises(UsageError) as refusal:
        results.check_comparable(results.read(*sweep))
    assert str(refusal.value).splitlines()[0] == (
        "data differ: x of nsp/seed_1/topics; topics-1 of deep/seed_1/topics"
    )


def test_fingerprints_of_two_versions_are_not_compared(sweep):
    """Kind C: the same data have another fingerprint in runs of an older version."""
    folder, _ = sweep
    change(folder, "nsp/seed_1/topics", {"data": "2:x"}, rundir.RUN)
    change(folder, "nsp/seed_1/pretrain", {"tokenizer": "2:x"}, rundir.RUN)
    results.check_comparable(results.read(*sweep))
    assert not results.mismatch(results.read(*sweep), "test/accuracy")
    change(folder, "deep/seed_1/topics", {"data": "2:y"}, rundir.RUN)
    with pytest.raises(UsageError, match="data differ: 2:x of nsp.*; 2:y of deep"):
        results.check_comparable(results.read(*sweep))


def test_task_vocabulary_may_differ(sweep):
    folder, _ = sweep
    change(folder, "nsp/seed_1/topics", {"tokenizer": "x"}, rundir.RUN)
    results.check_comparable(results.read(*sweep))


def test_steps_may_differ_where_patience_ends_a_task(sweep):
    folder, _ = sweep
    change(folder, "nsp/seed_1/topics", {"steps": 150})
    runs = results.read(*sweep)
    with pytest.raises(UsageError, match="steps differ: 150 of nsp/seed_1/topics; 200"):
        results.check_comparable(runs)
    patient = configs.changed(
        runs[0].planned.config, {"train.patience": 2, "train.keep_best": True}
    )
    runs = [run._replace(planned=run.planned._replace(config=patient)) for run in runs]
    results.check_comparable(runs)


def test_unfinished_runs_are_not_compared(sweep):
    folder, _ = sweep
    change(folder, "nsp/seed_1/topics", {"data": "x"}, rundir.RUN)
    (folder / "nsp/seed_1/topics" / rundir.RESULT).unlink()
    results.check_comparable(results.read(*sweep))


def test_many_differences_are_counted(sweep):
    folder, found = sweep
    for run in found.runs:
        if run.arm == "nsp":
            change(folder, run.name, {"data": "x"}, rundir.RUN)
    with pytest.raises(UsageError, match="and 1 more such differences"):
        results.check_comparable(results.read(*sweep))


def test_plan_lists_parents_before_children(sweep):
    """As results.read relies on."""
    seen = set()
    for run in plan.read(sweep[0]).runs:
        assert not run.needs or run.needs in seen
        seen.add(run.name)
