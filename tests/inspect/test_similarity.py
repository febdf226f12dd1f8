"""Agreement with human judgement: files, correlations, intervals."""

import math

import numpy as np
import pytest
import scipy.stats

from bert_jax.inspect.measure import similarity
from bert_jax.inspect.measure.space import read
from bert_jax.run.config import UsageError

VECTORS = "a 1 0\nb 1 0.1\nc 1 0.5\nd 0 1\ne -1 0.2\n"


@pytest.fixture
def write(tmp_path):
    def make(text: str, name: str):
        path = tmp_path / name
        path.write_text(text)
        return path

    return make


def test_tabs_or_spaces_part_the_fields(write):
    tabs = similarity.read(write("sun\tday light\t5\n\ntea\tcup\t2.5\n", "EN-X.txt"))
    assert tabs.name == "EN-X"
    assert tabs.pairs == [("sun", "day light"), ("tea", "cup")]
    np.testing.assert_array_equal(tabs.scores, [5, 2.5])
    assert similarity.read(write("sun day 5\n", "x")).pairs == [("sun", "day")]
    assert similarity.words([tabs, tabs]) == ["sun", "day light", "tea", "cup"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sun day 5\nsun day\n", "line 2: wanted WORD WORD SCORE"),
        ("sun day night 5\n", "line 1: wanted WORD WORD SCORE"),
        ("sun\t\t5\n", "line 1: wanted WORD WORD SCORE"),
        ("Word 1 Human\n", "line 1: the score 'Human' is no number"),
        ("sun day nan\n", "line 1: the score 'nan' is no number"),
        ("sun day 1_0\n", "line 1: the score '1_0' is no number"),
        ("\n\n", "holds no pair"),
        ("", "is empty"),
    ],
)
def test_a_bad_line_is_refused(write, text, says):
    with pytest.raises(UsageError, match=says) as error:
        similarity.read(write(text, "pairs.txt"))
    assert "pairs.txt" in str(error.value)


def test_agreement_is_that_of_scipy_over_known_pairs(write):
    space = read(write(VECTORS, "v.txt"))
    rows = ["a b 9", "a c 7", "zebra a 8", "a d 6", "a e 1", "c d 3", "b zebra 1"]
    judged = similarity.read(write("\n".join(rows), "j.txt"))
    (found,) = similarity.space_agreements([judged], space)
    vectors = space.look_up(list("abcde"))[1][:, 0].astype(float)
    pairs = [(0, 1), (0, 2), (0, 3), (0, 4), (2, 3)]
    table = [
        vectors[i] @ vectors[j] / math.hypot(*vectors[i]) / math.hypot(*vectors[j])
        for i, j in pairs
    ]
    wanted = scipy.stats.spearmanr([9, 7, 6, 1, 3], table).statistic
    assert found.r == pytest.approx([wanted])
    assert (found.name, found.pairs, found.known) == ("j", 7, 5)
    assert found.low[0] < wanted < found.high[0]


def test_pairs_that_are_all_unknown_are_refused(write):
    space = read(write(VECTORS, "v.txt"))
    judged = similarity.read(write("x y 1\na z 2\n", "j.txt"))
    with pytest.raises(UsageError, match="v.txt knows both words of 0 of the 2 pairs"):
        similarity.space_agreements([judged], space)


def test_the_interval_by_hand():
    """Fisher's z of 0.5 is ln(3) / 2; its error here sqrt(1.125 / 25)."""
    low, high = similarity.interval(np.array([0.5]), 28)
    half = 1.959964 * math.sqrt(1.125 / 25)
    wanted = [math.tanh(math.log(3) / 2 + sign * half) for sign in (-1, 1)]
    assert [low[0], high[0]] == pytest.approx(wanted, abs=1e-6)


def test_intervals_of_extremes():
    for ends in similarity.interval(np.array([1.0, -1.0]), 9):
        np.testing.assert_array_equal(ends, [1, -1])
    low, high = similarity.interval(np.array([0.3]), 3)
    assert (low[0], high[0]) == (-1, 1)
