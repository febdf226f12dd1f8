"""What a config and its data resolve to before there is a run."""

import pytest

from bert_jax.run import config as configs
from bert_jax.run.config import UsageError

RECIPE = "configs/finetune/recipe.py"  # three epochs, 32 a batch, a tenth to warm up


def scheduled(number: int, **changes: str):
    wishes = {key.replace("__", "."): value for key, value in changes.items()}
    return configs.scheduled(configs.load(RECIPE, wishes), number)


def test_epochs_are_steps_that_see_every_example_as_often():
    """Of 100 examples an epoch is 3.125 batches: saved and evaluated after the fourth,
    and three are 9.375."""
    config = scheduled(100)
    assert config.train.steps == 10
    assert (config.train.save_every, config.eval.every) == (4, 4)
    assert config.optim.warmup_steps == 1


@pytest.mark.parametrize(("epochs", "steps"), [("0.5", 5), ("1", 10), ("1.01", 11)])
def test_parts_of_epochs_are_rounded_up(epochs, steps):
    assert scheduled(320, train__epochs=epochs).train.steps == steps


def test_steps_and_periods_that_are_stated_stay():
    stated = {
        "train__epochs": "0",
        "train__steps": "50",
        "optim__warmup_share": "0",
        "optim__warmup_steps": "7",
        "train__save_every": "20",
        "eval__every": "30",
    }
    config = scheduled(100, **stated)
    assert config.train.steps == 50
    assert (config.train.save_every, config.eval.every) == (20, 30)
    assert config.optim.warmup_steps == 7


def test_steps_that_end_before_the_warmup_are_refused():
    """FAULTS 5: of 39 steps that an epoch makes, base.py's warm-up leaves none."""
    wishes = {"train__epochs": "1", "optim__warmup_share": "0"}
    config = scheduled(1248, **wishes, optim__warmup_steps="10000")
    with pytest.raises(UsageError, match="warmup_steps 10000 is above the 39 steps"):
        configs.check_warmup(config)
    configs.check_warmup(scheduled(1248, **wishes, optim__warmup_steps="39"))
