"""What a config takes over from the run that it starts from, and cannot contradict."""

import shutil

import pytest

from bert_jax.run import config as configs
from bert_jax.run import lineage
from bert_jax.run.config import UsageError
from bert_jax.train import restore
from tests.running import STEPS, become, begin_run

DEMO = "configs/demo.py"
PLAIN = "configs/finetune/recipe.py"
SIZES = {"model.num_layers": "3", "model.model_dim": "48", "model.mlp_dim": "96"}


@pytest.fixture
def parent(tmp_path):
    """A run as far as its config goes, of unusual sizes."""
    run = tmp_path / "parent"
    begin_run(
        run, configs.load(DEMO, SIZES | {"model.norm": "pre", "model.dropout": "0.3"})
    )
    return run


@pytest.fixture
def child(tmp_path):
    """child(LINES): the path of a config that says them beside the recipe."""

    def write(body: str) -> str:
        path = tmp_path / "child.py"
        path.write_text(
            "from configs.finetune import recipe\n\n\ndef get_config():\n"
            f"    config = recipe.get_config()\n    {body}\n    return config\n"
        )
        return str(path)

    return write


@pytest.mark.parametrize("step", ["", "checkpoints/7"])
def test_shape_and_vocabulary_are_inherited(parent, step):
    config = lineage.load(PLAIN, {"init_from": str(parent / step)})
    model = config.model
    assert (model.num_layers, model.model_dim, model.mlp_dim) == (3, 48, 96)
    theirs = configs.flatten(configs.load(str(parent / "config.json"), {}))
    ours = configs.flatten(config)
    assert {key: ours[key] for key in lineage.INHERITED} == {
        key: theirs[key] for key in lineage.INHERITED
    }
    assert model.dropout == 0.1, "how it is trained is its own"
    assert config.data.length == 128
    again = lineage.with_vocabulary(config, None)
    assert again.tokenizer.path == str(parent / "tokenizer.json")


def test_without_a_parent_nothing_is_taken_over():
    assert lineage.load(DEMO, {}) == configs.load(DEMO, {})
    config = lineage.load(DEMO, {})
    assert lineage.with_vocabulary(config, None) is config


def test_a_stated_vocabulary_stays(parent):
    config = lineage.load(
        PLAIN, {"init_from": str(parent), "tokenizer.path": "own.txt"}
    )
    assert lineage.with_vocabulary(config, None).tokenizer.path == "own.txt"


def test_a_file_that_contradicts_the_parent_is_refused(parent, child):
    file = child("config.model.num_layers = 2")
    with pytest.raises(UsageError) as error:
        lineage.load(file, {"init_from": str(parent)})
    assert str(error.value) == (
        f"model.num_layers is 2 but {parent}, which init_from names, has 3: leave it out"
    )


@pytest.mark.parametrize("number", ["12", "4"])
def test_an_override_that_contradicts_the_parent_is_refused(parent, number):
    """Also one that says what configs/base.py has."""
    wish = {"init_from": str(parent), "model.num_layers": number}
    with pytest.raises(UsageError, match=f"model.num_layers is {number} but .* has 3"):
        lineage.load(PLAIN, wish)


def test_repeating_parent_sizes_is_allowed(parent, child):
    file = child("config.model.update(num_layers=3, model_dim=48)")
    config = lineage.load(file, {"init_from": str(parent), "model.mlp_dim": "96"})
    assert config.model.mlp_dim == 96


def test_config_is_checked_after_inheritance(parent):
    """The parent has no more than 128 positions."""
    wish = {"init_from": str(parent), "data.length": "200"}
    with pytest.raises(
        UsageError, match="data.length 200 is above model.max_length 128"
    ):
        lineage.load(PLAIN, wish)


def test_a_parent_that_is_no_run_is_named(tmp_path):
    with pytest.raises(UsageError, match="nowhere is no run"):
        lineage.load(PLAIN, {"init_from": str(tmp_path / "nowhere")})


def test_run_identity_has_parent_identity_not_path(straight, tmp_path):
    """Nor does it matter whether the last step is named."""

    def identity(source):
        wish = {"init_from": str(source), "data.length": "32"}
        config = lineage.load(PLAIN, wish)
        return configs.fingerprint(config, restore.parent(config, tmp_path))

    moved = shutil.copytree(straight, tmp_path / "moved")
    here = identity(straight)
    assert identity(moved) == here
    assert identity(moved / "checkpoints" / str(STEPS)) == here
    assert identity(moved / "checkpoints" / str(STEPS - 3)) != here
    become(moved, {"seed": 1})
    assert identity(moved) != here
