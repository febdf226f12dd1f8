import json
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from bert_jax.run.config import UsageError
from bert_jax.tasks.formats import tfds as tfds_labelled
from bert_jax.tasks.formats.tables import Columns
from bert_jax.tasks.records import Question, Sentence, Tagged

Features = tfds.features
SENTENCE = Columns("sentence", "", "label")
ANSWERS = Features.Sequence({"text": Features.Text(), "answer_start": np.int32})
SQUAD = {
    "id": np.str_,
    "context": Features.Text(),
    "question": Features.Text(),
    "answers": ANSWERS,
}
CONTEXT = "😀 Ann saw a cat. The cat ran."
ASKED = {
    "id": "q1",
    "question": "What did Ann see?",
    "answers": [
        {"text": "a cat", "answer_start": 10},
        {"text": "cat", "answer_start": 12},
    ],
}
IMPOSSIBLE = {"id": "q2", "question": "Who sat?", "answers": [], "is_impossible": True}


def build(folder, name, features, **splits):
    """A dataset of TFDS's form, in the order of its examples."""

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        __module__ = "bert_jax_tiny"  # TFDS looks for files beside deeper modules
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=Features.FeaturesDict(features),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {split: enumerate(examples) for split, examples in splits.items()}

        def _generate_examples(self):
            raise NotImplementedError

    Tiny.name = name
    Tiny(data_dir=folder, file_format="array_record").download_and_prepare()
    return str(folder)


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """Makes files; `found` says which of them TFDS takes for what it has downloaded."""
    manager = tfds.download.DownloadManager
    root = tmp_path / "downloads"

    def files(contents, found):
        for name, content in contents.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        monkeypatch.setattr(
            manager, "download_and_extract", lambda self, urls: found(root)
        )
        return str(tmp_path / "tfds")

    return files


def fields(records):
    return [record[1:] for record in records]


def refused(read, message):
    with pytest.raises(UsageError, match=message) as caught:
        list(read)
    assert "\n" not in str(caught.value)


# TFDS's own datasets.


def test_glue_is_read_with_the_names_of_its_classes(downloads):
    tables = {
        "SST-2/train.tsv": "sentence\tlabel\nCafé\t1\nbad\t0\n",
        "SST-2/dev.tsv": "sentence\tlabel\nfine\t1\n",
        "SST-2/test.tsv": "index\tsentence\n0\twhat\n",
    }
    folder = downloads(tables, lambda root: root)
    read = tfds_labelled.sentences
    found = list(read("glue/sst2", "train", folder, SENTENCE))
    assert sorted(fields(found)) == [("Café", "", "positive"), ("bad", "", "negative")]
    assert [record.where for record in found] == [
        "glue/sst2 train[0]",
        "glue/sst2 train[1]",
    ]
    assert fields(read("glue/sst2", "test", folder, SENTENCE)) == [("what", "", "")]
    unlabelled = read("glue/sst2", "validation", folder, Columns("sentence", "", ""))
    assert fields(unlabelled) == [("fine", "", "")]
    assert "tensorflow" not in sys.modules


def test_glue_has_pairs_and_numbers(downloads):
    columns = Columns("sentence1", "sentence2", "label")
    row = "index\tsentence1\tsentence2\tscore\n0\tOne.\tTwo.\t3.800\n"
    tables = {f"STS-B/{split}.tsv": row for split in ("train", "dev")}
    tables["STS-B/test.tsv"] = "index\tsentence1\tsentence2\n0\tOne.\tTwo.\n"
    folder = downloads(tables, lambda root: root)
    read = tfds_labelled.sentences
    (record,) = read("glue/stsb", "train", folder, columns)
    assert record == Sentence("glue/stsb train[0]", "One.", "Two.", "3.8")
    assert fields(read("glue/stsb", "test", folder, columns)) == [("One.", "Two.", "")]


def test_conll2003_is_read_with_its_tags(downloads):
    text = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\n"
    names = [f"{name}.txt" for name in ("train", "valid", "test")]
    folder = downloads(dict.fromkeys(names, text), lambda root: root)
    read = tfds_labelled.tagged
    (record,) = read("conll2003", "train", folder, "tokens", "ner")
    assert record[1:] == (("EU", "rejects"), ("B-ORG", "O"))
    (record,) = read("conll2003", "dev", folder, "tokens", "pos")
    assert record.tags == ("NNP", "VBZ")
    (record,) = read("conll2003", "test", folder, "tokens", "")
    assert record.tags == ()


@pytest.mark.parametrize(
    ("version", "qas"), [("v1.1", [ASKED]), ("v2.0", [ASKED, IMPOSSIBLE])]
)
def test_squad_is_read_with_its_answers(downloads, version, qas):
    qas = [{"is_impossible": False} | qa for qa in qas]
    tree = {"data": [{"paragraphs": [{"context": CONTEXT, "qas": qas}]}]}
    folder = downloads(
        {"squad.json": json.dumps(tree)},
        lambda root: dict.fromkeys(("train", "dev"), root / "squad.json"),
    )
    name = f"squad/{version}"
    found = list(tfds_labelled.questions(name, "validation", folder, True))
    expected = [
        ("q1", ASKED["question"], CONTEXT, ((10, "a cat"), (12, "cat"))),
        ("q2", IMPOSSIBLE["question"], CONTEXT, ()),
    ][: len(qas)]
    assert sorted(fields(found)) == expected
    assert [q.where for q in found] == [
        f"{name} validation[{number}]" for number in range(len(qas))
    ]
    unlabelled = tfds_labelled.questions(name, "train", folder, False)
    assert {question.answers for question in unlabelled} == {()}


# Others.


def test_a_label_may_be_a_text_a_number_or_a_truth_value(tmp_path):
    features = {
        "text": Features.Text(),
        "word": Features.Text(),
        "number": np.int64,
        "precise": np.float64,
        "truth": np.bool_,
        "class": Features.ClassLabel(num_classes=3),
    }
    rows = [
        {"word": "pos", "number": -1, "precise": 0.1, "truth": True, "class": 2},
        {"word": " neg ", "number": 1, "precise": -1.0, "truth": False, "class": -1},
    ]
    rows = [row | {"text": "Good."} for row in rows]
    folder = build(tmp_path, "tiny_labels", features, train=rows)
    expected = {
        "word": ["pos", "neg"],
        "number": ["-1", "1"],
        "precise": ["0.1", "-1.0"],
        "truth": ["true", "false"],
        "class": ["2", ""],
    }
    for field, labels in expected.items():
        columns = Columns("text", "", field)
        found = tfds_labelled.sentences("tiny_labels", "train", folder, columns)
        assert [record.label for record in found] == labels


def test_a_part_of_a_split_is_a_split(tmp_path):
    rows = [{"text": text} for text in "abcd"]
    folder = build(tmp_path, "tiny_parts", {"text": Features.Text()}, train=rows)
    columns = Columns("text", "", "")
    found = list(tfds_labelled.sentences("tiny_parts", "train[2:]", folder, columns))
    assert found[1] == Sentence("tiny_parts train[2:][1]", "d", "", "")
    both = tfds_labelled.sentences("tiny_parts", "train+train[:1]", folder, columns)
    assert "".join(record.text for record in both) == "abcda"


def test_sentences_without_words_are_skipped_and_those_without_tags_are_unlabelled(
    tmp_path,
):
    features = {
        "words": Features.Sequence(Features.Text()),
        "classes": Features.Sequence(Features.ClassLabel(names=["O", "B-X"])),
        "texts": Features.Sequence(Features.Text()),
    }
    rows = [
        {"words": [], "classes": [], "texts": []},
        {"words": ["a", "b"], "classes": ["O", "B-X"], "texts": ["D", "N"]},
        {"words": ["c"], "classes": [-1], "texts": ["N"]},
    ]
    folder = build(tmp_path, "tiny_tags", features, train=rows)
    assert list(
        tfds_labelled.tagged("tiny_tags", "train", folder, "words", "classes")
    ) == [
        Tagged("tiny_tags train[1]", ("a", "b"), ("O", "B-X")),
        Tagged("tiny_tags train[2]", ("c",), ()),
    ]
    found = tfds_labelled.tagged("tiny_tags", "train", folder, "words", "texts")
    assert [record.tags for record in found] == [("D", "N"), ("N",)]


# What is wrong.


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faulty")
    features = {
        "text": Features.Text(),
        "label": Features.ClassLabel(names=["no", "yes"]),
        "idx": np.int32,
        "words": Features.Sequence(Features.Text()),
        "tags": Features.Sequence(Features.Text()),
    }
    rows = [
        {"text": "a", "label": 1, "idx": 0, "words": ["a"], "tags": ["N"]},
        {"text": " ", "label": 0, "idx": 1, "words": ["a", "b"], "tags": ["N"]},
    ]
    blank = [rows[0] | {"words": ["a", " "]}]
    bad = [rows[0] | {"text": b"\xe9"}]
    return build(folder, "tiny_faults", features, train=rows, blank=blank, bad=bad)


@pytest.mark.parametrize(
    ("name", "split", "columns", "message"),
    [
        ("no_such", "train", ("text", "", ""), "no TFDS dataset 'no_such': "),
        ("glue/no_such", "train", ("text", "", ""), "no TFDS dataset 'glue/no_such': "),
        (
            "super_glue/boolq",
            "train",
            ("text", "", ""),
            "No module named 'tensorflow'$",
        ),
        (
            "tiny_faults",
            "test",
            ("text", "", ""),
            r"split 'test', but train, blank, bad: name one .*.test \(Unknown split 'te",
        ),
        (
            "tiny_faults",
            "train[5:]",
            ("text", "", ""),
            r"'train\[5:\]'.*Requested slice",
        ),
        ("tiny_faults", "train[x]", ("text", "", ""), r"'train\[x\]', .*Error parsing"),
        (
            "tiny_faults",
            "train",
            ("body", "", "label"),
            "no field 'body', but .*text.*: say --config.task.text=NAME$",
        ),
        (
            "tiny_faults",
            "train",
            ("", "", ""),
            "no field ''.*say --config.task.text=NAME",
        ),
        (
            "tiny_faults",
            "train",
            ("text", "b", ""),
            "no field 'b'.*--config.task.pair=NA",
        ),
        (
            "tiny_faults",
            "train",
            ("text", "", "y"),
            "no field 'y'.*--config.task.label=N",
        ),
        (
            "tiny_faults",
            "train",
            ("words", "", ""),
            "field 'words' holds no single value$",
        ),
        ("tiny_faults", "train", ("text", "", "tags"), "'tags' holds no single value$"),
        ("tiny_faults", "train", ("idx", "", ""), r"train\[0\].idx: no UTF-8 text"),
        (
            "tiny_faults",
            "bad",
            ("text", "", ""),
            r"bad\[0\].text: no UTF-8 text .*0xe9",
        ),
        (
            "tiny_faults",
            "train",
            ("text", "", "label"),
            r"tiny_faults train\[1\]: nothing in the column 'text'$",
        ),
    ],
)
def test_what_a_dataset_lacks_is_named(faulty, name, split, columns, message):
    read = tfds_labelled.sentences(name, split, faulty, Columns(*columns))
    refused(read, message)


@pytest.mark.parametrize(
    ("split", "word", "tag", "message"),
    [
        ("train", "tokens", "tags", "no field 'tokens'.*say --config.task.text=NAME$"),
        ("train", "words", "ner", "no field 'ner'.*say --config.task.label=NAME$"),
        ("train", "text", "tags", "'text' holds no list.*say --config.task.text=NAME$"),
        ("train", "words", "idx", "'idx' holds no list.*say --config.task.label=NAME$"),
        ("train", "words", "tags", r"train\[1\]: words: 2, but tags: 1$"),
        ("blank", "words", "tags", r"blank\[0\]: an empty word$"),
    ],
)
def test_what_is_wrong_with_tags_is_named(faulty, split, word, tag, message):
    refused(tfds_labelled.tagged("tiny_faults", split, faulty, word, tag), message)


def test_questions_need_the_fields_of_squad(faulty, tmp_path):
    read = tfds_labelled.questions
    message = "tiny_faults has no field 'id', but .*: say --config.task.tfds_name=NAME$"
    refused(read("tiny_faults", "train", faulty, True), message)
    qa = {"id": "1", "context": "a", "question": "b?", "answers": ["a"]}
    features = SQUAD | {"answers": Features.Sequence(Features.Text())}
    folder = build(tmp_path, "tiny_texts", features, train=[qa])
    refused(
        read("tiny_texts", "train", folder, True), "'answers' holds no list of text"
    )
    assert list(read("tiny_texts", "train", folder, False)) == [
        Question("tiny_texts train[0]", "1", "b?", "a", ())
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"answers": [{"text": "a cat", "answer_start": 9}]},
            r"tiny_squad train\[1\].answers\[0\]: .*'a cat' is not at .* but at 10$",
        ),
        ({"answers": []}, r"train\[1\]: no answers, but is_impossible is not true$"),
        ({"id": "q0"}, r"train\[1\]: its id 'q0' is that of tiny_squad train\[0\]$"),
        ({"question": " "}, r"train\[1\].question: empty text$"),
        ({"context": ""}, r"train\[1\].context: empty text$"),
        ({"question": b"\xe9"}, r"train\[1\].question: no UTF-8 text .*0xe9"),
    ],
)
def test_a_bad_question_is_named(tmp_path, change, message):
    good = ASKED | {"context": CONTEXT}
    rows = [good | {"id": "q0"}, good | change]
    folder = build(tmp_path, "tiny_squad", SQUAD, train=rows)
    refused(tfds_labelled.questions("tiny_squad", "train", folder, True), message)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionError("no name\nmany lines"), "no name"),
        (
            ModuleNotFoundError("No module named 'apache_beam'"),
            "No module named 'apache",
        ),
        (AssertionError(), "AssertionError"),
    ],
)
def test_without_a_network_the_mend_is_said(tmp_path, monkeypatch, error, reason):
    def fail(self, urls):
        raise error

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", fail)
    read = tfds_labelled.sentences("glue/sst2", "train", str(tmp_path), SENTENCE)
    refused(
        read, f"cannot prepare glue/sst2 in .*sst2/2.0.0: {reason}.*: copy this fold"
    )
