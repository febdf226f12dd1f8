"""Faults of labelled data: each is named with its file, here `bad`, and its line."""

import pytest

from bert_jax.run.config import UsageError
from bert_jax.tasks import read
from tests.labelling import QA, answer, config, squad, write

BAD = {
    "missing column": (
        "classify",
        {"pair": "other"},
        "text\tlabel\nA\tx\n",
        "line 1: no column 'other'; it has 'text', 'label'",
    ),
    "missing key": (
        "classify",
        {"format": "jsonl"},
        '{"text": "A", "label": 1}\n{"text": "B"}\n',
        "line 2: no key 'label'; it has 'text'",
    ),
    "missing column of words": (
        "tag",
        {"format": "conll", "text": "0", "label": "3"},
        "The DT O\n",
        "line 1: no tag column 3",
    ),
    "label not in the set": (
        "classify",
        {"labels": "x,y"},
        "text\tlabel\nA\tx\nB\tz\n",
        "line 3: the label 'z' is not among the stated ones: 'x', 'y'",
    ),
    "tag not in the set": (
        "tag",
        {"format": "conll", "text": "0", "label": "1", "labels": "O,B-A"},
        "The O\n\nking B-B\n",
        "line 3, 'king' in this sentence: the label 'B-B' is not among",
    ),
    "no number": (
        "regress",
        {},
        "text\tlabel\nA\t1\nB\tx\n",
        "line 3: the label 'x' is",
    ),
    "stray quote": (
        "classify",
        {"format": "csv"},
        'text,label\n"A" b,x\nC,y\n',
        "line 2: a quote ends the field that opens in line 2",
    ),
    "quote never closed": (
        "classify",
        {"format": "csv"},
        'text,label\nA,x\n"B,y\nC,x\n',
        "line 3: a quote opens here that is never closed",
    ),
    "empty text": (
        "classify",
        {},
        "text\tlabel\nA\tx\n \ty\n",
        "line 3: nothing in the column 'text'",
    ),
    "no label": (
        "classify",
        {},
        "text\tlabel\nA\tx\nB\t\n",
        "line 3: nothing in the column 'label'",
    ),
    "one label": ("classify", {}, "text\tlabel\nA\tx\nB\tx\n", "is labelled 'x'"),
    "ragged row": (
        "classify",
        {},
        "text\tlabel\nA\tx\tz\n",
        "line 2: columns: 3, but 2 in the first row",
    ),
    "ragged columns": (
        "tag",
        {"format": "conll", "text": "0", "label": "1"},
        "The O\nking\n",
        "line 2: columns: 1, but 2 in the first row",
    ),
    "answer not in its context": (
        "span",
        {"format": "squad"},
        squad(QA | {"answers": [{"text": "queen", "answer_start": 4}]}),
        "answers[0]: the answer 'queen' is not at character 4 of its context but nowh",
    ),
    "offset off by one": (
        "span",
        {"format": "squad"},
        squad(answer("1", 5)),
        "the answer 'king' is not at character 5 of its context but at 4",
    ),
    "no answer in SQuAD 1.1": (
        "span",
        {"format": "squad"},
        squad(QA | {"answers": [], "is_impossible": True}),
        "$.data[0].paragraphs[0].qas[0]: no label, but task.train needs them",
    ),
    "choice out of range": (
        "choose",
        {"format": "jsonl", "choices": "e"},
        '{"text": "A", "e": ["a", "b"], "label": 2}\n',
        "line 1: the label '2' is no number from 0 to 1",
    ),
    "an empty file": ("classify", {}, "", "is empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_fault_is_named_with_file_and_line(name, tmp_path):
    kind, changes, content, message = BAD[name]
    path = write(tmp_path / "bad", content)
    with pytest.raises(UsageError) as error:
        read.read(config(kind, train=path, valid=path, **changes))
    assert message in str(error.value)
    assert "bad" in str(error.value) or "task.train" in str(error.value)


def test_impossible_questions_are_read(tmp_path):
    path = write(tmp_path / "t", squad(QA | {"answers": [], "is_impossible": True}))
    changes = {"format": "squad", "train": path, "valid": path, "no_answer": True}
    assert read.read(config("span", **changes)).train[0].answers == ()


def test_a_test_set_without_labels_is_refused(tmp_path):
    test = write(tmp_path / "bad.jsonl", '{"text": "A", "label": null}\n')
    train = write(
        tmp_path / "train.jsonl",
        "".join(f'{{"text": "A", "label": {n % 2}}}\n' for n in range(4)),
    )
    changes = {"format": "jsonl", "train": train, "valid": train, "test": test}
    with pytest.raises(UsageError) as error:
        read.read(config("classify", **changes))
    assert "bad.jsonl, line 1" in str(error.value)


def test_task_without_label_column_is_refused():
    with pytest.raises(UsageError, match="task.label is empty"):
        read.read(config("classify", train="unread", label=""))


def test_a_column_of_conll_is_a_number(tmp_path):
    path = write(tmp_path / "t", "The O\n")
    with pytest.raises(
        UsageError, match="task.text of task.format=conll is the number"
    ):
        read.read(config("tag", format="conll", train=path, label="1"))
