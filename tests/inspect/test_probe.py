"""Probes of every layer, for texts and for words."""

import argparse

import numpy as np
import pytest

import bert_jax
import launch
from bert_jax.inspect import options
from bert_jax.inspect.probe import main as probe
from bert_jax.inspect.probe import page
from bert_jax.inspect.probe.sets import ProbeSplit, Sets
from bert_jax.run.config import UsageError
from bert_jax.tasks.metrics import majority_share
from tests.inspect.test_vectors import draw, grids
from tests.running import PEOPLE, THINGS

CONLL = "\n\n".join(
    f"{who.split()[0]}\tO\n{who.split()[-1]}\tB-WHO\nsaw\tO\n{what.split()[-1]}\tB-IT"
    for who in PEOPLE
    for what in THINGS.values()
)


@pytest.fixture(scope="module")
def model(straight):
    return bert_jax.load(straight)


@pytest.fixture
def texts(tmp_path) -> list[str]:
    """A task of texts, as options."""
    rows = [
        f"{number % 2}\t{who} took {what} {'.' * i}"
        for who in PEOPLE
        for number, what in enumerate(THINGS.values())
        for i in range(2)
    ]
    return task(tmp_path, "sst2", "\n".join(rows), "\n".join(rows[1:8]))


@pytest.fixture
def words(tmp_path) -> list[str]:
    """A task of tags, as options."""
    valid = CONLL[: CONLL.index("\n\n", 100)] + "\n\n\u200b\tO\nking\tB-WHO\n"
    return task(tmp_path, "wnut17", CONLL, valid)


def task(folder, recipe: str, train: str, valid: str) -> list[str]:
    """The options --config and its overrides for the given files."""
    (folder / "train").write_text(train + "\n")
    (folder / "valid").write_text(valid + "\n")
    files = {"train": folder / "train", "valid": folder / "valid", "test": ""}
    changes = [f"--config.task.{name}={path}" for name, path in files.items()]
    return [
        f"--config=configs/finetune/{recipe}.py",
        "--config.data.length=32",
        *changes,
    ]


def asked(workdir, arguments: list[str], *more: str) -> probe.ProbeRequest:
    parser = argparse.ArgumentParser()
    options.add(parser)
    options_given = [each for each in arguments if not each.startswith("--config.")]
    overrides = dict(
        each.removeprefix("--config.").split("=", 1)
        for each in arguments
        if each.startswith("--config.")
    )
    args = parser.parse_args(["probe", f"--workdir={workdir}", *options_given, *more])
    return probe.request(args, overrides)


def layers(model, text: str) -> np.ndarray:
    """States (L + 1, T, D) of a text; the last are those that heads read."""
    found = model.hidden_states([text])[:, 0]
    found[-1] = model.vectors([text])[0]
    return found


def test_a_text_vector_is_the_mean_of_tokens(model, straight, texts):
    request = asked(straight, texts)
    sets = probe.read(model, request)
    assert sets.labels == ("0", "1") and sets.test is None
    records = request.data.train.records
    for number in (0, 5, len(records) - 1):
        expected = layers(model, records[number].text).mean(1)
        np.testing.assert_allclose(sets.train.vectors[number], expected, atol=1e-5)
        assert sets.labels[sets.train.targets[number]] == records[number].label
    assert len(sets.valid.targets) == 7


def test_a_word_vector_is_its_first_token(model, straight, words):
    request = asked(straight, words)
    sets = probe.read(model, request)
    record, first = request.data.train.records[3], request.data.train.features.places[3]
    at = [i for i, (sentence, _) in enumerate(sets.train.places) if sentence == 3]
    expected = layers(model, " ".join(record.words))[:, first].swapaxes(0, 1)
    np.testing.assert_allclose(sets.train.vectors[at], expected, atol=1e-5)
    assert [sets.train.words[i] for i in at] == list(record.words)
    assert tuple(sets.labels[sets.train.targets[i]] for i in at) == record.tags
    assert sets.valid.words[-1] == "king"  # the word before it has no token


def test_no_more_texts_than_are_asked_for(model, straight, texts):
    all_texts = probe.read(model, asked(straight, texts)).train
    few = probe.read(model, asked(straight, texts, "--max_examples=6")).train
    rows = [
        np.abs(all_texts.vectors - vectors).max((1, 2)).argmin()
        for vectors in few.vectors
    ]
    assert len(few.targets) == 6 and rows == sorted(rows)
    again = probe.read(model, asked(straight, texts, "--max_examples=6")).train
    assert (again.vectors == few.vectors).all()
    other = asked(straight, [*texts, "--config.seed=5"], "--max_examples=6")
    assert (probe.read(model, other).train.vectors != few.vectors).any()


def test_no_more_words_and_of_valid_complete_sentences(model, straight, words):
    sets = probe.read(model, asked(straight, words, "--max_examples=4"))
    assert len(sets.train.words) == 4
    assert [word for _, word in sets.valid.places] in ([0, 1, 2, 3], [1])


def sets_of(vectors: np.ndarray, targets: np.ndarray, words: list[str]) -> Sets:
    places = [(i, 0) for i in range(len(words))]
    tags = [("ab"[t],) for t in targets] if words else []
    half = len(targets) // 2
    train, valid = (
        ProbeSplit(
            name, vectors[rows], targets[rows], words[rows], places[rows], tags[rows]
        )
        for name, rows in (("train", slice(0, half)), ("valid", slice(half, None)))
    )
    places = [(i, 0) for i in range(len(valid.words))]
    return Sets(("a", "b"), train, valid._replace(places=places), None)


def test_only_the_informative_layer_predicts_the_classes():
    draw = np.random.default_rng(0)
    targets = np.arange(80) % 2
    vectors = draw.normal(size=(80, 2, 3))
    vectors[:, 1, 0] += 9 * targets
    sets = sets_of(vectors, targets, [])
    assert (probe.tell(sets, 1, 0).predictions["valid"] == sets.valid.targets).all()
    wrong = probe.tell(sets, 0, 0).predictions["valid"] != sets.valid.targets
    assert 0.2 < wrong.mean() < 0.8


def test_a_control_task_can_only_be_memorised():
    draw = np.random.default_rng(0)
    number = draw.integers(8, size=400)
    words = [f"word {n}" for n in number]
    vectors = np.eye(8)[number][:, None]
    sets = sets_of(vectors, number % 2, words)
    drawn = probe.control(sets, 0)
    for split in (sets.train, sets.valid):
        for word in set(words):
            classes = {
                k
                for k, w in zip(drawn[split.name], split.words, strict=True)
                if w == word
            }
            assert len(classes) <= 1
    assert probe.tell(sets, 0, 0).control["valid"].all()
    assert (probe.control(sets, 1)["train"] != drawn["train"]).any()


def test_the_finding_of_texts(model, straight, texts):
    finding = probe.find(model, asked(straight, texts))
    [table] = grids(finding)
    assert [row[0] for row in table.rows] == [
        "embeddings", "1", "2", page.MAJORITY
    ]  # fmt: skip
    predictions, gold = finding.arrays["valid_said"], finding.arrays["valid_targets"]
    assert finding.scores["accuracy/layer 2"] == (predictions[2] == gold).mean()
    assert set(finding.scores) == {
        f"{score}/{layer}"
        for score in ("accuracy", "macro F1")
        for layer in ("embeddings", "layer 1", "layer 2")
    }
    assert table.rows[3][1] == f"{100 * majority_share(gold):.1f}"
    assert "a linear probe reads most from" in finding.answer
    assert draw(finding) == ["accuracy_valid"]


def test_the_finding_of_tags(model, straight, words):
    without_test = [each for each in words if "task.test" not in each]
    valid = next(each for each in words if "task.valid" in each)
    test = [*without_test, valid.replace("task.valid", "task.test")]
    finding = probe.find(model, asked(straight, test))
    of_valid, of_test = grids(finding)
    assert of_valid.rows == of_test.rows
    assert of_valid.header[4:] == ("entity F1, %",)
    assert finding.scores["entity F1/layer 1"] > 0.5
    assert of_valid.rows[-1][4] == "0.0"
    assert "an entity F1 of " in finding.answer
    assert "the test split, which had no part in choosing it" in finding.answer
    assert len(draw(finding)) == 4


def test_the_finding_of_tags_without_chunks(model, straight, tmp_path):
    plain = CONLL.replace("B-", "").replace("\tO", "\tREST")
    arguments = task(tmp_path, "wnut17", plain, plain)
    request = asked(straight, [*arguments, "--config.task.metric=accuracy"])
    finding = probe.find(model, request)
    [table] = grids(finding)
    assert table.header[4:] == ("control task, %", "selectivity")
    gap = float(table.rows[0][1]) - float(table.rows[0][4])
    assert table.rows[0][5] == f"{gap:+.1f}".replace("-", "−")
    assert table.rows[-1][4:] == ("", "")
    assert "an accuracy of" in finding.answer
    assert draw(finding) == ["accuracy_valid"]


def test_words_not_read_are_outside_of_entities():
    split = ProbeSplit(
        "valid",
        np.zeros((2, 1, 1)),
        np.array([1, 0]),
        ["x", "y"],
        [(0, 0), (1, 1)],
        [("B-A", "I-A"), ("O", "O")],
    )
    sets = Sets(("O", "B-A", "I-A"), split, split, None)
    found = page.score(sets, split, np.array([1, 0]), None)
    assert found.entity_f1 == 0  # B-A O is another entity than B-A I-A
    right = split._replace(tags=[("B-A", "O"), ("O", "O")])
    assert page.score(sets, right, np.array([1, 0]), None).entity_f1 == 1


@pytest.mark.parametrize(
    ("recipe", "more", "line"),
    [
        ("squad", [], "squad.py is of objective.kind=span: a probe reads texts"),
        ("swag", [], "is of objective.kind=choose"),
        (
            "sst2",
            ["--config.init_from=x"],
            "config.init_from: a probe looks at the run",
        ),
        ("sst2", ["--config.tokenizer.path=x"], "config.tokenizer.path: a probe looks"),
        ("sst2", ["--config.model.num_layers=9"], "num_layers is 9 but .* has 2"),
        ("sst2", ["--config.task.train=nothing.tsv"], "nothing.tsv"),
        ("nothing", [], "nothing.py does not exist"),
    ],
)
def test_what_cannot_be_probed(straight, recipe, more, line):
    config = [f"--config=configs/finetune/{recipe}.py", "--config.data.length=32"]
    with pytest.raises(UsageError, match=line):
        asked(straight, [*config, *more])


def test_no_examples_and_no_run(straight, texts, tmp_path):
    with pytest.raises(UsageError, match="--max_examples=0: it must be 1 or more"):
        asked(straight, texts, "--max_examples=0")
    with pytest.raises(UsageError, match="none"):
        asked(tmp_path / "none", texts)


def test_the_verb_hands_overrides_on(straight, texts, tmp_path, capsys):
    arguments = ["inspect", "probe", f"--workdir={straight}", *texts]
    assert launch.main([*arguments, f"--to={tmp_path / 'to'}"]) == 0
    assert "On the validation split\nlayer" in capsys.readouterr().out
    assert (tmp_path / "to" / "accuracy_valid.svg").is_file()
    assert launch.main([*arguments, "--config.seed=x", f"--to={tmp_path / 'no'}"]) == 2
    assert not (tmp_path / "no").exists()
