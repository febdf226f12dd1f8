"""Inspection of runs with byte-level BPE: what named [CLS], [SEP] and ##."""

import jax
import numpy as np
import pytest

from bert_jax.inspect.attention import main as attention
from bert_jax.inspect.measure import space, states
from bert_jax.inspect.score import likelihood
from bert_jax.models import network as networks
from bert_jax.models.encoder import EncoderConfig
from bert_jax.models.network import PRETRAINING, Network
from bert_jax.predict.model import Model
from bert_jax.predict.reader import Reader
from bert_jax.run.config import UsageError
from bert_jax.train import setup

TEXT = "the unaffable dogs sat"


@pytest.fixture(scope="module")
def model(tiny, tokenizers_by_kind) -> Model:
    """A model of random weights with RoBERTa's kind of tokenizer."""
    words = tokenizers_by_kind["roberta"]
    config = setup.resolved(tiny({"model.init_stddev": 0.5}), words.vocab_size)
    network = Network(EncoderConfig(**config.model), ("mlm_head",), 0, PRETRAINING)
    params = networks.init(network, jax.random.key(0))
    return Model(Reader(config, words, network, params, 0, [], ""))


def test_words_of_text_and_pair_are_found(model):
    """Types are 0 everywhere, and two </s> stand between the two."""
    found = attention.of_text(model, TEXT, TEXT)
    assert not found.row.types.any()
    for paired in (False, True):
        place = attention.locate("unaffable", TEXT)._replace(paired=paired)
        inside = attention.places(found, place)
        joined = "".join(found.tokens[i] for i in inside)
        assert joined == "▁unaffable"
        assert set(found.segments[inside]) == {int(paired)}
    first, second = np.flatnonzero(found.row.ids == model.tokenizer.sep_id)[:2]
    place = attention.locate("</s>", TEXT, TEXT)
    assert attention.places(found, place) == [first] and second == first + 1
    with pytest.raises(UsageError, match=r"--token=\[SEP\] is not among the"):
        attention.places(found, attention.locate("[SEP]", TEXT, TEXT))


def test_the_vector_of_a_word_is_of_its_tokens(model):
    start = TEXT.index("dogs")
    [vector] = states.of_spans(model, [TEXT], [(start, start + 4)])
    [row] = states.rows(model, [TEXT])
    inside = [
        i for i, span in enumerate(row.offsets) if span[0] in range(start, start + 4)
    ]
    inside = [i for i in inside if row.offsets[i][1] > row.offsets[i][0]]
    everything = model.hidden_states([TEXT])[0, 0]
    np.testing.assert_allclose(vector[0], everything[inside].mean(0), rtol=1e-5)


def test_words_of_the_vocabulary_have_no_space(model):
    names = space.model_space(model, "mean").vocabulary
    assert "cat" in names and all(map(str.isalpha, names))
    assert len(names) == len(set(names))


@pytest.mark.parametrize("within", ["piece", "word"])
def test_a_text_is_scored_token_by_token(model, within):
    [found] = likelihood.of_texts(model, [TEXT], within)
    assert found.count == len(model.tokenizer.encode(TEXT).ids)
    assert found.pieces[0] == "the" and "▁sat" in found.pieces
    assert found.total < 0


def test_masks_have_the_name_of_the_run(model):
    [[filled]] = model.fill_masks(["the <mask> sat"])
    assert len(filled.candidates) == 5
    with pytest.raises(UsageError, match=r"there is no <mask> in 'the \[MASK\] sat'"):
        model.fill_masks(["the [MASK] sat"])
