from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.run.config import UsageError
from bert_jax.tasks.formats.columns import tagged
from bert_jax.tasks.records import Tagged, label_set

SHARED = Path(__file__).parents[4] / "shared/data"
real = pytest.mark.skipif(not SHARED.exists(), reason="no shared data")


def read(folder, content, separator=" ", word=0, tag=-1, comment=""):
    path = folder / "a.conll"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(tagged(path, "utf-8", separator, word, tag, comment))


def test_blank_lines_part_sentences(tmp_path):
    content = "\ufeff\nThe DT B-NP\ncat NN I-NP\n\n \t\nIt PRP B-NP\r\n\r\nno UH O"
    where = str(tmp_path / "a.conll")
    assert read(tmp_path, content) == [
        Tagged(f"{where}, line 2", ("The", "cat"), ("B-NP", "I-NP")),
        Tagged(f"{where}, line 6", ("It",), ("B-NP",)),
        Tagged(f"{where}, line 8", ("no",), ("O",)),
    ]


def test_words_and_tags_have_columns_of_choice(tmp_path):
    content = "1  the \t DT O \n2 cat NN  B\n"
    for word, tag in ((1, 2), (-3, -2)):
        (sentence,) = read(tmp_path, content, word=word, tag=tag)
        assert sentence[1:] == (("the", "cat"), ("DT", "NN"))
    (sentence,) = read(tmp_path, content, word=1, tag=None)
    assert sentence[1:] == (("the", "cat"), ())


def conll_u(ids: str) -> str:
    rows = [[number, f"w{number}", *"_" * 8] for number in ids.split()]
    return "# sent_id = 1\n" + "".join("\t".join(row) + "\n" for row in rows) + "\n"


def test_words_of_conll_u_are_those_of_the_syntax(tmp_path, capsys):
    """FAULTS 23"""
    content = conll_u("0.1 1-2 1 2 3 3.1 4-6 4 5 6") + conll_u("1 2")
    first, second = read(tmp_path, content, "\t", 1, 3, "#")
    assert first.words == ("w1", "w2", "w3", "w4", "w5", "w6")
    assert second.words == ("w1", "w2")
    said = capsys.readouterr().err
    assert "not read: 2 comments, 2 unwritten words, as 5.1, 2 ranges" in said


def test_a_range_among_words_without_numbers_is_named(tmp_path):
    """FAULTS 23"""
    with pytest.raises(UsageError, match="line 2: 1-2 is no word of the syntax"):
        read(tmp_path, conll_u("1-2 2 3"), "\t", 1, 3, "#")


def test_numbers_of_other_files_are_words_and_columns_as_any(tmp_path):
    content = "a-b 1-2 X\n5.1 c Y\n"
    assert read(tmp_path, content, word=1)[0].words == ("1-2", "c")
    assert read(tmp_path, content)[0].words == ("a-b", "5.1")


def test_tabs_alone_may_separate(tmp_path):
    (sentence,) = read(tmp_path, "New York\tB\n\xa0of\u3000\tO\n", "\t")
    assert sentence[1:] == (("New York", "\xa0of\u3000"), ("B", "O"))


def test_only_spaces_and_tabs_are_white(tmp_path):
    (sentence,) = read(tmp_path, "a\xa0b\u2028 O\n")
    assert sentence.words == ("a\xa0b\u2028",)


def test_document_lines_end_sentences_and_are_no_words(tmp_path):
    content = "-DOCSTART- -X- O O\n\nEU NNP B O\n-DOCSTART- O\nUN NNP B O\n"
    assert [s.words for s in read(tmp_path, content)] == [("EU",), ("UN",)]


def test_comments_are_words_unless_told(tmp_path):
    content = "# text\nthe O\n#tag O\n"
    assert [s.words for s in read(tmp_path, content)] == [("#", "the", "#tag")]
    assert [s.words for s in read(tmp_path, content, comment="# ")] == [("the", "#tag")]


@pytest.mark.parametrize(
    ("content", "keys", "message"),
    [
        ("", {}, "a.conll is empty$"),
        ("\n-DOCSTART- O\n\n", {}, "a.conll holds no sentence$"),
        (
            "the DT O\ncat O\n",
            {},
            "a.conll, line 2: columns: 2, but 3 in the first row",
        ),
        ("the O\n\nbig cat O\n", {}, "a.conll, line 3: columns: 3, but 2 in the first"),
        ("the\tO\ncat O\n", {"separator": "\t"}, "a.conll, line 2: columns: 1, but 2"),
        ("\nthe O\n", {"word": 2}, "line 2: no word column 2; it has -2 to 1$"),
        ("the O\n", {"tag": -3}, "line 1: no tag column -3; it has -2 to 1$"),
        ("the\tO\n\tO\n", {"separator": "\t"}, "a.conll, line 2: an empty word$"),
        ("the\tO\n\xa0\tO\n", {"separator": "\t"}, "a.conll, line 2: an empty word$"),
        ("# x\nthe\t \n", {"separator": "\t", "comment": "#"}, "line 2: an empty tag$"),
        (b"the O\n\xe9 O\n", {}, "a.conll, line 2: no utf-8 "),
        ("the O\n", {"separator": ","}, "the separator ',' is neither a tab nor a sp"),
    ],
)
def test_bad_columns_are_named_with_their_line(tmp_path, content, keys, message):
    with pytest.raises(UsageError, match=message) as caught:
        read(tmp_path, content, **keys)
    assert "\n" not in str(caught.value)


@given(
    st.lists(
        st.lists(
            st.tuples(*[st.text("ab#-é\u200b", min_size=1)] * 2), min_size=1, max_size=4
        ),
        min_size=1,
    ),
    st.sampled_from(["\t", " "]),
)
def test_what_is_written_is_read_back(tmp_path_factory, rows, separator):
    blocks = ["\n".join(map(separator.join, sentence)) for sentence in rows]
    sentences = read(tmp_path_factory.mktemp("conll"), "\n\n".join(blocks), separator)
    found = [list(zip(s.words, s.tags, strict=True)) for s in sentences]
    assert found == rows


@real
@pytest.mark.parametrize(
    ("name", "separator", "count", "labels"),
    [
        ("wnut17/dev.conll", "\t", 1009, 13),
        ("wnut17/test.conll", "\t", 1287, 13),
        ("wnut17/train.conll", "\t", 3394, 13),
        ("conll2000/test.txt", " ", 2012, 19),
        ("conll2000/train.txt", " ", 8936, 22),
    ],
)
def test_real_columns_are_read_whole(name, separator, count, labels):
    path = SHARED / name
    sentences = list(tagged(path, "utf-8", separator, 0, -1, ""))
    assert len(sentences) == count
    assert len(label_set(sentences, ())) == labels
    words = sum(len(sentence.words) for sentence in sentences)
    lines = path.read_text("utf-8").split("\n")
    assert words == sum(bool(line.strip()) for line in lines) > 0
