"""Pairs are read as they stand; accuracy is the share of good sentences preferred."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_jax.inspect.score import minimal_pairs
from bert_jax.inspect.score.minimal_pairs import Pair
from bert_jax.render.document import Grid
from bert_jax.run.config import UsageError
from bert_jax.tasks.metrics import wilson

ONE = {"sentence_good": "The cat sits.", "sentence_bad": "The cat sit."}


@pytest.fixture
def write(tmp_path):
    def make(*lines):
        path = tmp_path / "agreement.jsonl"
        text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("\n".join(text) + "\n")
        return path

    return make


def test_the_phenomenon_is_the_first_name_present(write):
    path = write(
        {**ONE, "UID": "u", "linguistics_term": "l", "phenomenon": "p"},
        {**ONE, "UID": "u", "linguistics_term": "l"},
        "",
        {**ONE, "UID": "u", "field": "f"},
        ONE,
    )
    found = minimal_pairs.read(path, "")
    assert [pair.phenomenon for pair in found] == ["p", "l", "u", "agreement"]
    good, bad = ONE.values()
    assert found[2] == Pair(f"{path}, line 4", good, bad, "u")


def test_or_it_is_what_the_user_names(write):
    path = write({**ONE, "phenomenon": "p", "field": "syntax"})
    assert minimal_pairs.read(path, "field")[0].phenomenon == "syntax"


@pytest.mark.parametrize(
    "line, reason",
    [
        ("{", "no JSON"),
        ("[1]", "no JSON object"),
        ({"sentence_good": "a"}, "no key 'sentence_bad'; it has 'sentence_good'"),
        ({**ONE, "sentence_bad": 3}, "no text in 'sentence_bad' but 3"),
        ({**ONE, "sentence_good": " "}, "nothing in 'sentence_good'"),
        ({**ONE, "phenomenon": ["x"]}, "no text in 'phenomenon'"),
        ({**ONE, "phenomenon": "all"}, "named 'all': rename it"),
    ],
)
def test_a_bad_line_is_named(write, line, reason):
    path = write(ONE, line)
    with pytest.raises(UsageError, match="line 2: .*" + reason) as error:
        minimal_pairs.read(path, "")
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_missing_keys_and_empty_files_are_refused(write, tmp_path):
    with pytest.raises(UsageError, match="line 1: no key 'field'"):
        minimal_pairs.read(write(ONE), "field")
    with pytest.raises(UsageError, match="is empty"):
        minimal_pairs.read(write(""), "")
    with pytest.raises(UsageError, match="No such file"):
        minimal_pairs.read(tmp_path / "none.jsonl", "")


def test_accuracy_by_phenomenon_a_tie_is_wrong():
    good = np.array([-1.0, -5, -2, -3])
    bad = np.array([-2.0, -4, -2, -9])
    found = minimal_pairs.preferences(["b", "a", "b", "a"], good, bad)
    assert [each[:4] for each in found] == [
        ("a", 2, 1, 0),
        ("b", 2, 1, 1),
        ("all", 4, 2, 1),
    ]
    assert found[2].interval == wilson(2, 4)
    [alone] = minimal_pairs.preferences(["a"] * 4, good, bad)
    assert alone == found[2]._replace(phenomenon="a")


scores = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(-3, 0), st.integers(-3, 0)),
    min_size=1,
)


@settings(max_examples=20)
@given(scores)
def test_the_total_is_the_sum_of_its_phenomena(rows):
    names, good, bad = zip(*rows, strict=True)
    found = minimal_pairs.preferences(names, np.array(good), np.array(bad))
    single, overall = found[:-1] or found, found[-1]
    for field in ("pairs", "right", "ties"):
        assert getattr(overall, field) == sum(getattr(each, field) for each in single)
    assert overall.right == sum(g > b for _, g, b in rows)
    assert overall.interval[0] <= overall.accuracy <= overall.interval[1]


def test_pairs_with_unread_pieces_are_counted_apart():
    """FAULTS 27: what is unknown costs a sentence nothing, and so it won."""
    pairs = [Pair(f"f, line {i}", f"good {i}", f"bad {i}", "x") for i in range(4)]
    good, bad = np.array([-1.0, -5, -30, -3]), np.array([-2.0, -4, -5, -9])
    found = minimal_pairs.readable_finding(pairs, good, bad, np.array([0, 0, 2, 0]))
    assert "2 of 3 minimal pairs" in found.answer
    assert "not counted: 1 of 4." in found.answer
    assert found.parts[-1].blocks[1].rows == [("good 2", "bad 2", "2", "x")]
    assert found.arrays["pair_unread"].tolist() == [0, 0, 2, 0]
    assert found.scores["accuracy/x"] == pytest.approx(2 / 3)
    with pytest.raises(UsageError, match="none of the 2 pairs does the run read every"):
        minimal_pairs.readable_finding(pairs[:2], good[:2], bad[:2], np.array([1, 1]))


def test_the_page_lists_the_largest_mistakes_first():
    pairs = [Pair("", f"good {i}", f"bad {i}", "xy"[i % 2]) for i in range(4)]
    good, bad = np.array([-1.0, -5, -2, -3]), np.array([-2.0, -4, -2, 0])
    found = minimal_pairs.finding(pairs, good, bad)
    [wrong] = found.parts[1].blocks
    assert isinstance(wrong, Grid)
    assert [row[0] for row in wrong.rows] == ["good 3", "good 1", "good 2"]
    assert "1 of 4 minimal pairs: 25.0 %" in found.answer
    assert "Pairs of equal scores, as of the same tokens" in found.answer
    assert found.scores == {"accuracy/x": 0.5, "accuracy/y": 0, "accuracy/all": 0.25}
    assert len(minimal_pairs.finding(pairs[:1], good[:1], bad[:1]).parts) == 1
