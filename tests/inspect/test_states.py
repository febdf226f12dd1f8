"""Vectors of texts and words equal those of the plain forward pass, in every layer."""

import numpy as np
import pytest

from bert_jax.inspect.measure import states
from bert_jax.run.config import UsageError
from tests import running

TEXTS = ["the king saw a red stone", "bread", "my aunt took the long road ."]


@pytest.fixture(scope="module")
def model(tiny, straight):
    """Random weights, and the norm at the end that `pre` has."""
    return running.untrained(tiny, straight, "classify_head", 2, {"model.norm": "pre"})


def layers(model, text: str) -> np.ndarray:
    """(L + 1, T, D), one text at a time; the last as heads read it."""
    found = model.hidden_states([text])[:, 0]
    found[-1] = model.vectors([text])[0]
    return found


def test_texts_are_pooled_in_every_layer(model):
    whole = [layers(model, text) for text in TEXTS]
    for pool, expected in {
        "mean": [each.mean(1) for each in whole],
        "first": [each[:, 0] for each in whole],
        "pieces": [each[:, 1:-1].mean(1) for each in whole],
    }.items():
        found = states.of_texts(model, TEXTS, pool)
        assert found.shape == (3, states.count(model), model.config.model.model_dim)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_pair_is_read_together(model):
    found = states.of_texts(model, TEXTS[:1], "first", TEXTS[1:2])
    expected = model.hidden_states(TEXTS[:1], TEXTS[1:2])[:-1, 0, 0]
    np.testing.assert_allclose(found[0, :-1], expected, atol=1e-5)


def test_a_word_is_the_mean_of_its_tokens(model):
    text = TEXTS[0]
    start = text.index("king")
    [row] = states.rows(model, [text])
    places = [i for i, (a, b) in enumerate(row.offsets) if a < start + 4 and b > start]
    found = states.of_spans(model, [text], [(start, start + 4)])
    expected = layers(model, text)[:, places].mean(1)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_several_batches_come_back_in_order(model):
    texts = [TEXTS[i % 3] for i in range(70)]
    found = states.of_texts(model, texts, "mean")
    once = states.of_texts(model, TEXTS, "mean")
    np.testing.assert_allclose(found, np.tile(once, (24, 1, 1))[:70], atol=1e-5)


def test_no_text_gives_no_vector(model):
    assert states.of_texts(model, [], "mean").shape[0] == 0
    assert not states.of_texts(model, [" "], "pieces").any()


def test_what_has_no_piece_has_no_vector(model):
    with pytest.raises(UsageError, match="no token"):
        states.of_spans(model, ["a dog"], [(1, 2)])
    text = "stone " * model.max_length + "king"
    with pytest.raises(UsageError, match=f"cut to {model.max_length} tokens"):
        states.of_spans(model, [text], [(len(text) - 4, len(text))])


def test_layers_are_named_and_chosen(model):
    last = states.count(model) - 1
    assert states.names(model)[0] == "embeddings"
    assert len(states.names(model)) == last + 1
    assert states.layer(model, "last") == last
    assert states.layer(model, "0") == 0
    found = np.arange(2 * (last + 1) * 3).reshape(2, last + 1, 3)
    np.testing.assert_array_equal(states.select(model, found, "0"), found[:, 0])


@pytest.mark.parametrize("wrong", ["-1", "99", "first", ""])
def test_a_layer_out_of_range_is_refused(model, wrong):
    with pytest.raises(UsageError, match="--layer=.* has 0, the embeddings, to"):
        states.layer(model, wrong)


def test_the_last_four_stand_side_by_side(model):
    found = np.arange(2 * 5 * 3).reshape(2, 5, 3)
    if states.count(model) < 4:
        with pytest.raises(UsageError, match="last_4"):
            states.select(model, found, "last_4")
    else:
        np.testing.assert_array_equal(
            states.select(model, found, "last_4"), found[:, 1:].reshape(2, 12)
        )
