import gzip
import json
import shutil
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from bert_jax.data import corpus, files, news, textfiles
from bert_jax.data.paragraphs import clean, unwrap, wrap_width
from bert_jax.run.config import UsageError
from configs import base

STORY = "The old man sat by the sea. He had no boat. His dog slept in the sun all day."


def data_config(**keys):
    data = base.get_config().data
    data.update(corpus="files", **keys)
    return data


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def texts(spec, **keys):
    return [d.text for d in corpus.documents(data_config(files=str(spec), **keys))]


# Finding files.


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "b.txt", "Two.")
    write(tmp_path / "a.txt", "One.")
    write(tmp_path / "deep" / "c.txt.gz", "Three.")
    write(tmp_path / "d.jsonl", '{"text": "Four."}\n\n{"text": "Five."}\n')
    write(tmp_path / "notes.md", "No corpus.")
    return tmp_path


def test_folder_is_read_recursively_in_order(folder):
    assert texts(folder) == ["One.", "Two.", "Four.", "Five.", "Three."]


def test_paths_folders_and_globs_are_read_once(folder):
    spec = f"{folder}/b.txt, {folder}/*.txt,{folder}/deep"
    assert texts(spec) == ["Two.", "One.", "Three."]
    assert texts(f"{folder}/**/*.gz") == ["Three."]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "no files: say --config.data.files=PATH"),
        ("{}/a.txt,{}/none.txt", "there is no file or folder .*none.txt"),
        ("{}/*.text", r"\*.text matches no .txt, .txt.gz, .jsonl file"),
        ("{}/notes.md", "notes.md: only .txt, .txt.gz, .jsonl files are read"),
        ("{}/empty", "empty matches no .txt, .txt.gz, .jsonl file"),
        ("{}/n*", "n.* matches no .txt, .txt.gz, .jsonl file: 1 .md left out"),
        (",", "no files: say --config.data.files=PATH"),
        (5000 * "a", "there is no file or folder aaa"),
    ],
)
def test_what_is_not_there_is_named(folder, spec, message):
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match=message):
        texts(spec.replace("{}", str(folder)))


def test_any_case_of_a_suffix_is_read(tmp_path):
    """FAULTS 7: of a.TXT nothing was read or said."""
    write(tmp_path / "A.TXT", "One.")
    write(tmp_path / "B.Txt.GZ", gzip.compress(b"Two."))
    write(tmp_path / "C.JSONL", '{"text": "Three."}')
    assert texts(tmp_path) == ["One.", "Two.", "Three."]


def test_what_is_not_read_is_counted_by_kind(folder):
    """FAULTS 7: folders of other files than text were read in part, silently."""
    for name in ("README.MD", ".cache/x.bin", "LICENSE", "deep/t.csv", "e.json.gz"):
        write(folder / name, "No corpus.")
    (folder / "loop").symlink_to(folder / "deep")
    (folder / "gone.txt").symlink_to(folder / "nowhere.txt")
    description = corpus.describe(data_config(files=f"{folder}"))
    assert description == (
        "4 files, a file a document; 2 .md left out, 1 .csv left out, "
        "1 .json.gz left out, 1 broken link left out, 1 hidden left out, "
        "1 linked folder left out, 1 without a suffix left out"
    )
    description = corpus.describe(data_config(files=f"{folder}/*"))
    assert "2 .md left out" in description and "1 folder left out" in description


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("Smith, J.txt", "{}/Smith, J.txt"),
        ("Smith, J.txt", "{}/b.txt, {}/Smith, J.txt,{}/a.txt"),
        ("Smith, J/x.txt", "{}/Smith, J"),
        ("Smith, J/x.txt", "{}/Smith, J/*.txt"),
        ("[2024] mail/x.txt", "{}/[2024] mail/*.txt"),
        ("[2024] mail/x.txt", "{}/*/../[2024] mail/x*"),
        ("[2024] mail/x.txt", "{}/[2024] mail"),
        ("what?.txt", "{}/what?.txt"),
        ("a*, b?.txt", "{}/a*, b?.txt"),
        ("x1.txt", "{}/x[1,2].txt"),
        ("[x]/[y]/deep/z.txt", "{}/[x]/**/*.txt"),
    ],
)
def test_a_path_that_exists_as_written_wins(folder, name, spec):
    """FAULTS 8: commas and brackets of real names were read as syntax."""
    written = write(folder / name, "Mine.")
    found = textfiles.find(spec.replace("{}", str(folder))).paths
    assert written.resolve() in [path.resolve() for path in found]
    assert len(found) == 1 + 2 * spec.count(",{}")


# What a document is.


def test_a_file_is_a_document(tmp_path):
    path = write(tmp_path / "a.txt", "A title\n\nOne. Two.\n\n\nThree.")
    assert texts(path, documents="file") == ["A title\nOne. Two.\nThree."]


def test_blank_lines_part_documents(tmp_path):
    path = write(tmp_path / "a.txt", "\n\nOne.\nTwo.\n \t\nThree.\n\n\n\nFour.")
    found = list(corpus.documents(data_config(files=str(path), documents="blank_line")))
    assert [d.text for d in found] == ["One.\nTwo.", "Three.", "Four."]
    assert found[1].name == f"{path}#2"


def test_control_marks_are_no_text(tmp_path):
    content = "\ufeffOne.\r\nTwo.\r\n\r\nThree\r\n\f\r\nand four.\rFive.".encode()
    path = write(tmp_path / "a.txt", content)
    assert texts(path, documents="blank_line") == [
        "One.\nTwo.",
        "Three\nand four.\nFive.",
    ]


def test_hard_wrapped_lines_are_joined_to_paragraphs(tmp_path):
    wrapped = """CHAPTER I

It was a bright cold day in April, and the clocks were striking
thirteen. The man slipped quickly through the glass doors of the
well-
known house. He was tired.
"You are late," she said. He had been told so on every day of the
last week, and he
had not listened.
"""
    path = write(tmp_path / "a.txt", wrapped)
    (text,) = texts(path, documents="file")
    assert text == (
        "CHAPTER I\n"
        "It was a bright cold day in April, and the clocks were striking thirteen. The "
        "man slipped quickly through the glass doors of the well-known house. He was "
        "tired.\n"
        '"You are late," she said. He had been told so on every day of the last week, '
        "and he had not listened."
    )


def test_unwrapped_lines_are_kept():
    assert wrap_width(["A sentence.", "Another one.", "And a third."]) == 0
    assert wrap_width(["A title", "x " * 300 + "end.", "y " * 200 + "end."]) == 0
    assert wrap_width(["One line without a mark"]) == 0
    assert clean("First line.\r\nSecond line.\n\nThird.") == (
        "First line.\nSecond line.\nThird."
    )


def test_short_lines_before_capitals_stay_lines():
    verse = ["Tiger, tiger, burning bright", "In the forests of the night,"]
    assert unwrap(verse, width=60) == verse
    assert unwrap(["A line that ends --", "then goes on"], width=19) == [
        "A line that ends -- then goes on"
    ]


@pytest.mark.parametrize("form", ["paragraphs", "lines", "one_line"])
def test_auto_makes_documents_of_a_single_short_story(tmp_path, form):
    story = [f"On day {i} there was rain. {STORY} {STORY}" for i in range(60)]
    joint = {"paragraphs": "\n\n", "lines": "\n", "one_line": " "}[form]
    path = write(tmp_path / "story.txt", joint.join(story))
    found = texts(path, documents="auto")
    assert " ".join(found).split() == " ".join(story).split()
    words = [len(text.split()) for text in found]
    assert sum(words) == 60 * 44
    assert len(words) >= 10
    assert min(words) >= 44
    description = corpus.describe(data_config(files=str(path), documents="auto"))
    assert "story.txt" in description
    assert "consecutive paragraphs or sentences" in description


def test_auto_makes_documents_of_chinese_text(tmp_path):
    story = "".join(
        f"第{i}天下雨了。他没有船，只有一条狗！谁知道呢？" for i in range(120)
    )
    found = texts(write(tmp_path / "story.txt", story), documents="auto")
    assert "".join(found).replace(" ", "") == story
    assert len(found) >= 10


def test_auto_makes_each_of_many_files_a_document(tmp_path):
    for i in range(files.AUTO_FILES):
        write(tmp_path / f"{i}.txt", f"{STORY}\n\n" * 50)
    assert len(texts(tmp_path, documents="auto")) == files.AUTO_FILES
    data = data_config(files=str(tmp_path), documents="auto")
    assert corpus.describe(data) == "5 files, a file a document"


def test_windows_end_at_paragraphs_if_possible():
    paragraphs = ["Aaaa aaaa.", "Bbbb. Cccc. Dddd. Eeee.", "F."]
    assert list(files.windows(paragraphs, 10)) == [
        "Aaaa aaaa.",
        "Bbbb. Cccc. Dddd.",  # 15 bytes are half as many more
        "Eeee.\nF.",
    ]
    assert list(files.windows(["Aaaa aaaa aaaa.", "B."], 10)) == ["Aaaa aaaa aaaa.\nB."]
    assert list(files.windows(["A."], 10)) == ["A."]
    assert list(files.windows([], 10)) == []


# Bad input: one line that names the thing.


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "a.txt is empty"),
        ("a.txt", b" \r\n\n \n", "a.txt is empty"),
        ("a.jsonl", b"\n\n", "a.jsonl is empty"),
        ("a.txt.gz", b"", "a.txt.gz is empty"),
        ("a.txt", b"One.\nTwo\x00.\n", "a.txt, line 2: binary, or --config.data.enc"),
        ("a.txt", b"\x89PNG\r\n\x1a\n\x00\x00", "a.txt, line 1: no utf-8 .*binary"),
        ("a.txt", "One.".encode("utf-16"), "a.txt is UTF-16: say .*encoding=utf-16"),
        ("a.txt", "One.".encode("utf-16-le"), "a.txt, line 1: binary, or .*utf-16"),
        ("a.txt", b"One.\nTwo.\nCaf\xe9.\n", "a.txt, line 3: no utf-8 .*0xe9"),
        ("a.jsonl", b'{"text": "One."}\n{"text"\n', "a.jsonl, line 2: no JSON "),
        ("a.jsonl", b"[" * 100_000, "a.jsonl, line 1: no JSON "),
        ("a.jsonl", b'["One."]\n', "a.jsonl, line 1: no JSON object"),
        ("a.jsonl", b'{"body": "One.", "id": 1}\n', "line 1: no text in the field "),
        ("a.jsonl", b'{"text": 1}\n', "line 1: no text in the field 'text' .*has text"),
        ("a.jsonl", b'{"text": "\\ud83d"}\n', "a.jsonl, line 1: badly encoded"),
        ("a.jsonl", b'{"text": ""}\n{"text": null}\n', "a.jsonl is empty"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(UsageError, match=message):
        texts(path, documents="file")


def test_one_empty_file_among_others_is_named(folder):
    write(folder / "a0.txt", "")
    with pytest.raises(UsageError, match="a0.txt is empty"):
        texts(folder)


def test_a_damaged_gzip_file_is_named(tmp_path):
    compressed = gzip.compress(b"One line of text.\n" * 1000)
    (tmp_path / "cut.txt.gz").write_bytes(compressed[:-20])
    with pytest.raises(UsageError, match="cut.txt.gz, after line .*end-of-stream"):
        texts(tmp_path / "cut.txt.gz")
    (tmp_path / "no.txt.gz").write_bytes(b"One line of text.\n")
    with pytest.raises(UsageError, match="no.txt.gz, after line 0: Not a gzipped"):
        texts(tmp_path / "no.txt.gz")


def test_a_line_of_50_megabytes_is_refused(tmp_path):
    path = write(tmp_path / "a.txt", b"One.\n" + b"word " * 10_000_000)
    for documents in ("file", "blank_line", "auto"):
        with pytest.raises(
            UsageError, match="a.txt, line 2: longer than 10,000,000 ch"
        ):
            texts(path, documents=documents)


def test_an_empty_record_is_no_fault(tmp_path):
    """FAULTS 11: {"text": ""} stopped the whole prepare."""
    lines = ['{"text": "One."}', '{"text": ""}', '{"text": " "}', '{"text": null}']
    path = write(tmp_path / "a.jsonl", "\n".join(lines))
    assert texts(path) == ["One.", "", "", ""]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_text_without_blank_lines_is_bounded(tmp_path, monkeypatch, name):
    """FAULTS 43: the whole text was one document, held in memory nine times."""
    monkeypatch.setattr(files, "LONGEST", 1000)
    path = write(tmp_path / name, "A line of some words.\n" * 100)
    with pytest.raises(UsageError, match="more than 1,000 .*documents=auto$"):
        texts(path, documents="blank_line")
    assert sum(text.count("A line") for text in texts(path, documents="auto")) == 100
    monkeypatch.setattr(files, "MOST_LINES", 10)
    path = write(tmp_path / name, "a\n" * 20)
    with pytest.raises(UsageError, match="or 10 lines; say .*documents=auto$"):
        texts(path, documents="blank_line")


def test_a_document_too_large_for_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LONGEST", 1000)
    path = write(tmp_path / "a.txt", "A line of some words.\n" * 100)
    with pytest.raises(UsageError, match="a document of more than 1,000 .*blank_line"):
        texts(path, documents="file")
    assert len(texts(path, documents="auto")) > 1


def test_other_encodings_are_read_when_named(tmp_path):
    path = write(tmp_path / "a.txt", "Café.\r\nThé.".encode("cp1252"))
    assert texts(path, encoding="cp1252") == ["Café.\nThé."]
    path = write(tmp_path / "b.txt", "Café.\r\nThé.".encode("utf-16"))
    assert texts(path, encoding="utf-16") == ["Café.\nThé."]
    with pytest.raises(UsageError, match="data.encoding: unknown encoding: utf-9"):
        texts(path, encoding="utf-9")


def test_text_field_can_be_chosen(tmp_path):
    path = write(tmp_path / "a.jsonl", json.dumps({"body": "Café.\n\nTwo."}))
    assert texts(path, text_field="body") == ["Café.\nTwo."]


# What a corpus is known by.


def test_files_identity_depends_on_content_and_options(tmp_path):
    path = write(tmp_path / "a.txt", "One.\n\nTwo.")
    before = corpus.identity(data_config(files=str(path)))
    assert corpus.identity(data_config(files=f"{tmp_path}/*.txt")) == before
    assert corpus.identity(data_config(files=str(path), documents="auto")) != before
    write(tmp_path / "a.txt", "One.\n\nTwo!!")
    assert corpus.identity(data_config(files=str(path))) != before


# The packaged news.


def test_the_news_is_read_without_importing_its_package():
    data = data_config()
    data.corpus = "news"
    documents = list(corpus.documents(data))
    assert len(documents) == 2225
    assert documents[0].name == "business/001"
    assert documents[0].text.startswith("Ad sales boost Time Warner profit\nQuarterly")
    assert not any("\ufffd" in document.text for document in documents)
    assert news.PACKAGE not in sys.modules
    assert corpus.identity(data)["package"] == news.PACKAGE


def test_missing_news_package_is_named(monkeypatch):
    monkeypatch.setattr(news, "PACKAGE", "no_such_package")
    with pytest.raises(UsageError, match="no_such_package: run `make env`, or pip"):
        news.identity(data_config())


# TFDS.


@pytest.fixture(scope="module")
def tfds_folder(tmp_path_factory):
    class BertJaxTiny(tfds.core.GeneratorBasedBuilder):
        __module__ = "bert_jax_tiny"  # TFDS looks for files beside deeper modules
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "text": tfds.features.Text(),
                "id": tfds.features.Scalar(np.int64),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i in range(10):
                yield i, {"text": f"Café {i}.\n\nTwo.", "id": i}

    folder = tmp_path_factory.mktemp("tfds")
    BertJaxTiny(data_dir=folder, file_format="array_record").download_and_prepare()
    return str(folder)


def tfds_config(folder, **keys):
    data = data_config(tfds_dir=folder)
    data.update({"corpus": "tfds", "tfds_name": "bert_jax_tiny"} | keys)
    return data


def test_a_tfds_dataset_is_read_without_tensorflow(tfds_folder):
    documents = list(corpus.documents(tfds_config(tfds_folder)))
    assert {d.text for d in documents} == {f"Café {i}.\nTwo." for i in range(10)}
    assert documents == list(corpus.documents(tfds_config(tfds_folder)))
    assert "tensorflow" not in sys.modules
    assert len(list(corpus.documents(tfds_config(tfds_folder, tfds_split="train[:4]"))))


def test_tfds_identity_depends_on_content_and_options(tfds_folder, tmp_path):
    """FAULTS 1: two tfds_dir may hold other data of one name and version."""
    before = corpus.identity(tfds_config(tfds_folder))
    assert before["name"] == "bert_jax_tiny/1.0.0"
    assert corpus.identity(tfds_config(tfds_folder, text_field="id")) != before
    assert corpus.identity(tfds_config(tfds_folder, tfds_split="train[:4]")) != before
    copied = shutil.copytree(tfds_folder, tmp_path / "copied")
    assert corpus.identity(tfds_config(str(copied))) == before
    (path,) = copied.rglob("*array_record*")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert corpus.identity(tfds_config(str(copied))) != before


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"tfds_name": "no_such_set"}, "no TFDS dataset 'no_such_set'"),
        ({"tfds_name": "bert_jax_tiny:9.9.9"}, "no TFDS dataset 'bert_jax_tiny:9.9.9'"),
        ({"tfds_split": "test"}, "no split 'test', but train: say"),
        ({"text_field": "body"}, "no field 'body', but .*: say"),
        ({"text_field": "id"}, r"bert_jax_tiny train\[0\]: no UTF-8 text"),
    ],
)
def test_what_a_tfds_dataset_lacks_is_named(tfds_folder, keys, message):
    with pytest.raises(UsageError, match=message):
        list(corpus.documents(tfds_config(tfds_folder, **keys)))


# Bounds.


def test_lines_are_read_one_at_a_time(tmp_path):
    path = write(tmp_path / "a.txt", "One.\nTwo.\n" + "x" * 100)
    read = textfiles.lines(path, "utf-8")
    assert next(read) == "One."
    read.close()
