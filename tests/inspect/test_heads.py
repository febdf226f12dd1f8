"""Statistics of heads equal those of numpy from the maps, however they are batched."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_jax.inspect.attention import heads, heads_part
from bert_jax.inspect.attention.heads import MEASURES
from bert_jax.predict.model import Model
from bert_jax.predict.reader import Reader
from tests import running

TEXTS = [
    "the king saw a red stone and some bread",
    "bread",
    "my aunt took the long road .",
    "her brother",
    "a farmer",
]


@pytest.fixture(scope="module")
def model(tiny, straight):
    """Random weights."""
    return running.untrained(tiny, straight, "classify_head", 2, {})


def by_hand(maps: np.ndarray, ids: np.ndarray, special: tuple[int, int]) -> np.ndarray:
    """(M, L, N) sums over the queries of one text, from its (L, N, T, T) in float64."""
    maps, count = maps.astype(np.float64), len(ids)
    separator, first = special
    sums = np.zeros((len(MEASURES), *maps.shape[:2]))
    for i in range(count):
        line = maps[:, :, i]
        logs = np.log(line, out=np.zeros_like(line), where=line > 0)
        sums[0] -= (line * logs).sum(-1)
        sums[1] += (line * abs(np.arange(count) - i)).sum(-1)
        sums[2] += line[..., ids == separator].sum(-1)
        sums[3] += line[..., ids == first].sum(-1)
        sums[4] += line[..., i]
        sums[5] += line[..., i - 1] if i else 0
        sums[6] += line[..., i + 1] if i + 1 < count else 0
    return sums


def test_statistics_are_means_over_all_queries(model, monkeypatch):
    monkeypatch.setattr(heads, "BLOCK", 2)  # texts are read in three blocks
    pairs = ["bread", *TEXTS[:0:-1]]
    found = heads.of_texts(model, TEXTS, pairs)
    coded = model.encode(TEXTS, pairs)
    maps, lengths = model.attention(TEXTS, pairs), coded["lengths"]
    special = (model.tokenizer.sep_id, model.tokenizer.cls_id)
    sums = sum(
        by_hand(maps[:, row, :, :length, :length], coded["ids"][row, :length], special)
        for row, length in enumerate(lengths)
    )
    counts = np.full(len(MEASURES), lengths.sum())
    counts[-2:] -= len(TEXTS)
    for name, total, count in zip(MEASURES, sums, counts, strict=True):
        np.testing.assert_allclose(found.measures[name], total / count, atol=2e-6)
    assert (found.texts, found.queries) == (len(TEXTS), lengths.sum())
    assert (found.cut, found.unseen) == (0, 0)


def test_a_head_without_queries_attends_to_all_alike(model):
    blind = jax.tree_util.tree_map_with_path(
        lambda path, x: x * 0 if "query" in str(path) else x, model.params
    )
    other = Model(
        Reader(model.config, model.tokenizer, model.network, blind, 0, ["a", "b"], "")
    )
    found = heads.of_texts(other, TEXTS[:1])
    count = found.queries
    expected = {
        "entropy": math.log(count),
        "distance": (count**2 - 1) / (3 * count),
        "on [SEP]": 1 / count,
        "on [CLS]": 1 / count,
        "on itself": 1 / count,
        "on previous": 1 / count,
        "on next": 1 / count,
    }
    assert found.uniform == pytest.approx(expected, rel=1e-6)
    for name, value in expected.items():
        np.testing.assert_allclose(found.measures[name], value, rtol=1e-5)


def measured(maps: np.ndarray, length: int) -> dict[str, np.ndarray]:
    """(B, N) of each measure, of rows that hold 0, the [CLS], then 1, ..., the [SEP]."""
    rows, width = maps.shape[0], maps.shape[-1]
    batch = {
        "ids": jnp.tile(jnp.arange(width), (rows, 1)),
        "lengths": jnp.full(rows, length),
        "special": jnp.array([length - 1, 0]),
    }
    found = np.asarray(jax.jit(heads._measured)(jnp.asarray(maps, jnp.float32), batch))
    return dict(zip(MEASURES, found.swapaxes(0, 1), strict=True))


def test_heads_that_look_back_and_ahead_are_distinguished():
    """Three tokens and a place of padding, whose line counts for nothing."""
    back, ahead = np.eye(4, k=-1), np.eye(4, k=1)
    back[0, 0] = ahead[2, 2] = 1
    ahead[2, 3] = 0
    found = measured(np.stack([back, ahead])[None], 3)
    assert found["on previous"].tolist() == [[2, 0]]
    assert found["on next"].tolist() == [[0, 2]]
    assert found["on itself"].tolist() == [[1, 1]]
    assert found["distance"].tolist() == [[2, 2]]
    assert found["on [CLS]"].tolist() == [[2, 0]]
    assert found["on [SEP]"].tolist() == [[0, 2]]
    assert not found["entropy"].any()


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.floats(0, 30))
def test_measures_stay_in_their_bounds(seed, sharpness):
    scores = sharpness * np.random.default_rng(seed).normal(size=(2, 3, 6, 6))
    maps = np.exp(scores - scores.max(-1, keepdims=True))
    found = measured(maps / maps.sum(-1, keepdims=True), 6)
    assert (found["entropy"] <= 6 * math.log(6) + 1e-4).all()
    assert (found["distance"] <= 5 * 6).all()
    for name in list(MEASURES)[2:]:
        assert (found[name] >= 0).all() and (found[name] <= 6 + 1e-5).all()
    neighbours = found["on itself"] + found["on previous"] + found["on next"]
    assert (neighbours <= 6 + 1e-4).all()


def test_texts_that_do_not_fit_are_counted(model):
    trained, positions = model.config.data.length, model.max_length
    texts = ["bread", "bread " * trained, "bread " * positions]
    found = heads.of_texts(model, [*texts, "bread " * (positions - 2)])
    assert (found.cut, found.unseen) == (1, 3)


def test_parts_name_the_heads_that_stand_out(model):
    values = np.array([[0.1, 0.2], [0.75, 0.3]])
    counted = heads.Statistics(
        dict.fromkeys(MEASURES, values), dict.fromkeys(MEASURES, 0.5), 2, 9, 0, 0
    )
    lines = heads_part.extremes(counted)
    assert lines[0].startswith("Head 1 of layer 1 reads the narrowest")
    assert lines[2] == "Head 1 of layer 2 puts most on [SEP]: 0.75"
    grid = heads_part.table(counted)
    assert grid.rows[1][:2] == ("2", "0.53") and grid.rows[-1][0] == "equal weights"
    assert heads_part.scores(counted)["share on the diagonal/layer 1"] == pytest.approx(
        0.15
    )
