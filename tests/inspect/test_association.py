"""WEAT against a computation from its definition, and its p against enumeration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bert_jax.inspect.bias import association


def cosine(u, v):
    return float(u @ v / math.sqrt(u @ u) / math.sqrt(v @ v))


def score(w, a, b):
    """The scores s(w, A, B), word by word."""
    first = [cosine(w, v) for v in a]
    return sum(first) / len(a) - sum(cosine(w, v) for v in b) / len(b)


def brute(x, y, a, b):
    """d and p of (n, D) sets, as Caliskan et al. 2017 write them."""
    scores = [score(w, a, b) for w in [*x, *y]]
    mean = sum(scores) / len(scores)
    spread = math.sqrt(sum((s - mean) ** 2 for s in scores) / (len(scores) - 1))
    count = len(x)

    def gap(chosen):
        other = [s for i, s in enumerate(scores) if i not in chosen]
        return sum(scores[i] for i in chosen) / count - sum(other) / len(other)

    observed = gap(range(count))
    every = [
        gap(chosen) for chosen in itertools.combinations(range(len(scores)), count)
    ]
    p = sum(each >= observed - 1e-9 for each in every) / len(every)
    return observed / spread, p


def sets(seed, *sizes, layers=1):
    draw = np.random.default_rng(seed)
    return [draw.normal(size=(size, layers, 5)) for size in sizes]


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.tuples(*[st.integers(1, 5)] * 4))
def test_weat_agrees_with_a_count_of_all_partitions(seed, sizes):
    if sizes[0] + sizes[1] < 3:
        return  # two scores have a d of sqrt 2 or its negative, and nothing to count
    drawn = sets(seed, *sizes, layers=2)
    found = association.weat(*drawn, samples=1, seed=0)
    for layer in range(2):
        d, p = brute(*(each[:, layer] for each in drawn))
        assert found.d[layer] == pytest.approx(d, abs=1e-9)
        assert found.chance.p[layer] == pytest.approx(p, abs=1e-9)
    assert found.chance.exact
    assert found.chance.partitions == math.comb(sizes[0] + sizes[1], sizes[0])


def test_by_hand():
    # s is 1 - 0 of the first, 0 - 1 of the second: the farthest of both partitions.
    first, second = np.array([[[1.0, 0.0]]]), np.array([[[0.0, 3.0]]])
    found = association.weat(first, second, first, second, samples=1, seed=0)
    np.testing.assert_allclose(found.scores[:, 0], [1, -1])
    assert found.d[0] == pytest.approx(2 / math.sqrt(2))
    assert found.chance.p[0] == 1 / 2


def test_ties_count():
    scores = np.array([[0.3], [0.1], [0.3], [0.1]])
    # Of six pairs {0, 1} have the sum 0.4, as three more have, and {0, 2} more.
    assert association.chance(scores, 2, 1, 0).p[0] == 5 / 6


def test_equal_scores_have_no_effect_and_no_evidence():
    scores = np.full((16, 1), 0.1) + np.linspace(0, 1e-16, 16)[:, None]
    assert association.effect(scores, 8)[0] == 0
    assert association.chance(scores, 8, 1, 0).p[0] == 1


def test_the_other_way_round_has_the_negative_d():
    x, y, a, b = sets(0, 4, 3, 3, 5)
    one = association.weat(x, y, a, b, samples=1, seed=0)
    other = association.weat(x, y, b, a, samples=1, seed=0)
    np.testing.assert_allclose(other.d, -one.d)
    # Only the observed partition is on both sides where no two sums are equal.
    assert one.chance.p[0] + other.chance.p[0] == pytest.approx(1 + 1 / 35)


def test_a_few_among_many_are_counted_too():
    scores = np.random.default_rng(1).normal(size=(300, 1))
    column = scores[:, 0]
    sums = [column[i] + column[j] for i, j in itertools.combinations(range(300), 2)]
    share = np.mean(np.array(sums) >= column[0] + column[1] - 1e-9)
    found = association.chance(scores, 2, 1, 0)
    assert found.exact
    assert found.p[0] == pytest.approx(share, abs=1e-12)
    # The other set is then the larger one.
    assert association.chance(-scores[::-1], 298, 1, 0).p[0] == found.p[0]


def test_drawn_partitions_agree_with_all(monkeypatch):
    scores = np.random.default_rng(2).normal(size=(16, 3))
    scores[:8] += 0.4
    exact = association.chance(scores, 8, 1, 0)
    monkeypatch.setattr(association, "COUNTED", 1)
    monkeypatch.setattr(association, "BLOCK", 1_000)
    drawn = association.chance(scores, 8, 20_000, 0)
    assert not drawn.exact
    assert drawn.partitions == 20_000
    np.testing.assert_allclose(drawn.p, exact.p, atol=0.015)
    assert (drawn.low < drawn.p).all()
    assert (drawn.p < drawn.high).all()
    again = association.chance(scores, 8, 20_000, 0)
    np.testing.assert_array_equal(again.p, drawn.p)
    assert (association.chance(scores, 8, 20_000, 1).p != drawn.p).any()


def test_a_drawn_p_is_never_0(monkeypatch):
    monkeypatch.setattr(association, "COUNTED", 1)
    scores = np.arange(40.0, 0, -1)[:, None]
    assert association.chance(scores, 20, 99, 0).p[0] == 1 / 100


def test_drawn_sets_have_their_size_and_equal_shares():
    members = np.concatenate(list(association._draws(7, 3, 7_000, 0)))
    assert (members.sum(axis=1) == 3).all()
    np.testing.assert_allclose(members.mean(axis=0), 3 / 7, atol=0.03)


@pytest.mark.parametrize("hits", [0, 1, 37, 99, 100])
def test_clopper_pearson_is_of_beta_quantiles(hits):
    (low,), (high,) = association.clopper_pearson(np.array([hits]), 100)
    least = stats.beta.ppf(0.025, hits, 101 - hits) if hits else 0
    most = stats.beta.ppf(0.975, hits + 1, 100 - hits) if hits < 100 else 1
    assert (low, high) == pytest.approx((least, most), abs=1e-12)


def test_an_empty_set_is_refused():
    x, y, a, _ = sets(0, 2, 2, 2, 2)
    with pytest.raises(ValueError, match="empty set"):
        association.weat(x, y, a, a[:0], samples=1, seed=0)
