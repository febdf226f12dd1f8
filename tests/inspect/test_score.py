"""What `inspect score` is asked, what it refuses, and what is on its page."""

import itertools
import json
import shutil

import numpy as np
import pytest

import bert_jax
from bert_jax import cli
from bert_jax.inspect.draw.finding import Pictures
from bert_jax.inspect.score import likelihood, shading
from bert_jax.inspect.score import main as score
from bert_jax.inspect.score.likelihood import Likelihood
from bert_jax.inspect.score.main import ScoredText, ScoreRequest
from bert_jax.render import drawing
from bert_jax.run.config import UsageError
from tests.running import become

TEXTS = [
    ScoredText("TEXT 1", "The king saw a red stone."),
    ScoredText("TEXT 2", "Some bread."),
]


@pytest.fixture(scope="module")
def model(straight):
    return bert_jax.load(straight)


@pytest.fixture
def pairs(tmp_path):
    rows = [
        ("the king lost some bread", "the king lost bread some", "order"),
        ("THE king", "the king", "case"),
    ]
    path = tmp_path / "pairs.jsonl"
    keys = "sentence_good", "sentence_bad", "phenomenon"
    path.write_text("\n".join(json.dumps(dict(zip(keys, row))) for row in rows))
    return path


@pytest.fixture
def ask():
    def asked(*arguments: str) -> ScoreRequest:
        args, _ = cli.parse(["inspect", "score", "--workdir=run", *arguments])
        return score.request(args, {})

    return asked


def test_texts_come_from_arguments_then_the_file(ask, tmp_path, pairs):
    (tmp_path / "lines.txt").write_text("one\r\ntwo\n")
    found = ask("zero", f"--file={tmp_path}/lines.txt", "--pairs", str(pairs))
    assert [text for _, text in found.texts] == ["zero", "one", "two"]
    assert found.texts[2].where.endswith("lines.txt, line 2")
    assert [pair.phenomenon for pair in found.pairs] == ["order", "case"]
    assert found.within == "piece"


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ([], "nothing to score"),
        (["a", " "], "TEXT 2: no text"),
        (["--file={folder}/blank.txt"], "blank.txt, line 2: no text"),
        (["--file={folder}/none.txt"], "none.txt: No such file"),
        (["a", "--by=field"], "--by=field names a key of --pairs"),
        (["a", "--pairs", "{folder}/blank.txt"], "blank.txt, line 1: no JSON"),
    ],
)
def test_what_cannot_be_asked_is_one_line(ask, tmp_path, arguments, reason):
    (tmp_path / "blank.txt").write_text("one\n\nthree\n")
    with pytest.raises(UsageError, match=reason):
        ask(*(each.format(folder=tmp_path) for each in arguments))


@pytest.fixture
def pretended(monkeypatch):
    """Likelihoods without a model: tokens are the words of a text, of which ☃ is
    unknown."""

    def of_texts(model, texts, within):
        return [
            Likelihood(
                text.split(),
                [(0, 1)] * len(text.split()),
                np.array([np.nan if word == "☃" else -1 for word in text.split()]),
                cut=0,
            )
            for text in texts
        ]

    monkeypatch.setattr(likelihood, "of_texts", of_texts)


@pytest.mark.usefixtures("pretended")
def test_a_text_of_no_known_piece_is_named(model):
    texts = [*TEXTS, ScoredText("lines.txt, line 3", "☃")]
    with pytest.raises(UsageError, match="lines.txt, line 3: the run knows no token"):
        score.find(model, ScoreRequest(texts, [], "piece"))


@pytest.mark.usefixtures("pretended")
def test_one_text_is_plotted_and_many_are_counted(model):
    def drawn(count: int) -> list[str]:
        found = score.find(model, ScoreRequest(TEXTS[:1] * count, [], "piece"))
        blocks = [block for part in found.parts for block in part.blocks]
        texts = [block for block in blocks if isinstance(block, str)]
        notes.extend(text for text in texts if text != score.SHADES)
        return [p.name for b in blocks if isinstance(b, Pictures) for p in b.pictures]

    notes: list[str] = []
    assert drawn(1) == ["text_1", "course"]
    assert not notes
    assert len(drawn(score.DRAWN + 1)) == score.DRAWN
    assert notes == ["The first 12 of 13 texts; score.npz has all."]


def test_numbers_agree_with_the_function_and_caveats_appear(model, ask, pairs):
    long, unknown = ScoredText("", "the king " * 100), ScoredText("", "the ☃ king")
    texts = [*TEXTS, long, unknown]
    asked = ScoreRequest(texts, ask("--pairs", str(pairs)).pairs, "word")
    found = score.find(model, asked)
    every = [text for pair in asked.pairs for text in (pair.good, pair.bad)]
    every += [text for _, text in texts]
    single = likelihood.of_texts(model, every, "word")[4:]
    starts, logs = found.arrays["starts"], found.arrays["logs"]
    for number, each in enumerate(single):
        part = slice(starts[number], starts[number + 1])
        np.testing.assert_allclose(logs[part], each.logs, atol=1e-5)
        assert found.arrays["tokens"][part].tolist() == each.pieces
    total = sum(each.total for each in single) / sum(each.count for each in single)
    assert found.scores["log-likelihood per token/mean"] == pytest.approx(total)
    assert found.scores["accuracy/case"] == 0  # of the same tokens, and so a tie
    assert found.arrays["pair_good"][1] == found.arrays["pair_bad"][1]
    assert {"accuracy/order", "accuracy/all"} < found.scores.keys()
    seen, most = model.config.data.length, model.max_length
    for note in (
        "Pairs of equal scores, as of the same tokens, which count as wrong: 1.",
        f"Texts cut to the {most} positions of the run: 1.",
        f"Texts longer than the {seen} tokens that it was trained on: ",
        "Tokens outside the vocabulary, which count for nothing: 1.",
    ):
        assert note in found.answer


def test_the_verb_follows_a_causal_run(straight, tmp_path, capsys):
    run = shutil.copytree(straight, tmp_path / "causal")
    changes = {"model.attention": "causal", "objective.kind": "clm"}
    changes |= {"objective.pair": "none", "data.pairs": "single"}
    become(run, changes)
    out = tmp_path / "out"
    command = ["inspect", "score", f"--workdir={run}", f"--to={out}", "--step=all"]
    code = cli.main([*command, "A dog."])
    printed, error = capsys.readouterr()
    assert code == 0, error
    assert "How likely is this text?\n" in printed and "a perplexity of" in printed
    page = (out / "score.html").read_text()
    assert "reads left to right" in page and "<svg" in page
    assert (out / "text_1.png").is_file()
    with np.load(out / "over_training.npz") as curves:
        assert np.isfinite(curves["log-likelihood per token/mean"]).all()


# Drawings.

LOGS = np.log([0.5, 0.001, 0.2, 1e-9])


def test_pieces_are_laid_out_as_they_are_written():
    text = "Unread books."
    found = Likelihood(
        ["un", "##read", "books", "."], [(0, 2), (2, 6), (7, 12), (12, 13)], LOGS, 0
    )
    cells, height = shading.layout(text, found)
    assert [cell.text for cell in cells] == ["Un", "read", "books", "."]
    gaps = [b.x - a.x - a.width for a, b in itertools.pairwise(cells)]
    np.testing.assert_allclose(gaps, [0.015, 0.085, 0.015], atol=1e-9)
    assert len({cell.y for cell in cells}) == 1 and height < 1


def test_lines_break_before_the_margin():
    text = "word " * 40 + "x" * 200
    offsets = [(5 * i, 5 * i + 4) for i in range(40)] + [
        (200 + 4 * i, 204 + 4 * i) for i in range(50)
    ]
    pieces, logs = ["word"] * 90, np.full(90, -1.0)
    cells, height = shading.layout(text, Likelihood(pieces, offsets, logs, 0))
    assert all(cell.x + cell.width <= shading.WIDTH for cell in cells)
    assert max(cell.y for cell in cells) < height


def test_shades_and_percents():
    assert [shading.level(log) for log in LOGS] == pytest.approx(
        [0.0753, 0.75, 0.1747, 1], abs=1e-4
    )
    assert [shading.percent(log) for log in LOGS] == ["50", "0.10", "20", "0.00"]
    assert shading.percent(np.nan) == "?"
    assert np.isnan(shading.level(np.nan))


def test_drawings_are_deterministic():
    found = Likelihood(["a", "[UNK]"], [(0, 1), (2, 3)], np.array([-1, np.nan]), 0)
    one, other = (
        drawing.svg([shading.shaded_text("x", "a b", found, "").draw], [1], 4.8)
        for _ in range(2)
    )
    assert one == other and ">a<" in one and ">?<" in one
