"""The vectors of a word in its texts, and the page of its senses."""

import argparse

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

import bert_jax
import launch
from bert_jax.inspect import options
from bert_jax.inspect.draw.finding import Finding, Pictures
from bert_jax.inspect.measure import space, states
from bert_jax.inspect.vectors import main as vectors
from bert_jax.inspect.vectors import page, senses
from bert_jax.render.document import Grid
from bert_jax.run.config import UsageError
from tests.inspect import sensing

LINES = """\
the king saw a red stone

My Aunt took some bread, Stone and a stone.
her brother lost the stone
"""


@pytest.fixture(scope="module")
def model(straight):
    return bert_jax.load(straight)


def asked(*words: str) -> vectors.VectorRequest:
    parser = argparse.ArgumentParser()
    options.add(parser)
    return vectors.request(parser.parse_args(["vectors", *words]), {})


@pytest.fixture
def file(tmp_path) -> str:
    (tmp_path / "lines.txt").write_text(LINES)
    return f"--file={tmp_path / 'lines.txt'}"


def grids(finding: Finding) -> list[Grid]:
    return [
        block
        for part in finding.parts
        for block in part.blocks
        if isinstance(block, Grid)
    ]


def draw(finding: Finding) -> list[str]:
    """Draw all figures, and return their names."""
    pictures = [
        picture
        for part in finding.parts
        for block in part.blocks
        if isinstance(block, Pictures)
        for picture in block.pictures
    ]
    for picture in pictures:
        picture.draw(Figure(layout="constrained"))
    return [picture.name for picture in pictures]


def test_the_first_match_in_each_line(file):
    request = asked("--word=stone", file)
    found = [t[a:b] for t, (a, b) in zip(request.texts, request.spans, strict=True)]
    assert found == ["stone", "Stone", "stone"]
    assert vectors.locate("a keystone, C++ (stone)", "stone", "") == (17, 22)
    assert vectors.locate("a keystone, C++ (stone)", "c++", "") == (12, 15)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--word=bread", "FILE"],
            "lines.txt, line 1: there is no word 'bread' in 'the",
        ),
        (["--word=ston", "FILE"], "there is no word 'ston'"),
        (["--word=stone"], "--word and --file go together"),
        (["FILE"], "--word and --file go together"),
        ([], "needs --word=WORD and --file=FILE, or else --senses"),
        (["--word=a", "FILE", "--senses", "x"], "or else --senses"),
        (
            ["--word=stone", "FILE", "--layer=first"],
            "--layer=first is neither a number",
        ),
        (["--word=stone", "--file=nothing.txt"], "nothing.txt: No such file"),
        (["--senses", "nothing"], "nothing is no folder of a word"),
    ],
)
def test_what_cannot_be_asked(file, words, line):
    with pytest.raises(UsageError, match=line):
        asked(*(file if word == "FILE" else word for word in words))


def test_one_text_has_nothing_to_be_compared_with(tmp_path):
    (tmp_path / "one").write_text("a stone\n\n")
    with pytest.raises(UsageError, match="one has 1 texts: two or more"):
        asked("--word=stone", f"--file={tmp_path / 'one'}")


@pytest.mark.parametrize("layer", ["3", "last_4"])
def test_a_layer_out_of_range(model, file, layer):
    request = asked("--word=stone", file, f"--layer={layer}")
    with pytest.raises(UsageError, match=f"--layer={layer}"):
        vectors.find(model, request)


@settings(max_examples=10)
@given(st.integers(0, 99), st.integers(2, 6))
def test_self_similarity_is_the_mean_over_pairs(seed, count):
    found = np.random.default_rng(seed).normal(size=(count, 2, 3))
    units = found / np.linalg.norm(found, axis=2, keepdims=True)
    pairs = [
        (units[i] * units[j]).sum(1)
        for i in range(count)
        for j in range(count)
        if i != j
    ]
    np.testing.assert_allclose(vectors.self_similarity(found), np.mean(pairs, axis=0))
    assert vectors.self_similarity(found[:1].repeat(3, 0)) == pytest.approx([1, 1])


def test_other_words_are_words_and_not_the_word():
    texts, spans = ["a stone , b", "stone !"], [(2, 7), (0, 5)]
    for seed in range(5):
        [[(start, end)], none] = vectors.others(texts, spans, seed)
        assert texts[0][start:end] in ("a", "b")
        assert none == []
    assert vectors.others(texts, spans, 3) == vectors.others(texts, spans, 3)


def test_neighbours_are_others():
    found = vectors.neighbours(np.array([[1.0, 0], [2, 0.1], [0, 1]]))
    assert found[0].tolist() == [1, 0, 1]
    assert found[1][2] == pytest.approx(0.1 / np.hypot(2, 0.1))


def test_what_is_near_a_span_is_shown():
    text = f"{'x' * 50} stone {'y' * 50}"
    shown = vectors.around(text, (51, 56))
    assert shown.startswith("…x") and shown.endswith("y…") and " stone " in shown
    assert vectors.around("a stone", (2, 7)) == "a stone"


def test_the_finding_of_a_word(model, file):
    finding = vectors.find(model, asked("--word=stone", file, "--layer=1"))
    assert finding.arrays["vectors"].shape == (3, 3, model.config.model.model_dim)
    expected = states.of_spans(model, ["her brother lost the stone"], [(21, 26)])
    np.testing.assert_allclose(finding.arrays["vectors"][2], expected[0], atol=1e-5)
    assert list(finding.scores) == [
        f"self-similarity/{name}" for name in ("embeddings", "layer 1", "layer 2")
    ]
    table, by_layer = grids(finding)
    nearest, _ = vectors.neighbours(finding.arrays["vectors"][:, 1])
    assert [row[2] for row in table.rows] == [str(other + 1) for other in nearest]
    assert [row[0] for row in by_layer.rows] == ["embeddings", "1", "2"]
    assert draw(finding) == ["plane", "self_similarity"]


@pytest.fixture(scope="module")
def senses_finding(model, tmp_path_factory) -> Finding:
    """The finding for two folders and two kinds of static vectors."""
    folder = tmp_path_factory.mktemp("senses")
    one, two = sensing.write(folder), sensing.write(folder / "more")
    other = two.rename(two.with_name("rock"))
    static = [
        str(sensing.glove(folder, words, name))
        for name, words in {"a.txt": "stone aunt king old", "b.txt": "stone"}.items()
    ]
    request = asked("--senses", str(one), str(other), "--static", *static)
    return vectors.find(model, request)


def test_the_finding_of_senses(senses_finding):
    nearest, probe = grids(senses_finding)[:2]
    assert nearest.header == (
        "nearest neighbour", "test sentences", "last layer, %", "one vector, %",
        "− one vector", "− a.txt, sentence mean", "− b.txt, sentence mean",
    )  # fmt: skip
    assert [row[0] for row in nearest.rows] == ["stone", "rock"]
    assert nearest.rows[0][1:4:2] == ("2", "50.0")
    assert [row[0] for row in grids(senses_finding)[2].rows] == [
        "embeddings", "1", "2", "one vector",
        "a.txt, sentence mean", "b.txt, sentence mean",
    ]  # fmt: skip
    assert "one static vector: 50.0 %" in senses_finding.answer
    assert "above 0 for 0 of 2 words against one vector; above" in senses_finding.answer
    assert len(probe.rows) == 2


def test_scores_and_arrays_of_senses_agree(senses_finding):
    arrays = senses_finding.arrays
    right = arrays["stone_nearest"] == arrays["stone_test_senses"]
    assert arrays["stone_vectors"].tolist()[:4] == [
        "embeddings",
        "1",
        "2",
        "one vector",
    ]
    assert senses_finding.scores["stone nearest neighbour/layer 2"] == right[2].mean()
    assert senses_finding.scores.keys() == {
        f"{word} {method}/{layer}"
        for word in ("stone", "rock")
        for method in ("nearest neighbour", "linear probe")
        for layer in ("embeddings", "layer 1", "layer 2")
    }


def test_answers_say_how_many_words_differ():
    word = senses.Word("x", ["a", "b"], *[senses.Occurrences([], [], np.zeros(60))] * 2)
    right, wrong = (
        senses.SensePredictions("", classes, classes)
        for classes in (np.zeros(60), np.ones(60))
    )
    for words, last, line in [
        (1, [right], "is above 0 against"),
        (1, [wrong], "is about 0 against"),
        (3, [right, wrong, right], "is above 0 for 2 of 3 words against"),
    ]:
        rivals = [[wrong._replace(name="one vector")]] * words
        assert line in page.answer([word] * words, last, rivals)
    rivals = [[right._replace(name="one")], [wrong._replace(name="one")]]
    answer = page.answer([word] * 2, [wrong, right], rivals)
    assert "is above 0 for 1 of 2 words and below for 1 against one." in answer


def test_the_figures_of_senses(senses_finding):
    assert draw(senses_finding) == [
        "plane_stone",
        "accuracy_stone",
        "plane_rock",
        "accuracy_rock",
    ]


def test_word2vec_learns_from_all_sentences(tmp_path, monkeypatch):
    """The test sentences too, as it sees no senses; once for all words and steps."""
    known, asked_for = space.read(sensing.glove(tmp_path, "stone")), []

    def static(kind, sentences, seed):
        asked_for.append((kind, list(sentences), seed))
        return known

    monkeypatch.setattr(vectors.space, "static_space", static)
    folder = sensing.write(tmp_path)
    request = asked("--senses", str(folder), "--seed=3")
    [word] = request.words
    both = [*word.train.texts, *word.test.texts]
    assert asked_for == [("skipgram", both, 3), ("cbow", both, 3)]
    assert len(request.statics[0]) == 2


def test_two_folders_of_one_word(tmp_path):
    one, two = sensing.write(tmp_path), sensing.write(tmp_path / "more")
    with pytest.raises(UsageError, match="two folders are of one word: stone, stone"):
        asked("--senses", str(one), str(two))


def test_files_are_written_by_the_verb(straight, file, tmp_path, capsys):
    arguments = ["inspect", "vectors", f"--workdir={straight}", "--word=stone", file]
    assert launch.main([*arguments, f"--to={tmp_path / 'to'}"]) == 0
    names = {path.name for path in (tmp_path / "to").iterdir()}
    assert {"vectors.html", "vectors.npz", "plane.svg", "self_similarity.png"} <= names
    assert "How do the vectors of stone differ" in capsys.readouterr().out
    arguments[3] = "--word=stones"
    assert launch.main([*arguments, f"--to={tmp_path / 'none'}"]) == 2
    assert not (tmp_path / "none").exists()
