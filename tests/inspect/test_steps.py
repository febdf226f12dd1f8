"""Which checkpoints of a run are looked at."""

import shutil

import pytest

from bert_jax.inspect import steps
from bert_jax.run.config import UsageError
from bert_jax.train import checkpoint


@pytest.fixture
def copy(straight, tmp_path):
    shutil.copytree(straight, tmp_path / "run")
    return tmp_path / "run"


def test_the_newest_the_named_and_all(straight):
    kept = checkpoint.steps(straight / "checkpoints")
    assert [model.step for model in steps.models(straight, "")] == [kept[-1]]
    assert [model.step for model in steps.models(straight, str(kept[0]))] == [kept[0]]
    assert [model.step for model in steps.models(straight, "all")] == kept


def test_a_step_that_was_not_kept_is_refused(straight):
    with pytest.raises(UsageError, match="kept no step 1; it has"):
        next(steps.models(straight, "1"))


def test_a_damaged_step_is_named_and_passed_over(copy, capsys):
    kept = checkpoint.steps(copy / "checkpoints")
    (copy / "checkpoints" / str(kept[0]) / "manifest.json").unlink()
    assert [model.step for model in steps.models(copy, "all")] == kept[1:]
    assert "passing over" in capsys.readouterr().out


def test_no_run_and_no_checkpoint_are_refused(copy, tmp_path):
    with pytest.raises(UsageError, match="is no run"):
        next(steps.models(tmp_path / "none", "all"))
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(UsageError, match="no checkpoint that verifies"):
        next(steps.models(copy, "all"))
