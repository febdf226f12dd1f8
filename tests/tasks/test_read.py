"""Labelled data through a config: formats, splits, labels, and faults by their line."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.run.config import UsageError
from bert_jax.tasks import read
from bert_jax.tasks.kinds import kind
from bert_jax.tasks.records import Choice, Question, Sentence, Tagged
from tests.labelling import CONTEXT, QA, answer, config, squad, write

# Formats.

FORMATS = {
    "tsv": ("classify", {}, "text\tlabel\nA b\tx\nC\ty\n", ("A b", "", "x")),
    "tsv without a header": (
        "classify",
        {"format": "tsv", "header": False, "label": "0", "text": "1"},
        "x\tA b\ny\tC\n",
        ("A b", "", "x"),
    ),
    "csv": (
        "classify",
        {"format": "csv", "pair": "other"},
        'text,other,label\n"A, b",c,x\nC,d,y\n',
        ("A, b", "c", "x"),
    ),
    "semicolons": (
        "regress",
        {"format": "csv", "separator": ";"},
        "text;label\nA;1.5\nB;-2\n",
        ("A", "", "1.5"),
    ),
    "jsonl": (
        "classify",
        {"format": "jsonl", "text": "t"},
        '{"t": "A", "label": 1}\n{"t": "B", "label": 0}\n',
        ("A", "", "1"),
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_sentences_are_read_as_the_config_says(name, tmp_path):
    kind, changes, content, expected = FORMATS[name]
    path = write(tmp_path / "train", content)
    found = read.read(config(kind, train=path, valid=path, **changes))
    assert isinstance(found.train[0], Sentence)
    assert found.train[0][1:] == expected
    assert found.train == found.valid
    assert len(found.train) == 2
    assert found.test == []


def test_latin_1_is_read_where_it_is_stated(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_bytes("text\tlabel\ncafé\tx\nC\ty\n".encode("latin-1"))
    one = config("classify", train=str(path), valid=str(path), encoding="latin-1")
    assert read.read(one).train[0].text == "café"


def test_columns_of_words_and_tags_are_read(tmp_path):
    path = write(tmp_path / "t", "# a\nThe DT O\nking NN B-A\n\nIt PR O\n")
    columns = {"format": "conll", "text": "0", "label": "-1", "comment": "# "}
    found = read.read(config("tag", train=path, valid=path, **columns))
    assert [record.words for record in found.train] == [("The", "king"), ("It",)]
    assert isinstance(found.train[0], Tagged)
    assert found.train[0].tags == ("O", "B-A")
    assert found.labels == ("B-A", "O")


def test_questions_are_read(tmp_path):
    path = write(tmp_path / "t", squad(QA))
    found = read.read(config("span", format="squad", train=path, valid=path))
    (record,) = found.train
    assert isinstance(record, Question)
    assert record.answers == ((4, "king"),)
    assert found.labels == ()


def test_choices_are_read_from_a_list_or_from_keys_of_their_own(tmp_path):
    line = {"c": "It", "e": ["a", "b"], "e0": "a", "e1": "b", "label": 1}
    path = write(tmp_path / "t", json.dumps(line))
    for keys in ("e", "e0, e1"):
        changes = {"format": "jsonl", "text": "c", "choices": keys}
        (record,) = read.read(config("choose", train=path, valid=path, **changes)).train
        assert record == Choice(f"{path}, line 1", "It", ("a", "b"), "1")


def test_folders_are_labels(tmp_path):
    for label in "yx":
        (tmp_path / label).mkdir()
        write(tmp_path / label / "1.txt", f"It is {label}.")
    path = str(tmp_path)
    found = read.read(config("classify", format="folders", train=path, valid=path))
    assert [(r.text, r.label) for r in found.train] == [
        ("It is x.", "x"),
        ("It is y.", "y"),
    ]


def test_unlabelled_records_are_read_without_their_labels(tmp_path):
    path = tmp_path / "t.tsv"
    write(path, "text\nA b\nC\n")
    found = read.unlabelled(config("classify", train="gone"), path)
    assert [(record.text, record.label) for record in found] == [("A b", ""), ("C", "")]
    write(path, squad(QA | {"answers": []}))
    (record,) = read.unlabelled(config("span", format="squad"), path)
    assert record.answers == ()


# Splits.


def lines(labels) -> str:
    rows = [f"text {number}\t{label}\n" for number, label in enumerate(labels)]
    return "".join(["text\tlabel\n", *rows])


def texts(records) -> list[str]:
    return [record.text for record in records]


@pytest.fixture(scope="module")
def forty(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("data") / "train.tsv"
    return write(path, lines("abbb" * 10))


def test_a_share_is_held_out_the_same_for_every_seed(forty):
    one, two = config("classify", train=forty), config("classify", train=forty)
    two.seed = 7
    found = read.read(one)
    assert found == read.read(two)
    assert len(found.valid) == 10
    assert not set(texts(found.train)) & set(texts(found.valid))
    numbers = [int(text.split()[1]) for text in texts(found.train)]
    assert numbers == sorted(numbers)
    assert max(numbers) > 20, "the tail of the file would be the held-out part"


@given(st.integers(2, 30), st.floats(0.001, 0.999))
def test_neither_part_is_ever_empty(number, share):
    records = [Sentence("f", str(i), "", "x") for i in range(number)]
    train, valid = read._held_out(kind("classify")((), None), records, share)
    assert len(train) + len(valid) == number
    assert len(valid) == min(max(round(share * number), 1), number - 1)


def test_one_example_cannot_be_divided(tmp_path):
    path = write(tmp_path / "t", lines("a"))
    with pytest.raises(UsageError, match="nothing is left to validate on"):
        read.read(config("classify", train=path))


def test_the_questions_of_a_context_stay_together(tmp_path):
    paragraphs = [
        {"context": f"{n} {CONTEXT}", "qas": [answer(f"{n}.{q}", 6) for q in range(3)]}
        for n in range(8)
    ]
    path = write(tmp_path / "t", {"data": [{"paragraphs": paragraphs}]})
    found = read.read(config("span", format="squad", train=path))
    assert len(found.valid) == 6
    assert not {r.context for r in found.train} & {r.context for r in found.valid}


def test_per_label_draws_as_many_of_each_by_the_seed(forty):
    def drawn(seed, count):
        made = config("classify", train=forty, valid=forty, per_label=count)
        made.seed = seed
        return read.read(made)

    one = drawn(0, 4)
    assert Counter(record.label for record in one.train) == {"a": 4, "b": 4}
    assert len(one.valid) == 40
    assert one.train == drawn(0, 4).train != drawn(1, 4).train
    assert set(texts(drawn(0, 2).train)) <= set(texts(one.train))
    assert Counter(r.label for r in drawn(0, 20).train) == {"a": 10, "b": 20}


def test_every_example_is_drawn_as_often_as_any_other(forty):
    """3 of 30 in 300 draws: 30 each with a standard deviation of 5.2; the largest
    deviation of 30 such counts is beyond 5 of those once in 60,000 times."""
    made = config("classify", train=forty, valid=forty, per_label=3)
    counts = Counter()
    records = read.read(config("classify", train=forty, valid=forty)).train
    for seed in range(300):
        counts.update(
            r.text
            for r in read._few(records, made.task.per_label, seed)
            if r.label == "b"
        )
    assert len(counts) == 30
    assert max(abs(count - 30) for count in counts.values()) < 5 * 5.2


# Labels.


def test_labels_are_sorted_or_in_the_order_stated(tmp_path):
    path = write(tmp_path / "t", lines(["no", "yes", "maybe"]))
    both = {"train": path, "valid": path}
    assert read.read(config("classify", **both)).labels == ("maybe", "no", "yes")
    stated = config("classify", **both, labels="yes, no,maybe")
    assert read.read(stated).labels == ("yes", "no", "maybe")


def test_a_label_of_no_training_example_is_an_error_of_the_later_file(tmp_path):
    train = write(tmp_path / "train", lines("ab"))
    valid = write(tmp_path / "valid", lines("abc"))
    with pytest.raises(UsageError, match=r"valid, line 4: the label 'c' is not among"):
        read.read(config("classify", train=train, valid=valid))
