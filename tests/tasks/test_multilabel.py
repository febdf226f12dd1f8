"""Several labels a text: files, targets, scores by hand, and what is printed."""

import json

import numpy as np
import pytest

from bert_jax.data import tokenizer
from bert_jax.data.vocabulary import SPECIALS
from bert_jax.run.config import UsageError
from bert_jax.tasks import kinds, read
from bert_jax.tasks.multilabel import Given, Labels
from bert_jax.tasks.records import Sentence
from configs import base

NAMES = ("art", "law", "war")
TEXTS = {
    "csv": 'text,label\nthe king,"war, law"\nthe cat,\na stone,art\n',
    "tsv": "text\tlabel\nthe king\twar,law\nthe cat\t\na stone\tart\n",
    "jsonl": '{"text": "the king", "label": ["war", "law"]}\n'
    '{"text": "the cat", "label": []}\n{"text": "a stone", "label": ["art"]}\n',
}


def config(path, form: str, **task):
    made = base.get_config()
    made.objective.kind = "multilabel"
    made.task.update(format=form, train=str(path), valid=str(path), text="text", **task)
    return made


def written(tmp_path, form: str, text: str):
    path = tmp_path / f"data.{form}"
    path.write_text(text)
    return path


@pytest.mark.parametrize("form", TEXTS)
def test_labels_are_lists_or_parted_by_commas(tmp_path, form):
    path = written(tmp_path, form, TEXTS[form])
    splits = read.read(config(path, form))
    assert splits.labels == NAMES
    assert [(r.text, r.labels) for r in splits.train] == [
        ("the king", ("war", "law")),
        ("the cat", ()),
        ("a stone", ("art",)),
    ]


@pytest.mark.parametrize("form", TEXTS)
def test_unlabelled_files_need_no_labels(tmp_path, form):
    path = written(tmp_path, form, TEXTS[form])
    found = list(read.unlabelled(config(path, form), str(path)))
    assert [record.labels for record in found] == [(), (), ()]


@pytest.mark.parametrize(
    ("form", "text", "said"),
    [
        ("jsonl", '{"text": "a", "label": "war"}', "line 1: no list in 'label'"),
        ("jsonl", '{"text": "a", "label": ["war", "war"]}', "'war' stands twice"),
        ("jsonl", '{"text": "a", "label": ["war", ""]}', "an empty label"),
        ("jsonl", '{"text": "a", "label": [["war"]]}', "line 1: no text in '0'"),
        ("jsonl", '{"text": "a", "label": []}', "no record has a label"),
        ("jsonl", '{"text": "a", "label": ["War"]}\n{"text": "b", "label": ["war"]}',
         "differs from"),
        ("csv", 'text,label\na,"war,,law"\n', "line 2: an empty label"),
        ("csv", "text,label\n,war\n", "line 2: nothing in the column 'text'"),
    ],
)  # fmt: skip
def test_labels_that_are_none_are_named(tmp_path, form, text, said):
    path = written(tmp_path, form, text)
    with pytest.raises(UsageError, match=said):
        read.read(config(path, form))


def test_stated_labels_are_kept_in_their_order(tmp_path):
    path = written(tmp_path, "csv", TEXTS["csv"])
    stated = read.read(config(path, "csv", labels="war,law,art,sea"))
    assert stated.labels == ("war", "law", "art", "sea")
    with pytest.raises(UsageError, match="'art' is not among the stated"):
        read.read(config(path, "csv", labels="war,law"))


@pytest.fixture(scope="module")
def task():
    return kinds.kind("multilabel")(NAMES, base.get_config().task)


def labelled(*labels: str) -> Labels:
    return Labels("f, line 1", "the king", "", labels)


def test_targets_are_ones_and_zeros(task, tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIALS, "the", "king"]) + "\n")
    records = [labelled("war", "art"), labelled(), Sentence("", "the king", "", "")]
    made = task.features(records, tokenizer.load(path, True), 8)
    assert made.targets.tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert made.targets.dtype == np.float32
    assert task.label_counts(made.targets).tolist() == [1, 0, 1]


def test_scores_by_hand(task):
    """Two texts, three labels: one of two right ones found, and one false one."""
    gold = [task.gold(labelled("art", "law")), task.gold(labelled())]
    outputs = {0: np.array([2.0, -1.0, -3.0]), 1: np.array([-1.0, -1.0, 0.5])}
    found = task.predictions([None] * 2, None, outputs)
    assert found[0] == pytest.approx(1 / (1 + np.exp([-2.0, 1.0, 3.0])))
    scores = task.score(gold, [task.guess(each) for each in found])
    assert scores == {
        "micro_f1": pytest.approx(2 * 1 / (2 + 2)),
        "macro_f1": pytest.approx((1 + 0 + 0) / 3),
        "subset_accuracy": 0.0,
    }


def test_the_baseline_gives_the_most_frequent_labels(task):
    gold = [task.gold(labelled("law")), task.gold(labelled("law", "war"))]
    guesses = [each[0].tolist() for each in task.constants(gold)]
    assert guesses == [
        [False, False, False],
        [False, True, False],
        [False, True, True],
        [True, True, True],
    ]
    best = max(task.score(gold, each)["micro_f1"] for each in task.constants(gold))
    assert best == pytest.approx(2 * 3 / (3 + 4))  # law and war for both


def test_results_are_what_is_likelier_than_not(task):
    record = Sentence("", "the king", "", "")
    result = task.result(record, [np.array([0.6, 0.2, 0.9])])
    assert result == Given(["war", "art"], {"war": 0.9, "art": 0.6, "law": 0.2})
    assert json.loads(json.dumps(task.as_json(record, result))) == {
        "text": "the king",
        "labels": ["war", "art"],
        "probabilities": {"war": 0.9, "art": 0.6, "law": 0.2},
    }
    assert task.as_text(record, result) == "  war 90.0 %, art 60.0 %  the king"
    nothing = task.result(record, [np.array([0.1, 0.2, 0.3])])
    assert task.as_text(record, nothing) == "  (no label)  the king"
    title, lines = task.conclusion(NAMES, np.array([0.0, 2.0, -2.0]))
    assert title.startswith("Sigmoid")
    assert lines == [
        "art  50.0 %",
        "law  88.1 %",
        "war  11.9 %",
        "those above 50.0 %: law",
    ]
