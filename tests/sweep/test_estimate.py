"""What a sweep will cost, by hand."""

import math

import pytest

from bert_jax.data import store
from bert_jax.run import config as configs
from bert_jax.run import flops
from bert_jax.run.config import UsageError
from bert_jax.sweep import estimate
from bert_jax.sweep.plan import PlannedRun
from tests.sweep import pretending


def planned(source: str, stage: str, **changes: str) -> PlannedRun:
    given = {name.replace("__", "."): value for name, value in changes.items()}
    return PlannedRun("a", 0, stage, configs.load(source, given))


def test_a_pretraining_costs_its_steps(tmp_path):
    run = planned("configs/demo.py", "pretrain", model__vocab_size="4096")
    cost = estimate.estimate_cost(run)
    assert cost.steps == 6000
    assert cost.tokens == 6000 * 8 * 128
    assert cost.flops == pytest.approx(flops.training_flops(run.config, 6000, 128))


def test_untrained_vocabulary_counts_with_requested_size():
    known = planned("configs/demo.py", "pretrain", model__vocab_size="4096")
    rows_unknown = planned("configs/demo.py", "pretrain")
    assert estimate.estimate_cost(known) == estimate.estimate_cost(rows_unknown)


def test_epochs_are_counted_in_the_data(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text("".join(f"{n % 2}\ta film {n}\n" for n in range(100)))
    data = {"task__train": str(path), "task__valid": str(path), "task__test": ""}
    run = planned("configs/finetune/sst2.py", "sst2", **data, train__epochs="2.0")
    assert estimate.estimate_cost(run).steps == math.ceil(2 * 100 / 32)
    path.unlink()
    assert math.isnan(estimate.estimate_cost(run).steps)


def test_steps_below_the_warmup_are_refused_before_launch(tiny):
    """FAULTS 5: as far as the store is there."""
    changes = {"train.epochs": 1.0, "optim.warmup_steps": 10_000}
    run = PlannedRun("a", 0, "pretrain", tiny({**changes, "data.copies": 1}))
    fresh = run._replace(config=tiny({**changes, "tokenizer.vocab_size": 111}))
    store.prepare(run.config)
    estimate.check([fresh])
    with pytest.raises(UsageError, match=r"a/seed_0/pretrain: .*10000 is above the \d"):
        estimate.check([fresh, run])


@pytest.fixture
def sweep(tmp_path):
    path = pretending.write_experiment(
        tmp_path / "try.py",
        text="Why?",
        arms={"a": {}, "long_name": {"train.batch": 16}},
        BASE="configs/demo.py",
        METRIC="valid/mlm_loss",
        BASELINE="a",
        SEEDS=3,
    )
    return tmp_path / "runs/try", pretending.launch(path, tmp_path / "runs").runs


def test_table_has_arms_and_sum(sweep):
    folder, runs = sweep
    head, a, b, total = estimate.table(folder, runs, 1e12).splitlines()
    assert "device hours" in head
    assert a.split()[:5] == ["a", "pretrain", "3", "3", "ready"]
    assert b.split()[5] == "6,000"
    operations = 3 * sum(
        estimate.estimate_cost(run).flops for run in (runs[0], runs[3])
    )
    assert total.startswith(f"6 runs, {operations:.3g} FLOPs, ")
    assert f" {operations / 1e12 / 3600:.3g} device hours at 1e+03 GFLOP/s" in total
    assert "as the profile states" in total


def test_finished_runs_determine_the_rate(sweep):
    folder, runs = sweep
    assert estimate.measured_rate(folder, runs) is None
    assert "a guess" in estimate.table(folder, runs, 0)
    pretending.finish(folder, runs[0], {"valid/mlm_loss": 3.0})
    pretending.finish(folder, runs[1], {"valid/mlm_loss": 3.0})
    done = 2 * 1e9 * 6000 * 2
    assert estimate.measured_rate(folder, runs) == pytest.approx(done / (61.5 + 62.5))
    message = estimate.table(folder, runs, 0)
    assert "as the finished runs had it" in message
    assert "2 done, 1 ready" in message
