"""Words of a run and of static vectors: results, pages and refused requests."""

import numpy as np
import pytest

from bert_jax import cli
from bert_jax.inspect.measure import cosines, similarity, states
from bert_jax.inspect.measure import space as spaces
from bert_jax.inspect.words import main as words
from bert_jax.inspect.words import page
from bert_jax.predict import model as models
from bert_jax.render.document import Grid
from bert_jax.render.drawing import svg
from bert_jax.run import exits
from bert_jax.run.config import UsageError

VECTORS = (
    "man 1 0 0\nking 1 0 1\nwoman 0 1 0\nqueen 0.1 1 1\nprince 1 0.2 1\nQueen 0 1 1\n"
    "tree -1 -1 0.1\n"
)
ANIMALS = "dog barks\ncat meows\nbird sings\ncow moos\nduck quacks\nlion roars\n"
PAIRS = "king queen 9\nking man 6\nking house 1\ndog bread 0\nking zebra 5\n"


@pytest.fixture(scope="module")
def model(straight):
    return models.load(straight)


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "glove.txt").write_text(VECTORS)
    (folder / "animals.txt").write_text(ANIMALS)
    (folder / "pairs.txt").write_text(PAIRS)
    return folder


def requested(*given: str) -> words.WordRequest:
    args, overrides = cli.parse(["inspect", "words", *given])
    return words.request(args, overrides)


def grids(parts) -> dict[str, list[Grid]]:
    return {
        part.title: [block for block in part.blocks if isinstance(block, Grid)]
        for part in parts
    }


def test_nearest_words_and_analogies_of_static_vectors(files):
    request = requested(
        *("king", "--analogy", "man", "king", "woman", "--top=2"),
        f"--static={files / 'glove.txt'}",
    )
    found = words.find(None, request)
    assert found.arrays["nearest"].tolist() == [["prince", "man"]]
    # `queen` and not `woman`, which is left out; Queen is another entry of the file.
    assert found.arrays["analogies"].tolist() == [["Queen", "queen"]]
    wanted = 2 / np.sqrt(2 * 2.04)
    assert found.arrays["nearest_cosines"][0, 0] == pytest.approx(wanted)
    assert "nearest to king is prince (0.99)" in found.answer
    assert "man is to king as woman to Queen" in found.answer
    assert found.scores["cosine/king man"] == pytest.approx(1 / np.sqrt(2))


def test_no_word_is_a_neighbour_of_itself(files):
    request = requested("QUEEN", f"--static={files / 'glove.txt'}")
    (near,) = words.find(None, request).arrays["nearest"]
    assert not {"queen", "Queen"} & set(near)
    assert near[4:].tolist() == ["tree"] + [""] * 5


def test_words_of_a_run_come_from_its_layers(model, files):
    request = requested(
        *("king", "dog", "--layer=1", "--top=3", "--similarity"),
        *(str(files / "pairs.txt"), "--workdir=run"),
    )
    found = words.find(model, request)
    vocabulary = spaces.model_space(model, "pieces").vocabulary
    layer = states.of_texts(model, vocabulary, "pieces")[:, 1]
    place = vocabulary.index("king")
    order = [i for i in np.argsort(-cosines.table(layer)[place]) if i != place]
    assert found.arrays["nearest"][0].tolist() == [vocabulary[i] for i in order[:3]]
    judged = similarity.read(files / "pairs.txt")
    (agreed,) = similarity.space_agreements(
        [judged], spaces.model_space(model, "pieces")
    )
    np.testing.assert_array_equal(found.arrays["spearman_pairs"][0], agreed.r)
    assert found.scores == {"Spearman/pairs": pytest.approx(agreed.r[1])}
    tables = grids(found.parts)
    by_layer = tables["Human judgement, layer 1 of the run"][1]
    assert by_layer.header[1:] == tuple(states.names(model))
    assert by_layer.rows[by_layer.plain][0].startswith("any two words")
    assert "2 words are split into tokens: `queen`, `man`" in found.facts


def test_all_that_is_drawn_can_be_drawn(model, files):
    request = requested(
        *("king", "--workdir=run", "--similarity", str(files / "pairs.txt")),
        *(
            "--static=cbow",
            f"--corpus={files / 'pairs.txt'}",
        ),
    )
    found = words.find(model, request)
    pictures = [
        picture
        for part in found.parts
        for block in part.blocks
        if not isinstance(block, str | Grid)
        for picture in block.pictures
    ]
    assert {picture.name for picture in pictures} == {
        *("map_run", "map_static", "judgement_run")
    }
    for picture in pictures:
        drawn = svg([picture.draw], [picture.height], picture.width)
        assert ">king<" in drawn or ">pairs<" in drawn
    assert {"vectors", "static_vectors"} <= found.arrays.keys()


def test_ends_of_curves_stand_apart():
    one = similarity.Agreement("", 9, 9, *(np.full(3, 0.5) for _ in range(3)))
    agreements = [one._replace(name=name) for name in ("first", "second")]
    text = svg([page.curves(["embeddings", "1", "2"], agreements)], [3], 4)
    assert "first" in text and "second" in text
    heights = page.apart([0.5, 0.52, 0.5])
    assert min(np.diff(sorted(heights))) > 0.04 and heights[0] == 0.5


def test_the_page_warns_of_a_small_corpus(files, tmp_path, capsys):
    given = ["dog", "cat", "--static=skipgram", f"--corpus={files / 'animals.txt'}"]
    to = tmp_path / "page"
    assert cli.main(["inspect", "words", *given, f"--to={to}"]) == exits.DONE
    assert "12 words in the 6 sentences of animals.txt" in capsys.readouterr().out
    text = (to / "words.html").read_text()
    assert "teach it nothing, and no claim is made" in text
    assert (to / "map_static.svg").is_file()
    first = (to / "words.npz").read_bytes()
    assert cli.main(["inspect", "words", *given, f"--to={to}"]) == exits.DONE
    assert (to / "words.npz").read_bytes() == first


def test_candidates_are_those_of_a_file(files):
    listed = files / "candidates.txt"
    listed.write_text("tree\nqueen\n\nzebra\ntree\n")
    request = requested(
        "king", f"--candidates={listed}", f"--static={files / 'glove.txt'}"
    )
    found = words.find(None, request)
    assert found.arrays["nearest"][0, :3].tolist() == ["queen", "tree", ""]
    assert "2 given candidates, 1 more not known" in found.facts[0]
    listed.write_text("zebra\n")
    with pytest.raises(UsageError, match="knows none of the 1 candidates"):
        words.find(
            None,
            requested(
                "king", f"--candidates={listed}", f"--static={files / 'glove.txt'}"
            ),
        )
    listed.write_text("\n")
    with pytest.raises(UsageError, match="holds no word"):
        requested("king", f"--candidates={listed}", f"--static={files / 'glove.txt'}")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "name a WORD, --analogy A B C or --similarity FILE"),
        (["a", "--top=0"], "--top=0: show one word or more"),
        (["a", "--static=cbow"], "cbow learns from a text: say --corpus"),
        (
            ["a", "--corpus=x.txt"],
            "--corpus is what --static=skipgram, cbow or fasttext learns",
        ),
        (["a", "--static=nowhere.txt"], "nowhere.txt is neither skipgram"),
        (["--similarity", "nowhere.txt"], "nowhere.txt: No such file"),
    ],
)
def test_what_cannot_be_asked(given, says):
    with pytest.raises(UsageError, match=says):
        requested(*given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["kings"], "glove.txt does not know 'kings': is it 'king'"),
        (["--analogy", "man", "king", "x"], "glove.txt does not know 'x'"),
        (["man", "--layer=2"], "--layer=2: glove.txt has one vector a word"),
    ],
)
def test_what_static_vectors_do_not_have(files, given, says):
    request = requested(*given, f"--static={files / 'glove.txt'}")
    with pytest.raises(UsageError, match=says):
        words.find(None, request)


def test_judged_pairs_that_are_all_unknown(files):
    (files / "pairs.txt").write_text("x y 1\nx z 2\n")
    request = requested(
        *("--similarity", str(files / "pairs.txt")), f"--static={files / 'glove.txt'}"
    )
    with pytest.raises(UsageError, match="both words of 0 of the 2 pairs of pairs"):
        words.find(None, request)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["☃"], "the run does not know '☃'"),
        (["king", "--layer=9"], "--layer=9 is no layer of this run"),
    ],
)
def test_what_a_run_does_not_have(model, given, says):
    with pytest.raises(UsageError, match=says):
        words.find(model, requested(*given, "--workdir=run"))
