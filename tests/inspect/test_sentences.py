"""The nearest texts of a file."""

import numpy as np
import pytest

from bert_jax import cli
from bert_jax.inspect import sentences
from bert_jax.inspect.measure import cosines, states
from bert_jax.predict import model as models
from bert_jax.render.drawing import svg
from bert_jax.run.config import UsageError

TEXTS = ["The king saw a red stone.", "A farmer lost the road.", "my aunt took bread"]


@pytest.fixture(scope="module")
def model(straight):
    return models.load(straight)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("\n\n".join(TEXTS) + "\n")
    return path


def requested(file, *given: str) -> sentences.SentenceRequest:
    args, overrides = cli.parse(
        ["inspect", "sentences", *given, f"--file={file}", "--workdir=run"]
    )
    return sentences.request(args, overrides)


@pytest.mark.parametrize("pool", ["mean", "pieces", "first"])
def test_the_nearest_are_those_of_the_sentence_vectors(model, file, pool):
    query = "the king took bread"
    request = requested(file, query, TEXTS[1], f"--pool={pool}", "--layer=1", "--top=2")
    found = sentences.find(model, request)
    vectors = states.of_texts(model, [query, *TEXTS], pool)[:, 1]
    wanted = cosines.table(vectors)[0, 1:]
    order = np.argsort(-wanted)[:2]
    assert found.arrays["nearest"][0].tolist() == [2 * i + 1 for i in order]
    np.testing.assert_allclose(found.arrays["cosines"][0], wanted[order], atol=1e-5)
    assert found.arrays["nearest"][1, 0] == 3
    assert found.scores["cosine/best of text 2"] == pytest.approx(1, abs=1e-5)
    grid = found.parts[0].blocks[0]
    assert grid.rows[grid.plain][2] == "mean over all texts"
    assert len(grid.rows) == 3


def test_the_page_shows_the_map(model, file):
    found = sentences.find(model, requested(file, TEXTS[2], "--layer=last"))
    (picture,) = found.parts[-1].blocks[0].pictures
    assert TEXTS[2] in svg([picture.draw], [picture.height], picture.width)
    assert "line 5" in found.answer and TEXTS[2] in found.question


def test_what_has_no_piece_is_near_to_nothing(model, file):
    file.write_text("☃\nking\n")
    found = sentences.find(model, requested(file, "a king", "--pool=pieces"))
    assert found.arrays["nearest"][0].tolist() == [2, 1]
    assert found.arrays["cosines"][0, 1] == 0
    with pytest.raises(UsageError, match="the run does not know '☃'"):
        sentences.find(model, requested(file, "☃"))


def test_what_cannot_be_asked(model, file, tmp_path):
    with pytest.raises(UsageError, match="--top=0: show one text or more"):
        requested(file, "a", "--top=0")
    with pytest.raises(UsageError, match="a text to look for is empty"):
        requested(file, " ")
    with pytest.raises(UsageError, match="nowhere.txt: No such file"):
        requested(tmp_path / "nowhere.txt", "a")
    with pytest.raises(UsageError, match="--layer=7 is no layer of this run"):
        sentences.find(model, requested(file, "king", "--layer=7"))
    file.write_text("\n \n")
    with pytest.raises(UsageError, match="holds no text"):
        requested(file, "a")
