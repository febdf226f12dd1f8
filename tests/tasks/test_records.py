import re

import numpy as np
import pytest

from bert_jax.run.config import UsageError
from bert_jax.tasks.records import (
    Sentence,
    Tagged,
    encodable,
    label_set,
    lines,
    numbers,
)


def sentences(*labels):
    return [
        Sentence(f"a.tsv, line {number}", "Text.", "", label)
        for number, label in enumerate(labels, 1)
    ]


TAGGED = [
    Tagged("a.conll, line 1", ("I", "saw", "Rome"), ("O", "O", "B-place")),
    Tagged("a.conll, line 5", ("Ann", "left"), ("B-person", "O")),
]


def refused(call, message):
    """The call raises a UsageError of one line that matches."""
    with pytest.raises(UsageError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


# Labels.


def test_labels_are_sorted_and_each_stands_once():
    assert label_set(sentences("b", "a", "b", "c"), ()) == ["a", "b", "c"]
    assert label_set(TAGGED, ()) == ["B-person", "B-place", "O"]


def test_stated_labels_keep_their_order_and_may_be_unused():
    assert label_set(sentences("b", "a"), ("b", "c", "a")) == ["b", "c", "a"]


def test_unlabelled_records_count_for_nothing():
    assert label_set(sentences("b", ""), ()) == ["b"]
    assert label_set([*TAGGED, Tagged("x", ("Yes",), ())], ())[-1] == "O"


@pytest.mark.parametrize(
    ("records", "stated", "message"),
    [
        (sentences("a", "d"), ("a", "b"), "^a.tsv, line 2: .*'d' .*: 'a', 'b'$"),
        (TAGGED, ("O", "B-place"), "^a.conll, line 5, 'Ann' in .*'B-person' .*'O', 'B"),
        (sentences("x"), [f"l{i}" for i in range(150)], "'l19' and 130 more$"),
        (sentences("a"), ("a", "b", "a"), "the label 'a' is stated twice"),
        (sentences("", ""), (), "no record has a label: name the column"),
        ([], (), "no record has a label"),
    ],
)
def test_labels_that_are_not_in_the_set_are_refused(records, stated, message):
    refused(lambda: label_set(records, stated), message)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"),
        ("1", "true"),
        ("True", "true"),
        ("0", "-0.0"),
        ("1e0", "01"),
        ("pos", "Pos"),
        ("very good", "very  good"),
        ("pos", "pos\u200b"),
        ("caf\u00e9", "cafe\u0301"),
        ("\uff11", "1"),
        ("stra\u00dfe", "STRASSE"),
    ],
)
def test_labels_never_differ_in_spelling_alone(one, other):
    """FAULTS 25"""
    message = "differs from .* in spelling alone"
    refused(lambda: label_set(sentences("x", one, other), ()), message)
    refused(lambda: label_set([Tagged("f", ("a", "b"), (one, other))], ()), message)
    assert label_set(sentences(one, other), (other, one)) == [other, one]


def test_other_labels_are_apart():
    apart = [
        "1",
        "2",
        "1_0",
        "nan",
        "inf",
        "10",
        "a b",
        "ab",
        "B-X",
        "I-X",
        "B-Y",
        "",
        "-",
    ]
    assert label_set(sentences(*apart), ()) == sorted(set(apart) - {""})


def test_numbers_are_read():
    found = numbers(sentences("1", "-0.5", "2.5e1"))
    np.testing.assert_array_equal(found, [1, -0.5, 25])
    assert found.dtype == np.float64


@pytest.mark.parametrize(
    "label", ["nan", "inf", "-Infinity", "1e999", "good", "", "1_0"]
)
def test_what_is_no_number_is_refused(label):
    message = f"^a.tsv, line 2: the label {label!r} is no number$"
    refused(lambda: numbers(sentences("1", label)), message)


# Lines.


def read(tmp_path, content, encoding="utf-8"):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    return list(lines(path, encoding))


def test_every_line_is_numbered_as_other_tools_number_it(tmp_path):
    content = "One.\r\n\r\n\f\nTwo\rtwo\x85two\u2028two.\n \nThree.".encode()
    assert read(tmp_path, content) == [
        "One.",
        "",
        "\f",
        "Two\rtwo\x85two\u2028two.",
        " ",
        "Three.",
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_no_text(tmp_path, encoding):
    content = "Café.\r\n\ufeffTwo.\n".encode(encoding)
    assert read(tmp_path, content, encoding) == ["Café.", "\ufeffTwo."]
    if encoding == "utf-8":
        assert read(tmp_path, b"\xef\xbb\xbf" + content) == ["Café.", "\ufeffTwo."]


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"", "utf-8", "a.txt is empty"),
        (b"One.\nTwo.\nCaf\xe9.\nFour.\n", "utf-8", "a.txt, line 3: no utf-8 .*0xe9"),
        (b"\xef\xbb\xbfOne.\n\xe9\n", "utf-8-sig", "a.txt, line 2: no utf-8-sig "),
        ("é\n\n".encode("utf-16") + b"\x00\xd8", "utf-16", "line 3: no utf-16 "),
        (b"One.\nTwo\0\n", "utf-8", "line 2: binary, or not utf-8: state the enc"),
        ("One.".encode("utf-16"), "cp1252", "line 1: binary, or not cp1252"),
        (b"One.", "utf-9", "a.txt: unknown encoding: utf-9"),
    ],
)
def test_what_is_no_text_is_named_with_its_line(tmp_path, content, encoding, message):
    refused(lambda: read(tmp_path, content, encoding), message)


def test_a_bad_line_is_found_far_down_a_file(tmp_path):
    content = b"A line of words.\n" * 20_000 + b"\xff\n" + b"More.\n" * 20_000
    refused(lambda: read(tmp_path, content), "a.txt, line 20001: no utf-8 ")


def test_a_file_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "none.txt"
    refused(lambda: list(lines(path, "utf-8")), f"{re.escape(str(path))}: No such file")
    refused(lambda: list(lines(tmp_path, "utf-8")), "Is a directory")


def test_half_of_a_surrogate_pair_is_no_text():
    assert encodable("here", "😀") == "😀"
    refused(lambda: encodable("here", "\ud83d"), "^here: badly encoded ")
