"""Associations on vectors that are known, and what cannot be asked of them."""

import json

import numpy as np
import pytest

import bert_jax
from bert_jax import cli
from bert_jax.inspect.bias import association, costs, direction, files, measures
from bert_jax.inspect.bias import main as bias
from bert_jax.inspect.measure import space
from bert_jax.inspect.probe.sets import ProbeSplit, Sets
from bert_jax.run.config import UsageError

SETS = {
    "targ1": ["rose", "tulip", "lily", "iris"],
    "targ2": ["wasp", "gnat", "moth", "flea"],
    "attr1": ["joy", "peace", "gift"],
    "attr2": ["filth", "death", "grief"],
}
NAMES = {
    "targ1": "Flowers",
    "targ2": "Insects",
    "attr1": "Pleasant",
    "attr2": "Unpleasant",
}
PAIRS = [("she", "he"), ("woman", "man")]


def vectors() -> dict[str, np.ndarray]:
    """Flowers and what is pleasant lie along one axis, she and woman along another."""
    draw = np.random.default_rng(0)
    words = [word for texts in SETS.values() for word in texts]
    words += [word for pair in PAIRS for word in pair]
    found = {word: 0.4 * draw.normal(size=6) for word in words}
    for key, along in (("targ1", 1), ("attr1", 1), ("targ2", -1), ("attr2", -1)):
        for word in SETS[key]:
            found[word][0] += along
    for first, second in PAIRS:
        found[first][1] += 2
        found[second][1] -= 2
    return found


@pytest.fixture
def glove(tmp_path):
    path = tmp_path / "glove.txt"
    lines = [
        " ".join([word, *map(repr, map(float, v))]) for word, v in vectors().items()
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def flowers(tmp_path):
    return written(tmp_path / "weat1.jsonl", SETS)


def written(path, sets):
    parts = {
        key: {"category": NAMES[key], "examples": texts} for key, texts in sets.items()
    }
    path.write_text(json.dumps(parts, indent=2))
    return path


def asked(*given) -> bias.BiasRequest:
    args, overrides = cli.parse(["inspect", "bias", *map(str, given)])
    return bias.request(args, overrides)


def pairs_file(tmp_path, text="she he\n\nwoman\tman\n"):
    path = tmp_path / "pairs.txt"
    path.write_text(text)
    return path


def test_a_test_is_weat_of_the_words_vectors(glove, flowers):
    finding = bias.find(None, asked(f"--static={glove}", "--tests", flowers))
    sets = [
        np.array([vectors()[word] for word in words], np.float32)[:, None]
        for words in SETS.values()
    ]
    known = association.weat(*sets, samples=1, seed=0)
    assert finding.scores == {"d/weat1": pytest.approx(known.d[0], abs=1e-9)}
    np.testing.assert_allclose(finding.arrays["d"], [known.d], atol=1e-9)
    np.testing.assert_allclose(finding.arrays["p"], [known.chance.p], atol=1e-12)
    assert known.d[0] > 0
    assert (
        "Flowers lean more to Pleasant over Unpleasant than Insects" in finding.answer
    )


def test_unknown_words_are_left_out_and_named(glove, tmp_path):
    more = written(tmp_path / "m.json", {**SETS, "targ1": [*SETS["targ1"], "zinnia"]})
    plain = written(tmp_path / "n.json", SETS)
    finding = bias.find(None, asked(f"--static={glove}", "--tests", more, plain))
    np.testing.assert_array_equal(finding.arrays["d"][0], finding.arrays["d"][1])
    assert any("zinnia" in line for line in notes(finding))


def test_a_word_of_both_target_sets_is_noted(glove, tmp_path):
    both = written(tmp_path / "b.json", {**SETS, "targ2": [*SETS["targ2"], "rose"]})
    finding = bias.find(None, asked(f"--static={glove}", "--tests", both))
    assert any(
        "in both target sets" in line and "rose" in line for line in notes(finding)
    )


def notes(finding):
    blocks = [block for part in finding.parts for block in part.blocks]
    return [line for block in blocks if hasattr(block, "lines") for line in block.lines]


def test_the_direction_is_removed_before_measuring_again(glove, flowers, tmp_path):
    pairs = pairs_file(tmp_path)
    finding = bias.find(
        None, asked(f"--static={glove}", "--tests", flowers, f"--direction={pairs}")
    )
    found = {word: v.astype(np.float32)[None] for word, v in vectors().items()}
    b, share = direction.pair_direction(
        np.array([found["she"], found["woman"]]), np.array([found["he"], found["man"]])
    )
    np.testing.assert_allclose(finding.arrays["direction"], b, atol=1e-9)
    np.testing.assert_allclose(finding.arrays["share"], share)
    assert abs(b[0, 1]) > 0.9
    assert b[0, 1] > 0  # the first words' side
    sets = [
        direction.remove(np.array([found[word] for word in words]), b)
        for words in SETS.values()
    ]
    known = association.weat(*sets, samples=1, seed=0)
    np.testing.assert_allclose(finding.arrays["d_without"], [known.d], atol=1e-9)
    words = finding.arrays["words"].tolist()
    assert words == [word for texts in SETS.values() for word in texts]
    np.testing.assert_allclose(
        finding.arrays["ripa"][:, 0], [found[word][0] @ b[0] for word in words]
    )


def test_ripa_is_of_the_words_that_are_named(glove, tmp_path):
    given = f"--static={glove}", f"--direction={pairs_file(tmp_path)}"
    finding = bias.find(None, asked(*given, "--words", "rose", "joy"))
    assert finding.arrays["words"].tolist() == ["rose", "joy"]
    assert bias.find(None, asked(*given)).arrays["words"].tolist() == [
        "she",
        "he",
        "woman",
        "man",
    ]


def test_clusters_and_probe_measure_what_the_removal_leaves():
    """Words that also differ in another direction remain separable."""
    draw = np.random.default_rng(1)
    side = np.arange(60) % 2 == 0
    found = draw.normal(size=(60, 4))
    found[:, 0] += np.where(side, 6, -6)
    hidden = found.copy()
    hidden[:, 1] += np.where(side, 6, -6)
    gone = measures.remainder(found, np.eye(4)[0], 0)
    kept = measures.remainder(hidden, np.eye(4)[0], 0)
    assert gone and kept
    assert gone.before.all()
    assert gone.after.mean() < 0.75
    assert kept.after.all()
    assert kept.clusters == (1, 1)
    assert measures.remainder(found[:39], np.eye(4)[0], 0) is None


def test_what_a_removal_costs_a_probe():
    draw = np.random.default_rng(2)
    targets = np.arange(80) % 2
    found = draw.normal(size=(80, 1, 3)).astype(np.float32)
    found[:, 0, 0] += 6 * targets

    def split(name, rows):
        return ProbeSplit(name, found[rows], targets[rows], [], [], [])

    sets = Sets(
        ("a", "b"), split("train", slice(40)), split("valid", slice(40, 80)), None
    )
    task = costs.task_costs(sets, 0, np.eye(3)[0])
    assert [one.split for one in task] == ["valid"]
    assert task[0].before.all()
    assert task[0].after.mean() < 0.75
    assert costs.task_costs(sets, 0, np.eye(3)[1])[0].after.all()


def test_the_page_tells_tests_direction_and_cost(glove, tmp_path, capsys):
    folder = tmp_path / "tests"
    folder.mkdir()
    for name in ("weat10", "weat2", "weat1", "weat3"):
        written(folder / f"{name}.jsonl", SETS)
    scored = tmp_path / "alike.txt"
    scored.write_text(
        "rose tulip 9\nwasp gnat 8\nrose filth 1\njoy grief 2\nshe he 5\n"
    )
    given = [f"--static={glove}", "--tests", str(folder), "--similarity", str(scored)]
    given += [f"--direction={pairs_file(tmp_path)}", f"--to={tmp_path / 'out'}"]
    assert cli.main(["inspect", "bias", *given]) == 0
    message = capsys.readouterr().out
    assert "4 of 4" in message or "0 of 4" in message
    page = (tmp_path / "out" / "bias.html").read_text()
    for text in ("weat10", "Flowers / Insects", "alike", "RIPA", "not of a person"):
        assert text in page
    with np.load(tmp_path / "out" / "bias.npz") as arrays:
        assert arrays["tests"].tolist() == ["weat1", "weat2", "weat3", "weat10"]
        assert arrays["d"].shape == arrays["p"].shape == (4, 1)


def test_a_run_has_a_d_in_every_layer(straight, tmp_path):
    story = {
        "targ1": ["stone", "red stone"],
        "targ2": ["bread", "some bread"],
        "attr1": ["king"],
        "attr2": ["dog"],
    }
    path = written(tmp_path / "story.json", story)
    pairs = pairs_file(tmp_path, "aunt king\n")
    given = f"--workdir={straight}", "--tests", path, f"--direction={pairs}"
    model = bert_jax.load(straight)
    finding = bias.find(model, asked(*given, "--layer=1"))
    run_space = space.model_space(model, "mean")
    found = measures.gather(
        run_space, [text for texts in story.values() for text in texts]
    )
    sets = [np.stack([found[text] for text in texts]) for texts in story.values()]
    known = association.weat(*sets, samples=1, seed=0)
    np.testing.assert_allclose(finding.arrays["d"][0], known.d, atol=1e-4)
    assert finding.scores["d/story"] == pytest.approx(known.d[1], abs=1e-4)
    assert len(finding.arrays["layers"]) == len(known.d) > 1
    with pytest.raises(UsageError, match="--layer=9 is no layer of this run"):
        bias.find(model, asked(*given, "--layer=9"))
    first = asked(*given, "--layer=0", "--pool=first")
    with pytest.raises(UsageError, match="no pair differs"):
        bias.find(model, first)  # [CLS] has no neighbours there


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({**SETS, "targ1": []}, "targ1 (Flowers) is empty"),
        ({**SETS, "attr2": ["joy", 3]}, "attr2 has 3, which is no text"),
        ({**SETS, "attr2": [" "]}, "attr2 has ' ', which is no text"),
        ({key: SETS[key] for key in ("targ1", "targ2", "attr1")}, "has no attr2"),
    ],
)
def test_a_set_that_is_none_is_refused(tmp_path, sets, message):
    with pytest.raises(UsageError) as error:
        files.tests([str(written(tmp_path / "t.json", sets))])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no association test"),
        ("[]", "want an object of 4 sets"),
        ('{"targ1": ["rose"]}', "targ1 has no category, a text"),
        ('{"targ1": {"category": "F"}}', "targ1 has no examples, a list"),
        ("", "is empty"),
    ],
)
def test_a_file_that_is_no_test_is_refused(tmp_path, text, message):
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"t\.json") as error:
        files.tests([str(path)])
    assert message in str(error.value)


def test_missing_files_and_duplicate_names_are_refused(tmp_path, flowers):
    for given, message in (
        ([tmp_path / "none.json"], "No such file"),
        ([flowers, flowers], "two tests are named weat1"),
    ):
        with pytest.raises(UsageError, match=message):
            files.tests([str(path) for path in given])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="has no .json or .jsonl file"):
        files.tests([str(tmp_path / "empty")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("she he\nqueen\n", "line 2: want two words, got 1"),
        ("she he it\n", "line 1: want two words, got 3"),
        ("she she\n", "line 1: 'she' is paired with itself"),
        ("\n\n", "has no pair of words"),
    ],
)
def test_a_bad_line_of_pairs_is_named(tmp_path, text, message):
    with pytest.raises(UsageError) as error:
        files.pairs(pairs_file(tmp_path, text))
    assert message in str(error.value)


def test_what_no_vectors_know_is_refused(glove, tmp_path):
    unknown = written(tmp_path / "u.json", {**SETS, "attr1": ["xylem", "phloem"]})
    with pytest.raises(UsageError, match="u: none of the 2 of Pleasant is known"):
        bias.find(None, asked(f"--static={glove}", "--tests", unknown))
    pairs = pairs_file(tmp_path, "she xylem\n")
    with pytest.raises(UsageError, match="of no pair are both words known"):
        bias.find(None, asked(f"--static={glove}", f"--direction={pairs}"))
    given = f"--static={glove}", f"--direction={pairs_file(tmp_path)}"
    with pytest.raises(UsageError, match="--words: 'xylem' is not known"):
        bias.find(None, asked(*given, "--words", "xylem"))
    pairs = pairs_file(tmp_path, "she he\nyin yang\n")
    finding = bias.find(None, asked(given[0], f"--direction={pairs}"))
    assert any("yin, yang" in line for line in notes(finding))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "needs --tests=FILE, --direction=FILE or both"),
        (["--tests", "T", "--words", "rose"], "--words needs --direction"),
        (["--tests", "T", "--similarity", "S"], "--similarity needs --direction"),
        (["--tests", "T", "--config=C"], "--config needs --direction"),
        (["--direction=D", "--config=C", "--static=S"], "not --static"),
        (["--direction=D", "--config.seed=1"], "give --config=FILE too"),
        (["--tests", "T", "--corpus=C"], "--corpus is what"),
        (["--tests", "T", "--samples=0"], "--samples=0"),
        (["--tests", "T", "--seed=-1"], "--seed=-1"),
        (["--tests", "T", "--layer=last_4"], "bias looks at one layer"),
    ],
)
def test_what_does_not_go_together_is_refused(given, message):
    with pytest.raises(UsageError) as error:
        asked(*given)
    assert message in str(error.value)


def test_static_vectors_have_one_layer(glove, flowers):
    with pytest.raises(UsageError, match="static vectors have one layer"):
        bias.find(None, asked(f"--static={glove}", "--tests", flowers, "--layer=3"))
