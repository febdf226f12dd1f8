"""Spaces of vectors: of a run, of files, and those that word2vec learns."""

import gzip

import numpy as np
import pytest

from bert_jax.inspect.measure import space, states
from bert_jax.inspect.measure.word2vec import epochs
from bert_jax.predict import model as models
from bert_jax.run.config import UsageError

GLOVE = "cat 1 0\ndog 0 2\nParis -1 0.5\n"
ANIMALS = ["dog barks", "cat meows", "bird sings", "Cow moos!"]


@pytest.fixture(scope="module")
def model(straight):
    return models.load(straight)


@pytest.fixture(scope="module")
def of_run(model):
    return space.model_space(model, "pieces")


@pytest.fixture
def write(tmp_path):
    def make(text: str, name: str = "glove.txt"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return make


def test_vectors_of_a_run_come_from_its_layers(model, of_run):
    texts = ["king", "the old dog", "road"]
    known, vectors = of_run.look_up(texts)
    assert known.tolist() == [True, True, True]
    assert vectors.shape == (3, len(of_run.layers), model.config.model.model_dim)
    np.testing.assert_array_equal(vectors, states.of_texts(model, texts, "pieces"))


def test_a_run_does_not_know_unknown_characters(of_run):
    known, vectors = of_run.look_up(["☃", "king", "", "☃ king"])
    assert known.tolist() == [False, True, False, True]
    assert not vectors[[0, 2]].any() and vectors[[1, 3]].any()
    known, vectors = of_run.look_up([])
    assert known.shape == (0,) and known.dtype == bool and len(vectors) == 0


def test_unknown_parts_of_known_texts_are_warned_of(of_run, capsys):
    """FAULTS 27"""
    of_run.look_up(["king", "☃"])
    assert not capsys.readouterr().err
    of_run.look_up(["king", "☃ king"])
    assert "[UNK] in a part of 1 texts, such as '☃ king'" in capsys.readouterr().err


def test_the_vocabulary_of_a_run_has_unsplit_words(model, of_run):
    assert "king" in of_run.vocabulary
    for word in of_run.vocabulary:
        assert word.isalpha() and len(word) > 1
        assert len(model.tokenizer.ids([word])[0]) == 1


@pytest.mark.parametrize("head", ["", "3 2\n", "\ufeff"])
@pytest.mark.parametrize("tail", ["", "\r\n"])
def test_a_file_may_have_a_header(write, head, tail):
    text = head + (GLOVE.replace("\n", " \r\n") if tail else GLOVE)
    found = space.read(write(text))
    assert found.name == "glove.txt" and found.layers == ["static"]
    assert found.vocabulary == ["cat", "dog", "Paris"]
    known, vectors = found.look_up(["dog", "cow"])
    assert known.tolist() == [True, False]
    np.testing.assert_array_equal(vectors, [[[0, 2]], [[0, 0]]])


def test_a_packed_file_is_read(tmp_path):
    path = tmp_path / "glove.txt.gz"
    path.write_bytes(gzip.compress(GLOVE.encode()))
    assert space.read(path).vocabulary == ["cat", "dog", "Paris"]
    path.write_bytes(gzip.compress(GLOVE.encode())[:-12])
    with pytest.raises(UsageError, match="glove.txt.gz cannot be read"):
        space.read(path)


def test_the_first_of_duplicate_words_counts(write):
    found = space.read(write("a 1 1\nb 2 2\na 3 3\n"))
    assert found.vocabulary == ["a", "b"]
    np.testing.assert_array_equal(found.look_up(["a"])[1], [[[1, 1]]])


def test_a_word_may_hold_spaces(write):
    found = space.read(write("cat 1 0\n. . . 2 3\n"))
    np.testing.assert_array_equal(found.look_up([". . ."])[1], [[[2, 3]]])


def test_a_static_text_vector_is_a_mean(write):
    found = space.read(write(GLOVE))
    known, vectors = found.look_up(["The cat, the DOG!", "paris", "Paris", "?"])
    assert known.tolist() == [True, False, True, False]
    np.testing.assert_array_equal(vectors[:, 0], [[0.5, 1], [0, 0], [-1, 0.5], [0, 0]])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cat 1 0\ndog 1\n", "line 2: wanted a word and 2 numbers"),
        ("cat 1 0\ndog 1 2 3\n", "line 2: wanted a word and 2 numbers"),
        ("cat 1 0\n\n", "line 2: wanted a word and 2 numbers"),
        ("cat\n", "line 1: wanted a word and numbers"),
        ("cat 1 0\ndog x 0\n", "line 2: could not convert"),
        ("cat 1 nan\n", "line 1: a number is not finite"),
        ("cat 1 1e39\n", "line 1: a number is not finite, too large"),
        ("cat 1 1_0\n", "line 1: a number is not finite, too large or no number"),
        ("3 2\ncat 1 0\n", "says that it has 3 words, but has 1"),
        ("0 2\n", "holds no word"),
        ("", "is empty"),
    ],
)
def test_a_bad_file_is_refused_by_line(write, text, says):
    with pytest.raises(UsageError, match=says) as error:
        space.read(write(text))
    assert "glove.txt" in str(error.value)


def test_words_are_in_lower_case_and_without_punctuation():
    assert space.tokens("The U.N.'s dog - it's 2 BIG!") == [
        *("the", "u.n.'s", "dog", "it's", "2", "big")
    ]
    assert space.tokens("... !") == []


@pytest.mark.parametrize("kind", space.KINDS)
def test_learned_vectors_are_deterministic(kind):
    first, second = (space.trained_space(ANIMALS, kind, 3) for _ in range(2))
    other = space.trained_space(ANIMALS, kind, 4)
    assert set(first.vocabulary) == {*space.tokens(" ".join(ANIMALS))}
    assert first.vocabulary == second.vocabulary and first.name == kind
    vectors = [one.look_up(first.vocabulary)[1] for one in (first, second, other)]
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert (vectors[0] != vectors[2]).any()


@pytest.mark.parametrize("kind", ["skipgram", "fasttext"])
def test_vectors_learn_what_stands_together(kind):
    """Words of two worlds that never meet."""
    draw = np.random.default_rng(0)
    worlds = [[f"{name}{i}" for i in range(6)] for name in "ab"]
    texts = [" ".join(draw.choice(worlds[i % 2], 8)) for i in range(600)]
    found = space.trained_space(texts, kind, 0)
    _, vectors = found.look_up([*worlds[0], *worlds[1]])
    rows = vectors[:, 0] / np.linalg.norm(vectors[:, 0], axis=1, keepdims=True)
    cosines = rows @ rows.T
    assert cosines[:6, :6].min() > cosines[:6, 6:].max()


def test_fasttext_composes_words_from_their_characters():
    texts = ["kingdom kings king", "queendom queens queen", "walking walked walks"] * 20
    found = space.trained_space(texts, "fasttext", 0)
    known, vectors = found.look_up(["walker", "WALKER", "the walker!", "zzyzx", "?"])
    assert known.tolist() == [True, True, True, False, False]
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert "walker" not in found.vocabulary and not vectors[3:].any()
    _, [walker, walked, queen] = found.look_up(["walker", "walked", "queen"])
    near, far = ((walker @ other.T).item() for other in (walked, queen))
    near, far = (near / np.linalg.norm(walked), far / np.linalg.norm(queen))
    assert near > far
    skipgram = space.trained_space(texts, "skipgram", 0)
    assert skipgram.look_up(["walker"])[0].tolist() == [False]


def test_small_corpora_are_read_often():
    assert (epochs(14), epochs(100_000), epochs(10**9)) == (200, 50, 5)


def test_what_static_vectors_cannot_be_made_of(tmp_path):
    with pytest.raises(UsageError, match="skipgram learns from a text: say --corpus"):
        space.static_space("skipgram", [], 0)
    with pytest.raises(
        UsageError, match="cbow learns from words, and the text has none"
    ):
        space.static_space("cbow", ["...", ""], 0)
    with pytest.raises(
        UsageError,
        match="--static=word2vek is neither skipgram, cbow, fasttext nor a file",
    ):
        space.static_space("word2vek", ANIMALS, 0)


def test_an_unknown_word_is_named_with_similar_ones(write):
    found = space.read(write(GLOVE))
    with pytest.raises(UsageError, match="glove.txt does not know 'dogs': is it 'dog'"):
        space.vectors(found, ["cat", "dogs"])
    with pytest.raises(UsageError, match="does not know 'xyzzy'$"):
        space.vectors(found, ["xyzzy"])
    assert space.vectors(found, ["cat", "DOG"]).shape == (2, 1, 2)
