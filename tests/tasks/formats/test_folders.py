import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.run.config import UsageError
from bert_jax.tasks.formats.folders import folders
from bert_jax.tasks.records import Sentence


def write(path, content: str | bytes = "Some text."):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path, encoding="utf-8"):
    return list(folders(path, encoding))


@pytest.fixture
def reviews(tmp_path):
    write(tmp_path / "pos" / "1_8.txt", "I liked it.<br />A lot.")
    write(tmp_path / "pos" / "0_9.txt", "\ufeffGood.\r\n")
    write(tmp_path / "neg" / "0_1.txt", "Bad.")
    return tmp_path


def refused(path, message, encoding="utf-8"):
    with pytest.raises(UsageError, match=message) as caught:
        read(path, encoding)
    assert "\n" not in str(caught.value)


def test_sub_folders_are_labels_and_files_are_texts(reviews):
    assert read(reviews) == [
        Sentence(str(reviews / "neg" / "0_1.txt"), "Bad.", "", "neg"),
        Sentence(str(reviews / "pos" / "0_9.txt"), "Good.", "", "pos"),
        Sentence(
            str(reviews / "pos" / "1_8.txt"), "I liked it.<br />A lot.", "", "pos"
        ),
    ]


def test_what_is_hidden_or_beside_the_sub_folders_is_skipped(reviews):
    before = read(reviews)
    write(reviews / "labeledBow.feat", "9 0:9")
    write(reviews / "pos" / ".DS_Store", b"\0")
    write(reviews / ".git" / "HEAD")
    (reviews / "pos" / ".cache").mkdir()
    assert read(reviews) == before


def test_a_file_needs_no_suffix_and_its_hard_wrapped_lines_are_joined(tmp_path):
    post = """From: someone@example.com

Does anybody here know where the manual of this old printer can be
found? I have looked in all the shops of the town, and no-
body had it.
"""
    write(tmp_path / "comp.printers" / "38816", post)
    (record,) = read(tmp_path)
    assert record.label == "comp.printers"
    assert record.text == (
        "From: someone@example.com\n"
        "Does anybody here know where the manual of this old printer can be found? "
        "I have looked in all the shops of the town, and no-body had it."
    )


def test_another_encoding_is_read_when_named(tmp_path):
    path = write(tmp_path / "a" / "b.txt", "One.\nCafé.".encode("latin-1"))
    assert read(tmp_path, "latin-1")[0].text == "One.\nCafé."
    refused(tmp_path, f"{path}, line 2: no utf-8 .*: state the encoding of the file$")
    refused(tmp_path, "b.txt: unknown encoding: utf-9: state the encod", "utf-9")


NAMES = st.text(string.ascii_letters + string.digits, min_size=1, max_size=6)


@given(
    st.dictionaries(
        NAMES.map(str.lower), st.sets(NAMES.map(str.lower), min_size=1)
    ).filter(bool)
)
def test_every_file_is_read_once_in_the_order_of_names(tmp_path_factory, tree):
    root = tmp_path_factory.mktemp("tree")
    expected = [(label, name) for label in sorted(tree) for name in sorted(tree[label])]
    for label, name in reversed(expected):
        write(root / label / name, f"{label} {name}")
    records = read(root)
    assert [(r.label, r.text) for r in records] == [
        (a, f"{a} {b}") for a, b in expected
    ]
    assert [r.where for r in records] == [str(root / a / b) for a, b in expected]


def test_what_is_no_folder_of_folders_is_refused(tmp_path):
    refused(tmp_path / "none", "none: No such file or directory$")
    path = write(tmp_path / "a.txt")
    refused(path, "a.txt: Not a directory$")
    refused(tmp_path, f"{tmp_path} has no sub-folder, but one for each label is exp")
    (tmp_path / ".hidden").mkdir()
    refused(tmp_path, "has no sub-folder")


@pytest.mark.parametrize("content", ["", " \n\t\r\n", "\f"])
def test_an_empty_file_is_named(reviews, content):
    path = write(reviews / "pos" / "2_7.txt", content)
    refused(reviews, f"{path} is empty$")


def test_a_sub_folder_without_files_is_named(reviews):
    write(reviews / "unsup" / ".keep")
    refused(reviews, f"{reviews / 'unsup'} holds no file")


def test_a_folder_of_sets_is_not_taken_for_one_of_labels(tmp_path):
    write(tmp_path / "train" / "urls.txt")
    write(tmp_path / "train" / "pos" / "a.txt")
    refused(tmp_path, f"pos is a folder inside .* labels .is it {tmp_path / 'train'}")


def test_a_file_that_is_no_text_is_named(reviews):
    path = write(reviews / "pos" / "a.png", b"PNG\r\n\0")
    refused(reviews, f"{path}, line 2: binary, or not utf-8")
