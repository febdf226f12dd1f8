"""Lines and files that a person gives, and what is wrong with them."""

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from ml_collections import ConfigDict

from bert_jax.predict import inputs
from bert_jax.predict.inputs import Source
from bert_jax.run.config import UsageError
from bert_jax.tasks import kinds
from bert_jax.tasks.records import Choice, Question, Sentence
from bert_jax.tasks.words import Passage
from configs import base


def records(kind: str, source: Source, mode: str = "", **task: Any) -> list[Any]:
    config = base.get_config()
    config.objective.kind = kind
    config.task.update(ConfigDict(task))
    task = kinds.of_config(config, ()) if kind in kinds.KINDS else None
    words = SimpleNamespace(added_spans=lambda text: [])
    reader: Any = SimpleNamespace(kind=kind, config=config, task=task, tokenizer=words)
    return list(inputs.records(reader, mode or kind, source))


def of_lines(kind: str, *lines: str, **task: Any) -> list[Any]:
    return records(kind, Source(list(lines), ""), **task)


def test_a_line_is_what_the_task_reads():
    assert of_lines("classify", "a b") == [Sentence("TEXT 1", "a b", "", "")]
    assert of_lines("regress", "a\tb", pair="b") == [Sentence("TEXT 1", "a", "b", "")]
    assert of_lines("tag", "a (b)") == [
        Passage("a (b)", [(0, 1), (2, 3), (3, 4), (4, 5)])
    ]
    assert of_lines("span", "q\tc") == [Question("TEXT 1", "", "q", "c", ())]
    [choice] = of_lines("choose", "t\ta\tb\tc")
    assert choice == Choice("TEXT 1", "t", ("a", "b", "c"), "")


def test_a_tab_is_a_character_where_nothing_is_parted():
    assert of_lines("classify", "a\tb")[0].text == "a\tb"
    assert of_lines("tag", "a\tb")[0] == Passage("a\tb", [(0, 1), (2, 3)])


@pytest.mark.parametrize(
    ("kind", "line", "said"),
    [
        ("classify", "no tab", r"TEXT 2: tabs: 0, but .* TEXT<TAB>SECOND TEXT, 1 of"),
        ("regress", "a\tb\tc", "TEXT 2: tabs: 2"),
        ("span", "what?", "TEXT 2: tabs: 0, but .* QUESTION<TAB>CONTEXT, 1 of"),
        ("span", "what?\t ", "TEXT 2: nothing on one side of a tab"),
        ("choose", "a\tb", "TEXT 2: tabs: 1, but .* at least 2 of"),
        ("classify", "a\tb\udc80", "TEXT 2: badly encoded"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(kind, line, said):
    with pytest.raises(UsageError, match=said):
        of_lines(kind, "a\tb\tc" if kind == "choose" else "a\tb", line, pair="b")


def test_standard_input_is_lines_and_blank_ones_are_skipped(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("one\r\n\n \ntwo"))
    found = records("classify", Source([], ""))
    assert [(record.where, record.text) for record in found] == [
        ("standard input, line 1", "one"),
        ("standard input, line 4", "two"),
    ]


def test_standard_input_that_is_no_text_is_one_line(monkeypatch):
    bytes_ = io.TextIOWrapper(io.BytesIO(b"one\n\xff\n"), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", bytes_)
    with pytest.raises(UsageError, match="standard input is no utf-8"):
        records("classify", Source([], ""))


def test_a_text_file_is_lines(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("q\tc\n\nwhat\n")
    with pytest.raises(UsageError, match=r"x.txt, line 3: tabs: 0"):
        records("span", Source([], str(path)))
    path.write_text("one\n\ntwo\n")
    found = records("mlm", Source([], str(path)), mode="masks")
    assert [record.text for record in found] == ["one", "two"]


SQUAD = [{"id": "7", "question": "who?", "answers": [], "is_impossible": True}]
FILES = {
    "tsv": ("classify", "label\ttext\nnew\tone\n", {}),
    "csv": ("classify", 'text,label\n"one",3\n', {}),
    "jsonl": ("regress", '{"text": "one", "label": "no number"}\n', {}),
    "conll": ("tag", "one O\n( B-X\n\ntwo O\n", {"text": "0", "label": "1"}),
    "squad": (
        "span",
        json.dumps({"data": [{"paragraphs": [{"context": "one", "qas": SQUAD}]}]}),
        {},
    ),
}


@pytest.mark.parametrize("form", FILES)
def test_a_file_of_the_task_is_read_and_its_labels_are_not_looked_at(form, tmp_path):
    kind, text, task = FILES[form]
    path = tmp_path / "data"
    path.write_text(text)
    first = records(kind, Source([], str(path)), format=form, **task)[0]
    match first:
        case Sentence():
            assert (first.text, first.label) == ("one", "")
        case Passage():
            assert first == Passage("one (", [(0, 3), (4, 5)])
        case _:
            assert (first.id, first.context, first.answers) == ("7", "one", ())


def test_a_file_of_choices_may_lack_the_labels(tmp_path):
    path = tmp_path / "data"
    path.write_text('{"text": "t", "a": "x", "b": "y"}\n')
    source = Source([], str(path))
    [choice] = records("choose", source, format="jsonl", choices="a,b")
    assert (choice.text, choice.choices) == ("t", ("x", "y"))


def test_folders_are_texts_whatever_the_folders_are_called(tmp_path):
    (tmp_path / "unknown").mkdir()
    (tmp_path / "unknown" / "1").write_text("one")
    [found] = records("classify", Source([], str(tmp_path)), format="folders")
    assert (found.text, found.label) == ("one", "")


@pytest.mark.parametrize("form", FILES)
def test_vectors_are_of_the_texts_of_any_file(form, tmp_path):
    kind, text, task = FILES[form]
    path = tmp_path / "data"
    path.write_text(text)
    source = Source([], str(path))
    [first, *_] = records(kind, source, mode="vectors", format=form, **task)
    texts = {"conll": ("one (", ""), "squad": ("who?", "one")}
    assert (first.text, first.pair) == texts.get(form, ("one", ""))


@pytest.mark.parametrize("name", ["nowhere.txt", "nowhere.tsv"])
def test_a_file_that_is_not_there_is_named(name, tmp_path):
    with pytest.raises(UsageError, match=f"{name}: No such file"):
        records("classify", Source([], str(tmp_path / name)))


def test_a_run_without_task_reads_lines_alone():
    with pytest.raises(UsageError, match="x.tsv: this run has no task"):
        records("mlm", Source([], "x.tsv"), mode="vectors")
