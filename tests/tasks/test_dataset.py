"""A task's data as a whole: weights of classes, and the mark of their content."""

import shutil

import numpy as np
import pytest

from bert_jax import prepare
from bert_jax.data.vocabulary import SPECIALS
from bert_jax.run.config import UsageError
from bert_jax.tasks import dataset
from configs import base

PIECES = ["the", "cat", "##s", "what", ".", "king"]


@pytest.fixture
def config(tmp_path):
    """Five examples to train on and three to test, with a small vocabulary."""
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIALS, *PIECES]))
    rows = ["the cats\tx", "what king\ty", "the king .\tx", "cat\tx", "king\ty"]
    header = "text\tlabel\n"
    (tmp_path / "train").write_text(header + "\n".join(rows))
    (tmp_path / "test").write_text(header + "\n".join(rows[:3]))
    made = base.get_config()
    made.objective.kind = "classify"
    made.data.update(valid_share=0.2, length=16)
    made.tokenizer.path = str(tmp_path / "vocab.txt")
    made.task.update(train=str(tmp_path / "train"), test=str(tmp_path / "test"))
    return made


def test_the_splits_are_examples_of_their_own_records(config):
    data = dataset.prepare(config)
    assert data.labels == ("x", "y")
    assert data.test is not None
    splits = data.train, data.valid, data.test
    assert [split.num_examples for split in splits] == [4, 1, 3]
    for split in splits:
        assert len(split.records) == split.num_examples
        labels = [data.labels[target] for target in split.features.targets]
        assert labels == [record.label for record in split.records]
    config.task.test = ""
    assert dataset.prepare(config).test is None


def test_the_mark_is_of_the_content_and_not_of_the_paths(config, tmp_path):
    before = dataset.prepare(config).fingerprint
    shutil.copy(config.task.train, tmp_path / "copy")
    config.task.train = str(tmp_path / "copy")
    config.seed = 9
    assert dataset.prepare(config).fingerprint == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("the cats", "the cat"),
        ("\tx\nwhat", "\ty\nwhat"),
        ("cat\tx\nking\ty", "king\ty\ncat\tx"),
        ("\tx", "\tz"),
    ],
)
def test_another_text_label_or_order_is_another_mark(config, tmp_path, old, new):
    before = dataset.prepare(config).fingerprint
    text = (tmp_path / "train").read_text()
    assert old in text
    (tmp_path / "train").write_text(text.replace(old, new))
    config.task.test = config.task.train
    with_test = dataset.prepare(config).fingerprint
    config.task.test = ""
    assert len({before, with_test, dataset.prepare(config).fingerprint}) == 3


def test_a_task_has_no_vocabulary_of_its_own(config):
    config.tokenizer.path = ""
    with pytest.raises(UsageError, match="a task needs a vocabulary: set init_from"):
        dataset.prepare(config)


def test_class_weights_are_ones_as_stated_or_balanced():
    labels, targets = ("x", "y", "z"), np.array([0, 0, 0, 1])
    assert dataset.class_weights("", labels, targets).tolist() == [1, 1, 1]
    assert dataset.class_weights("1, 2.5,4", labels, targets).tolist() == [1, 2.5, 4]
    balanced = dataset.class_weights("balanced", labels, targets)
    np.testing.assert_allclose(balanced, [4 / 9, 4 / 3, 4 / 3], rtol=1e-6)
    assert balanced.dtype == np.float32


@pytest.mark.parametrize("text", ["1,2", "1,2,x", "1,0,1", "1,2,-1", "1,inf,1", "even"])
def test_other_class_weights_are_refused(text):
    with pytest.raises(
        UsageError, match="balanced or 3 positive numbers, one for each"
    ):
        dataset.class_weights(text, ("x", "y", "z"), np.array([0]))


def test_prepare_says_what_the_splits_and_labels_are(config, capsys):
    prepare.main(config)
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == [
        "train",
        "valid",
        "test",
        "2 labels",
    ]
    assert said[0].startswith("train: 4 records, 4 examples of ")
    assert said[-1] == "2 labels: x, y"
