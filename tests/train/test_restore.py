"""What a run begins with: what it takes from its parent, leaves, makes and refuses."""

import contextlib

import jax
import numpy as np
import pytest

import launch
from bert_jax.run import config as configs
from bert_jax.run import rundir
from bert_jax.run.config import UsageError
from bert_jax.train import checkpoint, restore, setup, state
from bert_jax.train.checkpoint import Checkpoints
from tests.finetuning import EPOCH, EPOCHS

TAGS = {"task.labels": "B-PER,I-PER,O"}  # as the run of `tuned` sorts them


@pytest.fixture
def begin(tmp_path):
    """begin(CONFIG): the parameters of step 0, and what was said of them."""

    def run(config):
        said = []
        parts = setup.build(config, None)
        with contextlib.closing(Checkpoints(tmp_path, 1, 0, False)) as checkpoints:
            current, first = restore.restore_or_init(parts, checkpoints, said.append)
        assert (first, int(current.step)) == (0, 0)
        return jax.device_get(current.params), said

    return run


def saved(run):
    return jax.device_get(checkpoint.restore_alone(run, checkpoint.chosen(run, None)))


def assert_equal(one, two):
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_what_is_loaded_initialised_and_left_over_is_said(begin, task, straight):
    params, said = begin(task("choose", {}))
    loaded, left = "encoder, pooler", "mlm_head, pair_head"
    taken = f"loaded {loaded}; initialised choice_head; left over {left}"
    assert said == [f"starting from {straight}, step 24: {taken}"]
    parent = saved(straight)
    assert_equal(params["encoder"], parent["encoder"])
    assert_equal(params["pooler"], parent["pooler"])
    assert np.std(params["choice_head"]["kernel"]) > 0


def test_one_step_of_a_run_is_another_start(begin, task, straight):
    earlier = task("choose", {"init_from": straight / "checkpoints" / "21"})
    params, said = begin(earlier)
    assert f"starting from {straight}, step 21" in said[0]
    parent = checkpoint.restore_alone(straight, 21)
    assert_equal(params["encoder"], parent["encoder"])


def test_a_head_of_the_same_labels_is_taken_over(begin, task, tuned):
    run = tuned("tag")
    for changes in ({}, TAGS):
        params, said = begin(task("tag", {"init_from": run, **changes}))
        assert "loaded encoder, tag_head; initialised nothing" in said[0]
        assert_equal(params, saved(run))


@pytest.mark.parametrize("labels", ["O,B-PER,I-PER", "B-PER,I-PER,O,X"])
def test_other_labels_than_the_head_s_are_refused_by_name(begin, task, tuned, labels):
    run = tuned("tag")
    changes = {"init_from": run, "task.labels": labels, "task.metric": "accuracy"}
    with pytest.raises(UsageError) as error:
        begin(task("tag", changes))
    assert str(error.value) == (
        f"the tag_head of {run} was trained on the labels B-PER, I-PER, O, but these "
        f"data have {labels.replace(',', ', ')}: state them in that order with "
        "--config.task.labels, or start without it: --config.init_leave=tag_head"
    )


def test_a_head_that_is_left_is_initialised(begin, task, tuned):
    run = tuned("tag")
    leave = {"init_leave": "tag_head", "task.labels": "O,I-PER,B-PER"}
    params, said = begin(task("tag", {"init_from": run, **leave}))
    assert "loaded encoder; initialised tag_head; left over tag_head" in said[0]
    assert_equal(params["encoder"], saved(run)["encoder"])
    assert not np.any(params["tag_head"]["bias"])


def test_all_that_is_left_is_the_same_network_from_scratch(begin, task, straight):
    """The weights that the seed gives without a parent, in the parent's shape."""
    config = task("choose", {"init_leave": "."})
    params, said = begin(config)
    assert "loaded nothing; initialised choice_head, encoder, pooler" in said[0]
    parts = setup.build(config, None)
    create = parts.objective.init, parts.optimiser, config.seed
    fresh = state.initialise(*create, parts.placement.shardings)
    assert_equal(params, jax.device_get(fresh.params))
    assert np.any(params["pooler"]["kernel"] != saved(straight)["pooler"]["kernel"])


@pytest.mark.parametrize(
    ("leave", "said"),
    [
        (
            "mlm_head",
            "init_leave = 'mlm_head' matches none of choice_head, encoder, po",
        ),
        ("(", "init_leave = '\\(' is no regex"),
    ],
)
def test_a_regex_that_leaves_nothing_is_refused(begin, task, leave, said):
    with pytest.raises(UsageError, match=said):
        begin(task("choose", {"init_leave": leave}))


def test_positions_that_have_learned_nothing_are_warned_of(begin, task, straight):
    _, said = begin(task("choose", {"data.length": 48}))
    (warning,) = said[1:]
    assert f"warning: {straight} was trained on 32 tokens" in warning
    assert "to data.length=48 have learned nothing yet" in warning


def test_a_run_of_its_own_goes_on_without_its_parent(task, tuned):
    run, said = tuned("choose"), []
    parts = setup.build(task("choose", {"init_from": run}), None)
    with contextlib.closing(Checkpoints(run, 3, 0, False)) as checkpoints:
        current, first = restore.restore_or_init(parts, checkpoints, said.append)
    assert first == int(current.step) == EPOCH * EPOCHS
    assert said == [f"continuing from step {first}"]


FAULTS = {
    "labels of another head": ({"task.labels": "x,y"}, "is not among the stated ones"),
    "a metric of other labels": ({"task.metric": "exact"}, "task.metric of"),
    "a missing file": ({"task.valid": "nowhere"}, "nowhere: No such file"),
    "another shape": ({"model.num_layers": "3"}, "model.num_layers is 3 but"),
    "more than there are": ({"train.batch": "64"}, "fewer than a batch of 64"),
    "a window without room": ({"task.stride": "40"}, "stride=40 must be less"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_with_2_and_nothing_half_written(
    fault, task, tmp_path, straight, capsys
):
    changes, said = FAULTS[fault]
    kind = "span" if "task.stride" in changes else "tag"
    path, workdir = tmp_path / "config.json", tmp_path / "run"
    path.write_text(configs.canonical(task(kind, {})))
    wishes = [f"--config.{key}={value}" for key, value in changes.items()]
    command = ["train", f"--config={path}", f"--workdir={workdir}", *wishes]
    assert launch.main(command) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("launch.py train: ")
    assert said in last
    assert not rundir.is_run(workdir)
    assert not checkpoint.steps(workdir / "checkpoints")
