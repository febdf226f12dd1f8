"""Experiment files: what they say, and every mistake that shows without a config."""

from pathlib import Path

import pytest

from bert_jax.run.config import UsageError
from bert_jax.sweep import experiment

ROOT = Path(__file__).parents[2]
GOOD = '''"""Does it help?

More of it.
"""
BASE = "configs/demo.py"
METRIC = "valid/mlm_loss"
BASELINE = "a"
SEEDS = 3

def arms():
    yield "a", {}
    yield "b", {"optim.learning_rate": 1e-4}
'''


@pytest.fixture
def write(tmp_path):
    """write(OLD, NEW, ...): a good file with each OLD replaced by its NEW."""

    def make(*changes: str) -> Path:
        text = GOOD
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "try.py"
        path.write_text(text)
        return path

    return make


def test_a_file_says_question_arms_and_seeds(write):
    found = experiment.load(write())
    assert found.name == "try"
    assert found.question == "Does it help?"
    assert found.text.endswith("More of it.")
    assert found.metrics == ("valid/mlm_loss",)
    assert found.arms == {"a": {}, "b": {"optim.learning_rate": 1e-4}}
    assert found.seeds == (0, 1, 2)
    assert found.stages == ("pretrain",)
    assert (found.then, found.expect, found.claim) == ({}, {}, "")


def test_seeds_may_be_listed_and_metrics_added(write):
    also = 'SEEDS = [7, 3]\nALSO = ["sst2/test/accuracy"]\nTHEN = {"sst2": "x.py"}'
    found = experiment.load(write("SEEDS = 3", also))
    assert found.seeds == (7, 3)
    assert found.metrics == ("valid/mlm_loss", "sst2/test/accuracy")
    assert found.stages == ("pretrain", "sst2")


def test_metric_prefix_is_the_stage():
    then = {"sst2": "x.py"}
    assert experiment.locate("sst2/test/f1", then) == ("sst2", "test/f1")
    assert experiment.locate("valid/mlm_loss", then) == ("pretrain", "valid/mlm_loss")
    assert experiment.lower_is_better("valid/mlm_loss")
    assert not experiment.lower_is_better("sst2/test/accuracy")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../x", "no folder's name"),
        ("a b", "no folder's name"),
        ("", "no folder's name"),
        (".hidden", "no folder's name"),
        ("é", "no folder's name"),
        ("b" * 300, "has 300 characters, above 80"),
        ("a", "is there twice"),
        ("A", "and 'a' share a folder"),
        ("code", "would be the sweep's own code"),
    ],
)
def test_bad_arm_names_are_refused(write, name, message):
    with pytest.raises(UsageError) as refused:
        experiment.load(write('"b"', repr(name)))
    assert message in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('BASELINE = "a"', 'BASELINE = "c"', "BASELINE 'c' is none of a, b"),
        ("SEEDS = 3", "SEEDS = 0", "SEEDS must be"),
        ("SEEDS = 3", "SEEDS = [1, 1]", "SEEDS must be"),
        ("SEEDS = 3", "SEEDS = True", "SEEDS must be of type int or list"),
        ("SEEDS = 3", "", "SEEDS must be of type int or list, and is missing"),
        ('"valid/mlm_loss"', '"loss"', "metric 'loss' is none"),
        ('"valid/mlm_loss"', "3", "METRIC must be of type str, not 3"),
        ("def arms", "def legs", "arms() must yield names"),
        ('yield "a", {}', 'yield "a"', "arms() must yield names"),
        ("SEEDS = 3", "SEEDS = 3\nimport nothing_there", "ModuleNotFoundError"),
        (
            "SEEDS = 3",
            'SEEDS = 3\nEXPECT = {"valid/mlm_loss": {"c": "lower"}}',
            "EXPECT names 'c'",
        ),
        (
            "SEEDS = 3",
            'SEEDS = 3\nEXPECT = {"valid/x": {"b": "less"}}',
            "EXPECT of 'b' is lower or higher, not 'less'",
        ),
        (
            "SEEDS = 3",
            'SEEDS = 3\nEXPECT = {"valid/nsp/mlm_loss": {"b": "lower"}}',
            "reported and never judged",
        ),
        (
            "SEEDS = 3",
            'SEEDS = 3\nEXPECT = {"valid/single/mlm_loss": {"b": "lower"}}',
            "EXPECT of 'b' on valid/single/mlm_loss needs the same on valid/pair/mlm_loss",
        ),
        (
            "SEEDS = 3",
            "SEEDS = 3\nEXPECT = {'valid/single/x': {'b': 'lower'}}\n"
            + "EXPECT['valid/pair/x'] = {'b': 'higher'}",
            "a claim on shared rows is judged on both",
        ),
        ("SEEDS = 3", 'SEEDS = 3\nTHEN = {"valid": "x.py"}', "task 'valid' of THEN"),
        ("SEEDS = 3", "SEEDS = 3\nTHEN = {'a': 3}", "THEN holds what is no text"),
        ("SEEDS = 3", "SEEDS = 3\nALSO = [3]", "ALSO holds what is no text"),
        ("SEEDS = 3", "SEEDS = 3\nEXPECT = {'x/y': 3}", "EXPECT holds what is no text"),
        ("SEEDS = 3", "SEEDS = 3\nALSO = ['valid/mlm_loss']", "is there twice"),
        ('"b", {"optim', '3, {"optim', "an arm and its keys are texts, not 3"),
        ('{"optim.learning_rate": 1e-4}', "{3: 1}", "keys are texts, not 'b'"),
    ],
)
def test_a_mistake_is_named(write, old, new, message):
    with pytest.raises(UsageError) as refused:
        experiment.load(write(old, new))
    assert message in str(refused.value)


def test_all_mistakes_are_named_together(write):
    changes = ('BASELINE = "a"', 'BASELINE = "c"', "SEEDS = 3", "SEEDS = []")
    _, problems = experiment.read(write(*changes, '"b"', '"b c"'))
    assert len(problems) == 3


@pytest.mark.parametrize("name", ["nothing.py", "folder", "text.txt"])
def test_what_is_no_python_file_is_no_experiment(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.txt").write_text(GOOD)
    with pytest.raises(UsageError, match="is no experiment file"):
        experiment.load(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["sentence_pair", "mask_rate", "direction", "size", "masking_kind"]
)
def test_shipped_experiments_state_contradictions(name):
    found = experiment.load(ROOT / "experiments" / f"{name}.py")
    assert found.question.endswith("?")
    assert "contradict" in found.claim
    assert found.expect
    assert len(found.seeds) == 6
