"""The whole loop on a shrunken config: what it writes, starts from and refuses."""

import json

import jax
import numpy as np
import pytest

from bert_jax.run import config as configs
from bert_jax.run import exits, rundir
from bert_jax.run.config import UsageError
from bert_jax.train import checkpoint, loop
from tests.running import CHANGES, ROOT, STEPS, assert_same_run, final_state, metrics

FAMILIES = ("albert_base", "distilbert", "electra_small", "modernbert_base")
FAMILIES += ("roberta_base",)


def test_a_run_directory_holds_what_the_design_says(straight, config):
    names = {path.name for path in straight.iterdir()} - {rundir.LEASE}
    assert names == {
        "config.json",
        "run.json",
        "tokenizer.json",
        "metrics.jsonl",
        "checkpoints",
        "tensorboard",
        "result.json",
    }
    assert (straight / "config.json").read_text() == configs.canonical(config)
    facts = json.loads((straight / "run.json").read_text())
    assert facts["fingerprint"] == configs.fingerprint(config, "")
    assert facts.keys() >= {
        "data",
        "tokenizer",
        "versions",
        "devices",
        "seed",
        "parent",
    }
    result = json.loads((straight / "result.json").read_text())
    assert (result["steps"], result["tokens"]) == (STEPS, STEPS * 8 * 32)
    assert result["flops"] > 0 < result["seconds"]
    assert result["metrics"]["valid/mlm_loss"] > 0


def test_metrics_have_their_names(straight):
    log = rundir.read_metrics(straight)
    assert log[4].keys() >= {"train/loss", "train/mlm_loss", "train/pair_loss"}
    assert log[4].keys() >= {"train/grad_norm", "train/lr", "time/step_ms"}
    assert log[STEPS].keys() >= {
        "valid/mlm_loss",
        "valid/mlm_accuracy",
        "valid/pair_accuracy",
        "valid/unigram_loss",
    }
    assert sorted(step for step, row in log.items() if "valid/mlm_loss" in row) == [
        6,
        12,
        18,
        24,
    ]


def test_the_loss_falls(straight):
    log = rundir.read_metrics(straight)
    assert log[STEPS]["valid/mlm_loss"] < log[6]["valid/mlm_loss"]


def test_the_last_checkpoints_are_kept(straight):
    assert checkpoint.steps(straight / "checkpoints") == [18, 21, 24]


def test_the_same_seed_gives_the_same_run_and_another_gives_another(
    straight, tiny, config, tmp_path
):
    assert loop.run(config, tmp_path / "again") == exits.DONE
    assert_same_run(tmp_path / "again", straight)
    assert loop.run(tiny({**CHANGES, "seed": 1}), tmp_path / "other") == exits.DONE
    assert metrics(tmp_path / "other") != metrics(straight)


def test_every_pretraining_config_trains_when_shrunk(tiny, tmp_path):
    """Those that differ in size alone are the same run by then: it is done once. The
    demo is `straight`, which novels differs from in numbers alone; own_text has a test
    of its own, and the fields of families are trained by test_families."""
    files = set((ROOT / "configs/pretrain").glob("*.py"))
    elsewhere = ("novels", "own_text", *FAMILIES)
    files -= {ROOT / f"configs/pretrain/{name}.py" for name in elsewhere}
    distinct = {configs.canonical(tiny({}, str(file))): file for file in sorted(files)}
    assert 1 < len(distinct) < len(files)
    for file in distinct.values():
        assert loop.run(tiny({}, str(file)), tmp_path / file.stem) == exits.DONE


def test_phase_two_starts_from_the_parameters_of_phase_one(straight, tiny, tmp_path):
    changes = {"data.length": 48, "train.steps": 2, "optim.warmup_steps": 1}
    config = tiny({"init_from": straight, **changes})
    assert loop.run(config, tmp_path / "two") == exits.DONE
    facts = rundir.read(tmp_path / "two", rundir.RUN)
    parent = rundir.read(straight, rundir.RUN)["fingerprint"]
    assert facts["parent"] == f"{parent}/{STEPS}"
    first = rundir.read_metrics(tmp_path / "two")[0]
    fresh = rundir.read_metrics(straight)[0]
    assert first["train/mlm_loss"] < fresh["train/mlm_loss"]
    assert first["train/lr"] == 0.0


def test_a_model_of_another_shape_is_not_started_from(straight, tiny, tmp_path):
    config = tiny({"init_from": straight, "model.mlp_dim": 64})
    with pytest.raises(UsageError, match="other parameters than this config"):
        loop.run(config, tmp_path / "run")
    assert not checkpoint.steps(tmp_path / "run" / "checkpoints")


def test_step_zero_and_the_powers_of_two_are_kept_for_good(tiny, tmp_path):
    config = tiny({"train.keep_powers": "true", "train.keep_last": 1})
    assert loop.run(config, tmp_path / "run") == exits.DONE
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [0, 1, 2, 4, 6]


def test_a_loss_that_is_no_number_ends_the_run_and_spares_the_checkpoints(
    tiny, tmp_path
):
    config = tiny(
        {
            "optim.learning_rate": 1e38,
            "optim.clip_norm": 0,
            "optim.warmup_steps": 4,
            "train.steps": 12,
            "train.save_every": 1,
        }
    )
    assert loop.run(config, tmp_path / "run") == exits.DIVERGED
    newest = checkpoint.newest(tmp_path / "run" / "checkpoints", print)
    assert newest is not None
    log = rundir.read_metrics(tmp_path / "run")
    assert log[max(log)][rundir.FINITE] == 0
    state = final_state(tmp_path / "run")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_vocabulary_of_another_size_than_the_model_is_refused(tiny, tmp_path):
    with pytest.raises(
        UsageError, match="model.vocab_size is 300 but the tokenizer has"
    ):
        loop.run(tiny({"model.vocab_size": 300}), tmp_path / "run")
    assert not rundir.is_run(tmp_path / "run")


def test_fewer_examples_than_a_batch_are_refused(tiny, tmp_path):
    with pytest.raises(UsageError, match="fewer than a batch of 100000"):
        loop.run(tiny({"train.batch": 100_000}), tmp_path / "run")
    assert not rundir.is_run(tmp_path / "run")


def test_steps_of_epochs_below_the_warmup_are_refused(tiny, tmp_path):
    """FAULTS 5."""
    changes = {"train.epochs": 1.0, "optim.warmup_steps": 10_000}
    with pytest.raises(UsageError, match=r"10000 is above the \d+ steps"):
        loop.run(tiny(changes), tmp_path / "run")
    assert not rundir.is_run(tmp_path / "run")


def test_a_run_without_any_target_ends_and_says_why(tiny, tmp_path):
    """FAULTS 2: here because next to nothing is to be masked."""
    changes = {"objective.mask_rate": 1e-9, "train.steps": 20, "model.num_layers": 1}
    with pytest.raises(UsageError, match="no target in any step up to 7: nothing of"):
        loop.run(tiny(changes), tmp_path / "run")
    assert not (tmp_path / "run" / rundir.RESULT).exists()
