import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.run.config import UsageError
from bert_jax.tasks.formats.tables import Columns, json_lines, table
from bert_jax.tasks.records import Sentence, label_set

SST2 = Path(__file__).parents[4] / "shared/data/sst2"
NAMED = Columns("text", "", "label")
NUMBERED = Columns("1", "", "0")


def write(folder, content):
    path = folder / "a.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def tsv(folder, content, header=True, columns=NAMED):
    path = write(folder, content)
    return list(table(path, "utf-8", "\t", False, header, columns))


def comma(folder, content, header=True, columns=NAMED, separator=","):
    path = write(folder, content)
    return list(table(path, "utf-8", separator, True, header, columns))


def objects(folder, content, columns=NAMED):
    return list(json_lines(write(folder, content), "utf-8", columns))


def fields(records):
    return [record[1:] for record in records]


def refused(read, folder, content, message, **keys):
    """Refused with one line that names the file."""
    with pytest.raises(UsageError, match=message) as caught:
        read(folder, content, **keys)
    assert "\n" not in str(caught.value)
    assert str(folder / "a.txt") in str(caught.value)


# Without quoting.


def test_columns_are_found_by_name(tmp_path):
    content = "id\tlabel\ttext\n1\tpos\tGood.\n2\tneg\tBad one.\n"
    where = str(tmp_path / "a.txt")
    assert tsv(tmp_path, content) == [
        Sentence(f"{where}, line 2", "Good.", "", "pos"),
        Sentence(f"{where}, line 3", "Bad one.", "", "neg"),
    ]


def test_columns_are_found_by_number(tmp_path):
    content = "pos\tGood.\nneg\tBad."
    expected = [("Good.", "", "pos"), ("Bad.", "", "neg")]
    assert fields(tsv(tmp_path, content, False, NUMBERED)) == expected
    content = "1\ttext\nx\ty\n"  # with a header a name goes before a number
    assert fields(tsv(tmp_path, content, True, Columns("1", "", ""))) == [("x", "", "")]
    assert fields(tsv(tmp_path, content, True, Columns("0", "", ""))) == [("x", "", "")]


def test_a_pair_has_a_column_and_an_unlabelled_set_has_no_label(tmp_path):
    content = "a\tb\tOne.\tTwo.\nc\td\tThree.\tFour.\n"
    records = tsv(tmp_path, content, False, Columns("2", "3", ""))
    assert fields(records) == [("One.", "Two.", ""), ("Three.", "Four.", "")]


def test_quotes_are_plain_characters_in_tsv(tmp_path):
    content = 'text\tlabel\n"Open, he said\tx\n5" disk "\ty\n'
    assert fields(tsv(tmp_path, content)) == [
        ('"Open, he said', "", "x"),
        ('5" disk "', "", "y"),
    ]


def test_marks_ends_and_space_of_files_are_no_text(tmp_path):
    content = "\ufefftext\tlabel\r\n Good. \t pos \r\nBad.\tneg\r\n\r\n\n"
    assert fields(tsv(tmp_path, content)) == [
        (" Good. ", "", "pos"),
        ("Bad.", "", "neg"),
    ]


@pytest.mark.parametrize("line_end", ["\u2028", "\x85", "\x0b", "\f", "\r"])
def test_only_line_feeds_end_rows(tmp_path, line_end):
    (record,) = tsv(tmp_path, f"text\tlabel\none{line_end}two\tx\n")
    assert record.text == f"one{line_end}two"


# With it.


def test_quoted_fields_hold_separators_quotes_and_line_ends(tmp_path):
    content = 'text,label\n"One, ""two""\r\nthree",x\n5" disk,y\n"",""\n'
    where = str(tmp_path / "a.txt")
    records = comma(tmp_path, content.replace('"",""\n', ""))
    assert records == [
        Sentence(f"{where}, line 2", 'One, "two"\nthree', "", "x"),
        Sentence(f"{where}, line 4", '5" disk', "", "y"),
    ]
    refused(comma, tmp_path, content, "line 5: nothing in the column 'text'")


def test_any_character_separates(tmp_path):
    content = 'label;text\nx;"a; b"\n'
    assert fields(comma(tmp_path, content, separator=";")) == [("a; b", "", "x")]
    assert fields(comma(tmp_path, content.replace(";", "|"), separator="|")) == [
        ("a| b", "", "x")
    ]


def test_a_long_field_is_read(tmp_path):
    content = f'text,label\n"{"word " * 100_000}",x\n'
    assert len(comma(tmp_path, content)[0].text) == 500_000


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('Good.,x\n"Bad.,y\nGood.,x\n', "line 3: a quote opens here that is never"),
        (
            'a,"b"\n"c\nd",e\nf,"g\n\nh ""i""\n',
            "line 5: a quote opens here that is nev",
        ),
        ('5" disk,"y\nb,x\n', "line 2: a quote opens here that is never"),
        ('"a ""b"" ""\nc ""d""\n,e', "line 2: a quote opens here that is never"),
        (
            '"He said "hi" to me",x\n',
            "line 2: a quote ends the field that opens in line 2",
        ),
        ('a,x\n"b,y\n"c",z\n', "line 4: a quote ends the field that opens in line 3"),
        ("a\rb,x\n", "line 2: a carriage return outside quotes"),
    ],
)
def test_stray_quotes_are_named_with_the_line_that_opens_them(tmp_path, rows, message):
    refused(comma, tmp_path, "text,label\n" + rows, message)


@given(
    st.lists(
        st.tuples(*[st.text('ab", \n\r\té', min_size=1).filter(str.strip)] * 3),
        min_size=1,
    )
)
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    read = table(path, "utf-8", ",", True, False, Columns("0", "1", "2"))
    expected = [(a, b, c.strip()) for a, b, c in rows]
    plain = [tuple(x.replace("\r\n", "\n") for x in row) for row in expected]
    assert fields(read) == plain


# Bad tables.


@pytest.mark.parametrize("read", [tsv, comma])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("text|label\n", "has no row below its header"),
        ("text|label\n\n", "has no row below its header"),
        ("\ntext|label\n", "line 1: blank, but the first row"),
        ("body|label\na|x\n", "line 1: no column 'text'; it has 'body', 'label'$"),
        ("text|label|text\na|x|b\n", "line 1: two columns are named 'text'"),
        ("text|label\na|x\nb\nc|y\n", "line 3: columns: 1, but 2 in the first"),
        ("text|label\na|x\nb|c|y\n", "line 3: columns: 3, but 2 in the first"),
        ("text|label\na|x\n\nc|y\n", "line 3: blank, but rows follow"),
        ("text|label\na|x\n \u3000|x\n", "line 3: nothing in the column 'text'"),
        ("text|label\na|x\nb| \n", "line 3: nothing in the column 'label'"),
        (b"text|label\na|x\n\xe9|x\n", "line 3: no utf-8 "),
        (b"text|label\na|x\n\0|x\n", "line 3: binary, or not utf-8"),
    ],
)
def test_a_bad_table_is_named_with_its_line(tmp_path, read, content, message):
    content = content.encode() if isinstance(content, str) else content
    content = content.replace(b"|", b"\t" if read is tsv else b",")
    refused(read, tmp_path, content, message)


def test_a_number_beyond_the_columns_is_refused(tmp_path):
    keys = {"header": False, "columns": Columns("2", "", "")}
    refused(tsv, tmp_path, "a\tb\n", "line 1: no column '2'; it has 0 to 1$", **keys)
    keys["columns"] = Columns("text", "", "")
    refused(tsv, tmp_path, "a\tb\n", "no column 'text'; it has 0 to 1$", **keys)


def test_a_missing_pair_is_refused(tmp_path):
    keys = {"columns": Columns("a", "b", "")}
    refused(tsv, tmp_path, "a\tb\nx\t\n", "line 2: nothing in the column 'b'", **keys)


@pytest.mark.parametrize("read", [tsv, comma, objects])
def test_a_text_column_must_be_named(tmp_path, read):
    keys = {"columns": Columns("", "", "label")}
    refused(read, tmp_path, "label\nx\n", ": name the column that holds", **keys)


@pytest.mark.parametrize("separator", ["", "\\t", ", ", "\n", '"'])
def test_a_separator_is_one_character(tmp_path, separator):
    with pytest.raises(UsageError, match="is not one character between columns"):
        comma(tmp_path, "a,b\n", separator=separator)


# JSON lines.


def test_objects_are_read_by_key(tmp_path):
    rows = [
        {"text": "Good.", "label": "pos", "id": [1]},
        {"text": "Bad\none.", "label": 0},
        {"text": "é", "label": True},
        {"text": "é", "label": 2.5},
    ]
    content = "\ufeff" + "\r\n\n".join(map(json.dumps, rows))
    records = objects(tmp_path, content)
    assert fields(records) == [
        ("Good.", "", "pos"),
        ("Bad\none.", "", "0"),
        ("é", "", "true"),
        ("é", "", "2.5"),
    ]
    assert records[1].where == f"{tmp_path / 'a.txt'}, line 3"
    keys = Columns("text", "text", "")
    assert fields(objects(tmp_path, '{"text": "a"}', keys)) == [("a", "a", "")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"', "line 2: no JSON "),
        ("[" * 100_000, "line 2: no JSON "),
        ('["a"]', "line 2: no JSON object"),
        ('{"body": "a", "label": 1}', "line 2: no key 'text'; it has 'body', 'label'$"),
        ("{}", "line 2: no key 'text'; it has none$"),
        ('{"text": 1, "label": 1}', "line 2: no text in 'text' but 1$"),
        ('{"text": " ", "label": 1}', "line 2: nothing in the column 'text'"),
        ('{"text": "a", "label": null}', "line 2: nothing in the column 'label'"),
        ('{"text": "a", "label": NaN}', "line 2: nothing in the column 'label'"),
        ('{"text": "a", "label": ["x"]}', r"line 2: no text in 'label' but \[\"x\"\]$"),
        ('{"text": "\\ud83d", "label": 1}', "line 2: badly encoded"),
        (
            '{"text": "a", "label": 1e999}',
            "line 2: the number in 'label' is not finite",
        ),
        ('{"text": ' + "[" * 400 + "]" * 400 + "}", "line 2: no text in 'text' but"),
        ('{"text": "a", "label": 1' + "0" * 5000 + "}", "line 2: no JSON"),
    ],
)
def test_a_bad_object_is_named_with_its_line(tmp_path, line, message):
    refused(objects, tmp_path, '{"text": "a", "label": "x"}\n' + line, message)


def test_lines_that_are_not_read_are_counted(tmp_path, capsys):
    assert objects(tmp_path, '\n{"text": "a", "label": "x"}\n\n  \n')
    assert "a.txt: not read: 3 blank lines\n" in capsys.readouterr().err


def test_a_file_without_objects_is_empty(tmp_path):
    refused(objects, tmp_path, "\n \n", "is empty$")
    refused(objects, tmp_path, "", "is empty$")


# Real tables.


@pytest.mark.skipif(not SST2.exists(), reason="no shared data")
@pytest.mark.parametrize(
    ("name", "count"), [("train", 6920), ("dev", 872), ("test", 1821)]
)
def test_sst2_is_read_whole(name, count):
    path = SST2 / f"{name}.tsv"
    records = list(table(path, "utf-8", "\t", False, False, NUMBERED))
    assert len(records) == count
    assert records[-1].where == f"{path}, line {count}"
    assert label_set(records, ()) == ["0", "1"]
