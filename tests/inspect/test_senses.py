"""Folders of senses, nearest neighbours, static vectors, intervals of differences."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bert_jax
from bert_jax.inspect.measure import space
from bert_jax.inspect.vectors import senses
from bert_jax.run.config import UsageError
from tests.inspect import sensing


@pytest.fixture
def word(tmp_path) -> senses.Word:
    return senses.read(sensing.write(tmp_path))


def test_a_folder_is_read(word):
    assert word.name == "stone"
    assert word.senses == ["stone (rock)", "food"]
    assert word.train.senses.tolist() == [0, 0, 1, 0]
    assert word.test.texts[0] == "my aunt took stone"
    assert word.train.words == ["stone"] * 4
    assert word.train.spans[3] == (8, 13)
    assert senses.repeated(word) == 1


def test_words_are_counted_between_any_spaces(tmp_path):
    rows = [("2\t a \u00a0 b  stone ", "0"), ("0\tstone", "1")]
    found = senses.read(sensing.write(tmp_path, rows)).train
    assert found.words == ["stone", "stone"]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("classes_map.txt", "[1]", "wanted JSON of senses by number"),
        ("classes_map.txt", '{"0": 3}', "wanted JSON of senses by number"),
        ("classes_map.txt", '{"1": "a"}', "are not 0, 1, 2"),
        ("train.data.txt", "0\tstone\n", "has 1 lines, but .* 4: a sense for each"),
        ("test.data.txt", "0 stone\n0\tstone\n", "data.txt, line 1: wanted the number"),
        ("test.data.txt", "0\tstone\n-1\tstone\n", "line 2: wanted the number"),
        (
            "test.data.txt",
            "0\tstone\n2\ta stone\n",
            "line 2: there is no word 2, .* 0 to 1",
        ),
        (
            "test.gold.txt",
            "0\n2\n",
            "gold.txt, line 2: the sense '2' is not in .* 0, 1",
        ),
        ("test.gold.txt", "", "is empty"),
    ],
)
def test_what_a_folder_may_lack(tmp_path, name, text, line):
    folder = sensing.write(tmp_path)
    (folder / name).write_text(text)
    with pytest.raises(UsageError, match=line):
        senses.read(folder)


def test_a_missing_file_and_a_missing_folder(tmp_path):
    folder = sensing.write(tmp_path)
    (folder / "test.gold.txt").unlink()
    with pytest.raises(UsageError, match=r"test\.gold\.txt: No such file"):
        senses.read(folder)
    with pytest.raises(UsageError, match="nothing is no folder of a word"):
        senses.read(tmp_path / "nothing")


def test_nearest_by_angle_and_not_by_distance():
    train = np.array([[1.0, 0], [0, 1], [5, 5.1]])
    test = np.array([[100.0, 1], [0.1, 3], [0.1, 0.1]])
    found = senses.nearest(train, np.array([2, 0, 1]), test, 3)
    assert found.tolist() == [2, 0, 1]


def test_ties_go_to_frequent_senses_then_low_numbers():
    vectors = np.ones((5, 3), np.float32)
    assert senses.nearest(
        vectors, np.array([0, 2, 2, 1, 0]), vectors[:1], 3
    ).tolist() == [0]
    assert senses.nearest(
        vectors, np.array([0, 2, 2, 1, 2]), vectors[:1], 3
    ).tolist() == [2]
    zeros = np.zeros((1, 3))  # of a sentence without a known word
    assert senses.nearest(vectors, np.array([1, 2, 2, 1, 1]), zeros, 3).tolist() == [1]


def test_more_vectors_than_a_block():
    draw = np.random.default_rng(0)
    train, test = draw.normal(size=(30, 4)), draw.normal(size=(2 * senses.BLOCK + 3, 4))
    numbers = draw.integers(4, size=30)
    units = [each / np.linalg.norm(each, axis=1)[:, None] for each in (test, train)]
    expected = numbers[(units[0] @ units[1].T).argmax(1)]
    assert (senses.nearest(train, numbers, test, 4) == expected).all()


def test_the_static_vector_predicts_the_majority(word, tmp_path):
    path = sensing.glove(tmp_path, "stone aunt king farmer old")
    found = senses.static_predictions(space.read(path), word)
    assert found.name == "glove.txt"
    for predictions in (found.word.nearest, found.word.probe):
        assert predictions.tolist() == [0, 0]
    assert found.context.nearest.tolist() == [1, 0]  # aunt and stone; king and stone


def test_static_vectors_must_know_the_word(word, tmp_path):
    known = space.read(sensing.glove(tmp_path, "aunt king"))
    with pytest.raises(UsageError, match=r"glove\.txt does not know 'stone'"):
        senses.static_predictions(known, word)


def test_every_layer_and_the_last_four_tell(word):
    model: Any = SimpleNamespace(
        config=SimpleNamespace(model=SimpleNamespace(num_layers=3, model_dim=2))
    )
    train, test = np.ones((4, 4, 2)), np.ones((2, 4, 2))
    train[:, 2, 0] = [1, 2, -9, 1]  # only block 2 knows the senses
    test[:, 2, 0] = [-9, 1]
    predictions = senses.layer_predictions(model, word, train, test)
    assert [each.name for each in predictions] == [
        "embeddings",
        "1",
        "2",
        "3",
        "last_4",
    ]
    assert [each.nearest.tolist() for each in predictions] == [
        [0, 0], [0, 0], [1, 0], [0, 0], [1, 0]
    ]  # fmt: skip
    assert predictions[2].probe.tolist() == predictions[4].probe.tolist() == [1, 0]
    model.config.model.num_layers = 2
    assert len(senses.layer_predictions(model, word, train[:, :3], test[:, :3])) == 3


def test_a_difference_by_hand():
    """The first alone is right in 4 of 10 pairs, the second in 1: with half a pair
    added to each cell, 3 / 12 and sqrt(6 - 9 / 12) / 12, by the program of Agresti."""
    first = np.array([1] * 4 + [0] + [1] * 3 + [0] * 2, bool)
    second = np.array([0] * 4 + [1] + [1] * 3 + [0] * 2, bool)
    found = senses.difference(first, second)
    half = 1.959964 * 2.291288 / 12
    assert found.value == pytest.approx(0.3)
    assert [found.low, found.high] == pytest.approx([0.25 - half, 0.25 + half])


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_a_difference_turns_round_and_stays_in_bounds(pairs):
    first, second = np.array(pairs).T
    found, back = senses.difference(first, second), senses.difference(second, first)
    assert found.value == pytest.approx(first.mean() - second.mean())
    assert [found.low, found.high] == pytest.approx([-back.high, -back.low])
    assert -1 <= found.low <= found.high <= 1


def test_a_long_sentence_is_read_around_its_word(straight):
    model = bert_jax.load(straight)
    room = model.max_length - 2
    for before, after in ((200, 0), (0, 200), (100, 100), (3, 2)):
        text = "the " * before + "king" + " the" * after
        at = text.index("king")
        stretch, (start, end) = senses.stretch(model, text, (at, at + 4))
        assert stretch[start:end] == "king"
        assert len(model.tokenizer.encode(stretch).ids) <= room
        if before + after < room // 2:
            assert stretch == text
    found = senses.vectors(
        model, [text, "the " * 200 + "king"], [(at, at + 4), (800, 804)]
    )
    assert found.shape == (2, 3, model.config.model.model_dim)
