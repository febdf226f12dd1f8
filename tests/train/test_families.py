"""A run with the fields that families differ in: resumed, accumulated, in lanes."""

import shutil

import numpy as np
import pytest

from bert_jax.run import exits, rundir
from bert_jax.train import lanes, loop
from tests.running import assert_same_run, metrics
from tests.train.parallel.test_placement import FAMILIES

SHORT = {
    "train.steps": 4,
    "train.save_every": 2,
    "train.log_every": 1,
    "eval.every": 4,
    "optim.warmup_steps": 1,
}


def settings(name, **more):
    fields = {f"model.{key}": value for key, value in FAMILIES[name].items()}
    return {**SHORT, **fields, **more}


@pytest.fixture(scope="module", params=FAMILIES)
def trained(request, tiny, tmp_path_factory):
    """The name of a set of fields, and a run with them."""
    workdir = tmp_path_factory.mktemp("families") / "run"
    assert loop.run(tiny(settings(request.param)), workdir) == exits.DONE
    return request.param, workdir


def losses(workdir):
    rows = sorted(metrics(workdir).items())
    return [row["train/loss"] for _, row in rows if "train/loss" in row]


def test_a_resumed_run_has_the_same_bits(trained, tiny, tmp_path):
    name, straight = trained
    again = tmp_path / "run"
    shutil.copytree(straight, again)
    (again / rundir.RESULT).unlink()
    shutil.rmtree(again / rundir.CHECKPOINTS / "4")
    assert loop.run(tiny(settings(name)), again) == exits.DONE
    assert_same_run(again, straight)


def test_accumulation_gives_the_losses_of_one_batch(trained, tiny, tmp_path):
    name, straight = trained
    config = tiny(settings(name, **{"train.accumulate": 2}))
    assert loop.run(config, tmp_path / "run") == exits.DONE
    np.testing.assert_allclose(losses(tmp_path / "run"), losses(straight), rtol=1e-5)


def test_a_lane_is_the_run_by_itself(trained, tiny, tmp_path):
    name, straight = trained
    runs = [
        (tiny(settings(name, seed=seed)), tmp_path / str(seed)) for seed in range(2)
    ]
    assert lanes.run(runs) == exits.DONE
    np.testing.assert_allclose(losses(tmp_path / "0"), losses(straight), rtol=1e-5)
