"""Predictions from the shell: what is printed, for people and for programs."""

import json
from pathlib import Path

import numpy as np
import pytest

import bert_jax
import launch
from bert_jax.predict import batches
from bert_jax.predict import main as predict
from tests.running import PEOPLE, THINGS, squad

ROOT = Path(__file__).parents[2]
MASKED = ["The king saw [MASK] bread.", "[MASK] took the long [MASK]."]
TEXTS = [f"{who} took {what} ." for who in PEOPLE for what in THINGS.values()]


@pytest.fixture
def shell(capsys):
    """Runs `predict` on a run; the exit code, what was printed and what was said."""

    def run(workdir: Path, *arguments: str) -> tuple[int, str, str]:
        code = launch.main(["predict", f"--workdir={workdir}", *arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def objects(shell):
    """The JSON that `predict` prints."""

    def run(workdir: Path, *arguments: str) -> list[dict]:
        code, out, _ = shell(workdir, "--json", *arguments)
        assert code == 0
        return [json.loads(line) for line in out.splitlines()]

    return run


# Masks.


def test_masks_are_a_table_or_json(straight, shell, objects):
    code, table, _ = shell(straight, *MASKED)
    assert code == 0
    assert table.count("%") == 15
    assert MASKED[0] in table
    lines = objects(straight, *MASKED)
    assert [line["text"] for line in lines] == MASKED
    assert [len(line["masks"]) for line in lines] == [1, 2]
    assert lines[0]["masks"][0][0].keys() == {"token", "probability"}
    [[first], _] = bert_jax.load(straight).fill_masks(MASKED)
    found = [(each["token"], each["probability"]) for each in lines[0]["masks"][0]]
    assert found == first.candidates


def test_standard_input_is_predicted_in_its_order(straight, objects, monkeypatch):
    short, long = MASKED[0], f"{MASKED[1]} The old dog took the long road."
    lines = [f"{text}\n" for text in [long, short, ""]] * 30
    monkeypatch.setattr("sys.stdin", iter(lines))
    assert [line["text"] for line in objects(straight)] == [long, short] * 30


def test_a_text_without_mask_is_one_line(straight, shell):
    code, _, error = shell(straight, "No gap here.")
    assert code == 2
    assert error == "launch.py predict: there is no [MASK] in 'No gap here.'\n"


# Tasks.


def test_labels_are_what_python_gives(classifier, objects):
    model = bert_jax.load(classifier)
    for line, one in zip(objects(classifier, *TEXTS), model.classify(TEXTS)):
        assert {**one._asdict(), "text": line["text"]} == line


def test_labels_for_people_are_a_line_a_text(classifier, shell):
    [one] = bert_jax.load(classifier).classify(TEXTS[:1])
    long = "the old dog " * 20
    code, out, error = shell(classifier, TEXTS[0], long)
    first, second = out.splitlines()
    assert code == 0
    assert first.startswith(
        f"  {one.label}   {100 * one.probability:.1f} %  {TEXTS[0]}"
    )
    assert all(label in first for label in THINGS)
    assert f"{long[:57]}..." in second
    assert "texts cut to the 32 tokens of training: 1" in error


def test_entities_are_indented_below_their_text(tagger, shell, objects):
    [found] = bert_jax.load(tagger).entities(TEXTS[:1])
    code, out, _ = shell(tagger, TEXTS[0])
    text, *lines = out.splitlines()
    assert (code, text, len(lines)) == (0, TEXTS[0], len(found))
    for line, each in zip(lines, found, strict=True):
        assert line.startswith(f"  {each.type}")
        assert f"{each.text}  [{each.start}:{each.end}]" in line
        assert f"{100 * each.probability:.1f} %" in line
    [whole] = objects(tagger, TEXTS[0])
    assert whole == {"text": TEXTS[0], "entities": [each._asdict() for each in found]}


def test_answers_of_a_file_keep_their_ids(answerer, shell, objects, tmp_path):
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(squad()))
    lines = objects(answerer, f"--file={path}")
    paragraphs = squad()["data"][0]["paragraphs"]
    asked = [(p["context"], qa) for p in paragraphs for qa in p["qas"]]
    model = bert_jax.load(answerer)
    found = model.answer([qa["question"] for _, qa in asked], [c for c, _ in asked])
    for line, (context, qa), one in zip(lines, asked, found, strict=True):
        assert (line["id"], line["context"]) == (qa["id"], context)
        assert (line["answer"], line["start"], line["end"]) == one[:3]
        assert line["probability"] == pytest.approx(one.probability, abs=1e-5)
    code, out, _ = shell(answerer, f"--file={path}")
    assert code == 0
    for one in found:
        assert one.start < 0 or f"**{one.text}**" in out
    assert out.count("what was taken ?\n") == 5


def test_a_file_of_the_task_needs_no_labels(tagger, objects, tmp_path):
    path = tmp_path / "test.conll"
    path.write_text("my\taunt\ntook\tX\n\n(\tit\n")
    lines = objects(tagger, f"--file={path}")
    assert [line["text"] for line in lines] == ["my took", "("]


def test_a_tab_that_lacks_is_named_with_its_line(answerer, shell, tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("what ?\ta dog .\nwhat\n")
    code, out, error = shell(answerer, f"--file={path}")
    assert (code, out) == (2, "")
    assert error.startswith(f"launch.py predict: {path}, line 2: tabs: 0")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--file=nowhere.txt"], "nowhere.txt: No such file or directory"),
        (["--file=nowhere.tsv"], "nowhere.tsv: No such file or directory"),
        (["--file=x.txt", "text"], "give TEXT or --file, not both"),
        (["--explain", "--json", "text"], "leave out --json"),
        (["--explain", "one", "two"], "--explain takes one text, not more"),
        (["--explain", " "], "--explain takes one text, not none"),
    ],
)
def test_a_mistake_is_one_line(classifier, shell, arguments, said):
    code, out, error = shell(classifier, *arguments)
    assert (code, out) == (2, "")
    assert error.startswith("launch.py predict: ")
    assert said in error
    assert error.count("\n") == 1


# Vectors.


def test_any_run_gives_vectors(straight, answerer, objects, shell):
    for workdir in (straight, answerer):
        lines = objects(workdir, "--vectors", *TEXTS)
        vectors = bert_jax.load(workdir).sentence_vectors(TEXTS)
        assert [line["text"] for line in lines] == TEXTS
        found = np.array([line["vector"] for line in lines], np.float32)
        np.testing.assert_array_equal(found, vectors)
    code, out, _ = shell(answerer, "--vectors", TEXTS[0])
    first = " ".join(f"{number:.4f}" for number in vectors[0, :4])
    assert code == 0
    assert " ".join(out.split()).startswith(f"{first} ... norm ")


# Many lines.


def test_blocks_are_printed_in_order_and_compiled_once(
    classifier, monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(predict, "BLOCK", 40)
    lines = [" ".join(["the old dog ."] * (1 + 7 * i % 5)) + f" {i}" for i in range(91)]
    path = tmp_path / "many.txt"
    path.write_text("\n".join(lines))
    model = bert_jax.load(classifier)
    sizes = []

    def load(workdir, step):
        read = model.reader.read

        def counted(records, least):
            result = read(records, least)
            sizes.append(batches.read._cache_size())
            return result

        monkeypatch.setattr(model.reader, "read", counted)
        return model

    monkeypatch.setattr(predict, "load", load)
    command = ["predict", f"--workdir={classifier}", f"--file={path}", "--json"]
    assert launch.main(command) == 0
    out, error = capsys.readouterr()
    found = [json.loads(line) for line in out.splitlines()]
    assert [line["text"] for line in found] == lines
    assert len(sizes) == 3
    assert len(set(sizes)) == 1
    wanted = [one.probability for one in model.classify(lines)]
    chances = [line["probability"] for line in found]
    np.testing.assert_allclose(chances, wanted, atol=1e-5)
    first, second, last = error.splitlines()
    assert first.startswith("40 lines, ")
    assert second.startswith("80 lines, ")
    assert last.startswith("91 lines in ")
    assert last.endswith(" lines/s")
