"""Continuations: what is drawn, from what, and what is refused."""

import copy
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import bert_jax
import launch
from bert_jax.predict import decoding, generate
from bert_jax.predict.generate import Sampling
from bert_jax.run.config import UsageError
from tests import running

CAUSAL = {
    "model.attention": "causal",
    "objective.kind": "clm",
    "objective.pair": "none",
    "data.pairs": "single",
}
GREEDY = Sampling(0.0, 0, 1.0, 0)
PLAIN = Sampling(1.0, 0, 1.0, 0)
TEXT = "The king saw"


@pytest.fixture(scope="module")
def causal(tiny, straight):
    return running.untrained(tiny, straight, "mlm_head", 0, CAUSAL)


@pytest.fixture(autouse=True)
def one_width(monkeypatch):
    """That of the window, so that all is compiled once."""
    monkeypatch.setattr(generate, "rounded", lambda width: max(width, 100))


def unpadded(model, ids: list[int]) -> np.ndarray:
    """(T, V): the logits of one row of its own length."""
    row = np.array([ids], np.int32)
    batch = {"ids": row, "types": np.zeros_like(row), "lengths": np.array([len(ids)])}
    batch["positions"] = np.arange(len(ids), dtype=np.int32)[None]
    return model.outputs(("logits",), batch)["logits"][0]


def test_greedy_is_the_argmax_of_every_prefix(causal):
    words = causal.tokenizer
    ids = words.encode(TEXT).ids
    for _ in range(2):
        logits = unpadded(causal, [words.cls_id, *ids])[-1]
        ids.append(int(np.argmax(np.where(words.special, -np.inf, logits))))
    found = "".join(generate.continuation(causal, TEXT, 2, GREEDY))
    assert words.decode(words.encode(TEXT).ids) + found == words.decode(ids)


def test_what_follows_changes_nothing(causal):
    words = causal.tokenizer
    ids = [words.cls_id, *words.encode(f"{TEXT} the long road.").ids]
    whole = unpadded(causal, ids)
    first = 1 + len(words.encode(TEXT).ids)
    for end in (first, first + 1):
        np.testing.assert_allclose(unpadded(causal, ids[:end]), whole[:end], atol=1e-5)
        padded = decoding.next_logits(causal, ids[1:end], causal.config.data.length)
        np.testing.assert_allclose(padded, whole[end - 1], atol=1e-5)


def test_a_full_window_keeps_the_last_pieces(causal, capsys):
    window = causal.config.data.length
    ids = causal.tokenizer.encode("the king saw some bread. " * 20).ids
    last = decoding.next_logits(causal, ids[1 - window :], window)
    np.testing.assert_array_equal(decoding.next_logits(causal, ids, window), last)
    text = "the king " * window
    found = "".join(generate.continuation(causal, text, 3, GREEDY))
    again = "".join(generate.continuation(causal, text + text, 3, GREEDY))
    assert found == again
    assert capsys.readouterr().err.count(f"sees {window} tokens at a time") == 2


def test_one_seed_is_one_text(causal):
    texts = [
        "".join(generate.continuation(causal, TEXT, 12, PLAIN._replace(seed=seed)))
        for seed in (0, 0, 1)
    ]
    assert texts[0] == texts[1] != texts[2]


# The distribution of a token.

SHARES = np.array([0.1, 0.4, 0.05, 0.3, 0.15])
NONE = np.zeros(5, bool)


@pytest.mark.parametrize(
    "draw, expected",
    [
        (PLAIN, SHARES),
        (GREEDY, [0, 1, 0, 0, 0]),
        (PLAIN._replace(top_k=2), [0, 4 / 7, 0, 3 / 7, 0]),
        (PLAIN._replace(top_k=9), SHARES),
        (PLAIN._replace(top_p=0.7), [0, 4 / 7, 0, 3 / 7, 0]),
        (PLAIN._replace(top_p=0.71), [0, 8 / 17, 0, 6 / 17, 3 / 17]),
        (PLAIN._replace(top_p=1e-9), [0, 1, 0, 0, 0]),
        (PLAIN._replace(temperature=0.5), SHARES**2 / (SHARES**2).sum()),
        (PLAIN._replace(temperature=1e-300), [0, 1, 0, 0, 0]),
        # Of the two that top_k leaves, the first has 4/7.
        (PLAIN._replace(top_k=2, top_p=0.57), [0, 1, 0, 0, 0]),
    ],
)
def test_filters_by_hand(draw, expected):
    found = generate.chances(np.log(SHARES) + 7, NONE, draw)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_specials_and_spare_rows_have_no_share():
    special = np.array([False, True, False])  # the last two rows are no token
    for draw in (PLAIN, GREEDY, PLAIN._replace(top_k=4), PLAIN._replace(top_p=0.9)):
        found = generate.chances(np.log(SHARES), special, draw)
        assert found[1] == found[3] == found[4] == 0
        assert found.sum() == pytest.approx(1)


def test_of_equals_the_first_stay():
    equal = generate.chances(np.zeros(5), NONE, PLAIN._replace(top_k=2))
    assert equal.tolist() == [0.5, 0.5, 0, 0, 0]


numbers = st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=30)


@settings(max_examples=30)
@given(numbers, st.integers(0, 40), st.floats(0.01, 1), st.floats(0.05, 5))
def test_the_nucleus_is_the_least_that_suffices(logits, top_k, top_p, temperature):
    logits = np.array(logits)
    special = np.zeros(len(logits), bool)
    draw = Sampling(temperature, top_k, 1.0, 0)
    whole = generate.chances(logits, special, draw)
    kept = generate.chances(logits, special, draw._replace(top_p=top_p))
    assert kept.sum() == pytest.approx(1)
    inside = kept > 0
    assert whole[inside].sum() >= top_p - 1e-9
    assert inside.sum() <= (top_k or len(logits))
    if inside.sum() > 1:  # without the least likely of them it falls short
        assert whole[inside].sum() - whole[inside].min() < top_p
    if inside.any() and not inside.all():
        assert whole[inside].min() >= whole[~inside].max()


def test_what_is_drawn_has_its_share():
    random = np.random.default_rng(0)
    found = Counter(generate.drawn(SHARES, random) for _ in range(5000))
    counts = [found[i] for i in range(5)]
    assert stats.chisquare(counts, 5000 * SHARES).pvalue > 0.001
    shares = np.array([0, 1.0, 0])
    assert {generate.drawn(shares, random) for _ in range(50)} == {1}


# What cannot be asked.


@pytest.mark.parametrize(
    "text, count, draw, reason",
    [
        (" ", 5, PLAIN, "TEXT is empty"),
        (TEXT, 0, PLAIN, "--max_tokens=0"),
        (TEXT, 5, PLAIN._replace(temperature=-0.5), "--temperature=-0.5"),
        (TEXT, 5, PLAIN._replace(temperature=math.nan), "--temperature=nan"),
        (TEXT, 5, PLAIN._replace(temperature=math.inf), "--temperature=inf"),
        (TEXT, 5, PLAIN._replace(top_k=-1), "--top_k=-1"),
        (TEXT, 5, PLAIN._replace(top_p=0.0), "--top_p=0.0"),
        (TEXT, 5, PLAIN._replace(top_p=1.5), "--top_p=1.5"),
        (TEXT, 5, PLAIN._replace(top_p=math.nan), "--top_p=nan"),
        ("☃ ☃", 5, PLAIN, "knows no token of the text"),
    ],
)
def test_bad_values_are_refused_at_once(causal, text, count, draw, reason):
    with pytest.raises(UsageError, match=reason):
        generate.continuation(causal, text, count, draw)


def test_a_run_without_a_causal_head_is_refused(causal, straight):
    with pytest.raises(UsageError, match="looks both ways"):
        generate.continuation(bert_jax.load(straight), TEXT, 5, PLAIN)
    headless = copy.copy(causal)
    headless.network = causal.network.clone(heads=("tag_head",))
    with pytest.raises(UsageError, match="no language-model head"):
        generate.continuation(headless, TEXT, 5, PLAIN)


# The verb.


def test_the_text_comes_first(causal, monkeypatch, capsys):
    monkeypatch.setattr(generate, "load", lambda *_: causal)
    command = ["generate", "--workdir=run", "--max_tokens=4", "--seed=3", f"{TEXT} "]
    assert launch.main(command) == 0
    expected = generate.continuation(causal, TEXT, 4, PLAIN._replace(seed=3))
    assert capsys.readouterr().out == TEXT + "".join(expected) + "\n"


def test_mistakes_are_one_line(straight, capsys):
    for option in ([TEXT], [TEXT, "--top_p=0"], ["", "--top_k=1"]):
        code = launch.main(["generate", f"--workdir={straight}", *option])
        out, error = capsys.readouterr()
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert error.startswith("launch.py generate: ")
