import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.run.config import UsageError
from bert_jax.tasks.formats.choices import choices
from bert_jax.tasks.records import Choice

LISTED = {"ctx": "He sat", "endings": ["down.", "up.", "in."], "label": 2}
SWAG = {
    "ctx": "She",
    "ending0": "ran.",
    "ending1": "sang.",
    "label": 0,
    "gold-source": "gold",
}
ENDINGS = ["ending0", "ending1"]


def read(path, values, columns=("endings",), text="ctx", label="label"):
    path.write_text("\n".join(map(json.dumps, values)), encoding="utf-8")
    return list(choices(path, "utf-8", text, columns, label))


def refused(folder, values, message, **keys):
    path = folder / "a.jsonl"
    with pytest.raises(UsageError, match=message) as caught:
        read(path, values, **keys)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_choices_stand_in_a_list(tmp_path):
    path = tmp_path / "a.jsonl"
    texts = ("down.", "up.", "in.")
    assert read(path, [LISTED, LISTED | {"label": "0"}]) == [
        Choice(f"{path}, line 1", "He sat", texts, "2"),
        Choice(f"{path}, line 2", "He sat", texts, "0"),
    ]


def test_choices_stand_under_keys_of_their_own(tmp_path):
    path = tmp_path / "a.jsonl"
    expected = Choice(f"{path}, line 1", "She", ("ran.", "sang."), "0")
    assert read(path, [SWAG], ENDINGS) == [expected]
    (swapped,) = read(path, [SWAG], ENDINGS[::-1])
    assert swapped.choices == ("sang.", "ran.")


def test_an_unlabelled_set_has_no_labels(tmp_path):
    (record,) = read(tmp_path / "a.jsonl", [LISTED | {"label": -1}], label="")
    assert record.label == ""


def test_blank_lines_are_skipped_and_counted(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(f"\n{json.dumps(LISTED)}\r\n\n", encoding="utf-8-sig")
    (record,) = choices(path, "utf-8", "ctx", ["endings"], "label")
    assert record.where == f"{path}, line 2"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@given(
    st.integers(2, 5).flatmap(lambda n: st.lists(st.tuples(*[TEXT] * n), min_size=1))
)
def test_what_json_holds_is_read_from_a_list_as_from_keys(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("choices") / "a.jsonl"
    keys = [f"k{number}" for number in range(len(rows[0]))]
    listed = [{"ctx": row[0], "endings": row, "label": len(row) - 1} for row in rows]
    keyed = [
        {"ctx": row[0], "label": len(row) - 1} | dict(zip(keys, row, strict=True))
        for row in rows
    ]
    found = read(path, listed)
    assert found == read(path, keyed, keys)
    assert [record.choices for record in found] == rows
    assert {int(record.label) for record in found} == {len(keys) - 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ctx": " "}, "line 2: nothing in 'ctx'$"),
        ({"ctx": 7}, "line 2: no text in 'ctx' but 7$"),
        ({"ctx": "\ud83d"}, "line 2: badly encoded"),
        (
            {"endings": "down."},
            "line 2: no list in 'endings' but \"down.\": name a list",
        ),
        ({"endings": []}, "line 2: choices: 0, but two or more"),
        ({"endings": ["down."]}, "line 2: choices: 1, but two or more"),
        ({"endings": ["a", "b"]}, "line 2: choices: 2, but 3 in the first record$"),
        ({"endings": [*"abcd"]}, "line 2: choices: 4, but 3 in the first record$"),
        ({"endings": ["a", "\n", "c"]}, r"line 2: nothing in 'endings\[1\]'$"),
        ({"endings": ["a", "b", None]}, r"line 2: no text in 'endings\[2\]' but null$"),
        ({"label": 3}, "line 2: the label '3' is no number from 0 to 2$"),
        ({"label": -1}, "line 2: the label '-1' is no number from 0 to 2$"),
        ({"label": 1.0}, "line 2: the label '1.0' is no number from 0 to 2$"),
        ({"label": True}, "line 2: the label 'true' is no number from 0 to 2$"),
        ({"label": None}, "line 2: the label '' is no number from 0 to 2$"),
        ({"label": "up."}, "line 2: the label 'up.' is no number from 0 to 2$"),
        ({"label": [1]}, r"line 2: no text in 'label' but \[1\]$"),
    ],
)
def test_a_bad_record_is_named_with_its_line(tmp_path, change, message):
    refused(tmp_path, [LISTED, LISTED | change], message)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"text": "sent1"},
            "line 1: no key 'sent1'; it has 'ctx', 'endings', 'label'$",
        ),
        ({"columns": ["ending0"]}, "line 1: no key 'ending0'; it has"),
        ({"columns": ["ctx", "ending1"]}, "line 1: no key 'ending1'; it has"),
        ({"label": "gold"}, "line 1: no key 'gold'; it has"),
        ({"text": ""}, "name the keys that hold its text and its choices$"),
        ({"columns": []}, "name the keys that hold its text and its choices$"),
        ({"columns": ["ctx", ""]}, "name the keys that hold its text and its choices$"),
    ],
)
def test_a_missing_key_is_named(tmp_path, keys, message):
    refused(tmp_path, [LISTED], message, **keys)


def test_an_empty_choice_under_a_key_is_named(tmp_path):
    values = [SWAG, SWAG | {"ending1": ""}]
    refused(tmp_path, values, "line 2: nothing in 'ending1'$", columns=ENDINGS)


def test_what_is_no_json_is_refused(tmp_path):
    refused(tmp_path, [LISTED, [1]], "line 2: no JSON object$")
    refused(tmp_path, [], "is empty$")
