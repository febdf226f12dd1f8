"""Numbers worked out elsewhere: toys of self-attention, formulas, published sizes."""

import math
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.models import ops
from bert_jax.models.encoder import Encoder, SelfAttention
from bert_jax.models.layers import EncoderConfig
from bert_jax.models.network import MaskedLMHead, Pooler
from bert_jax.models.positions import sinusoids
from bert_jax.run import config as configs
from configs import base

KEY = jax.random.key(0)
PRETRAIN = Path(__file__).parents[2] / "configs" / "pretrain"
SAT = 2  # its place among six words
UNSCALED = math.sqrt(2)  # on W_q, undoes the scale of two dimensions


def config_of(**changes):
    return EncoderConfig(**base.get_config().model.to_dict() | changes)


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


def attend(words, kernels, mask="bidirectional"):
    """One head without biases: its outputs, its weights and what it projected."""
    size, width = np.shape(words)
    config = config_of(vocab_size=size, model_dim=width, num_heads=1, attention=mask)
    names = ("query", "key", "value", "out")
    params = {
        name: {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.zeros(width)}
        for name, kernel in zip(names, (*kernels, np.eye(width)), strict=True)
    }
    x = ops.embed(jnp.asarray(words, jnp.float32), jnp.arange(size)[None])
    outputs, sown = SelfAttention(config).apply(
        {"params": params},
        x,
        jnp.array([size]),
        None,
        False,
        mutable=("attention", "intermediates"),
        capture_intermediates=True,
    )
    (weights,) = sown["attention"]["weights"]
    projected = {name: sown["intermediates"][name]["__call__"][0] for name in names}
    return outputs[0], weights[0, 0], projected


# ---- toys of self-attention


def test_a_vector_is_projected_to_query_key_and_value():
    kernels = (
        [[0.2, 0.8, 0.4], [0.4, 0.1, 0.6], [0.5, 0.7, 0.3]],
        [[0.5, 0.3, 0.6], [0.7, 0.8, 0.1], [0.4, 0.2, 0.9]],
        [[0.1, 0.6, 0.4], [0.8, 0.5, 0.3], [0.3, 0.7, 0.2]],
    )
    _, _, projected = attend([[0.1, 0.3, 0.5]], kernels)
    close(projected["query"], [[[0.39, 0.46, 0.37]]])
    close(projected["key"], [[[0.46, 0.37, 0.54]]])
    close(projected["value"], [[[0.40, 0.56, 0.23]]])


def seed_42():
    """The cat sat on the mat: two random numbers a word, then the three matrices."""
    draw = np.random.RandomState(42).rand
    return [draw(2) for _ in range(6)], [draw(2, 2) for _ in range(3)]


@pytest.mark.parametrize(
    "scale, weights, output",
    [
        (
            UNSCALED,
            "0.17081296 0.17053926 0.15670421 0.16530348 0.17035257 0.16628752",
            [0.40970433, 0.30743988],
        ),
        (
            1,
            "0.16960370 0.16941149 0.15957363 0.16571696 0.16928033 0.16641391",
            [0.40833425, 0.30663121],
        ),
    ],
    ids=["unscaled", "scaled"],
)
def test_sat_in_the_sentence_of_seed_42(scale, weights, output):
    words, (query, key, value) = seed_42()
    outputs, seen, _ = attend(words, (query * scale, key, value))
    close(seen[SAT], np.array(weights.split(), float))
    close(outputs[SAT], output)


WORDS = [[0.5, 0.2], [0.9, 0.3], [0.1, 0.8], [0.4, 0.6], [0.2, 0.3], [0.7, 0.9]]
QUERY = np.array([[0.1, 0.2], [0.3, 0.4]])
KERNELS = (QUERY, [[0.5, 0.6], [0.7, 0.8]], [[0.9, 1.0], [1.1, 1.2]])


def test_sat_in_the_handwritten_sentence_unscaled():
    outputs, weights, _ = attend(WORDS, (QUERY * UNSCALED, *KERNELS[1:]))
    expected = "0.14484225 0.17276724 0.16604274 0.16759414 0.13722820 0.21152543"
    close(weights[SAT], np.array(expected.split(), float))
    close(outputs[SAT], [1.03866402, 1.14194379])


def test_sat_in_the_handwritten_sentence_scaled():
    outputs, _, _ = attend(WORDS, KERNELS)
    close(outputs[SAT], [1.02366051, 1.12546590])


def test_a_unit_query_against_the_unit_vectors():
    query = jnp.array([1.0, 0, 0]).reshape(1, 1, 1, 3)
    units = jnp.eye(3).reshape(1, 3, 1, 3)
    options = {"causal": False, "rate": 0.0, "keys": None, "record": True}
    options |= {"window": 0, "slopes": None, "first": 0}
    expected = [0.47108308, 0.26445846, 0.26445846]
    for result in ops.attention(query, units, units, lengths=jnp.array([3]), **options):
        assert result is not None
        close(result.ravel(), expected)


def test_a_causal_mask_leaves_nothing_above_the_diagonal():
    _, weights, _ = attend(WORDS, KERNELS, "causal")
    np.testing.assert_array_equal(weights != 0, np.tri(6, dtype=bool))
    close(weights.sum(-1), 1)


def test_without_a_mask_every_word_attends_everywhere_the_first_too():
    _, weights, _ = attend(WORDS, KERNELS)
    assert weights.shape == (6, 6) and (weights > 0).all()
    close(weights.sum(-1), 1)


# ---- formulas


def test_the_sinusoidal_table_is_its_formula():
    length, dim = 512, 64
    table = sinusoids(length, dim)
    assert table.shape == (length, dim)
    for position in range(length):
        for pair in range(dim // 2):
            angle = position / 10_000 ** (2 * pair / dim)
            sine, cosine = table[position, 2 * pair : 2 * pair + 2]
            assert abs(sine - math.sin(angle)) < 1e-6
            assert abs(cosine - math.cos(angle)) < 1e-6


class Model(nn.Module):
    """Hidden states and the logits of every position."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, ids, lengths):
        encoder = Encoder(self.config, name="encoder")
        hidden = encoder(ids, jnp.zeros_like(ids), lengths)
        table = encoder.variables["params"]["embeddings"]["token"]["embedding"]
        return hidden, MaskedLMHead(self.config, False)(hidden, table)


SMALL = config_of(
    vocab_size=50,
    num_layers=2,
    model_dim=16,
    num_heads=2,
    mlp_dim=32,
    max_length=12,
    init_stddev=0.5,  # large, so that layers matter
)


@pytest.fixture(scope="module")
def read():
    """Reads rows: the states of every layer, and the logits, of a small random model."""
    model, ids = Model(SMALL), jnp.zeros((1, 2), jnp.int32)
    params = jax.jit(model.init)(KEY, ids, jnp.array([2]))["params"]

    @jax.jit
    def run(ids, lengths):
        variables = {"params": params}
        (_, logits), sown = model.apply(variables, ids, lengths, mutable="hidden")
        return sown["hidden"]["encoder"]["states"], logits

    return run


IDS = jax.random.randint(KEY, (3, 12), 0, 50)
MASKED = 4


def test_the_probabilities_of_a_masked_position_sum_to_one(read):
    _, logits = read(IDS, jnp.array([12, 7, 9]))
    chances = jax.nn.softmax(logits[:, MASKED])
    assert chances.shape == (3, 50) and (chances > 0).all()
    close(chances.sum(-1), 1)


def test_padding_changes_no_layer_and_no_logit(read):
    together = read(IDS, jnp.array([12, 7, 9]))
    alone = read(IDS[1:2, :7], jnp.array([7]))
    states, logits = jax.tree.map(lambda x: x[1:2, :7], together)
    assert len(states) == 3 and logits.shape == (1, 7, 50)
    for padded, bare in zip((*states, logits), (*alone[0], alone[1]), strict=True):
        np.testing.assert_allclose(padded, bare, rtol=0, atol=1e-5)


# ---- published sizes


@pytest.mark.parametrize(
    "size, count",
    [
        ("tiny", 4_385_920),
        ("mini", 11_170_560),
        ("small", 28_763_648),
        ("medium", 41_373_184),
        ("base", 109_482_240),
        ("large", 335_141_888),
    ],
)
def test_encoder_and_pooler_of_a_config_have_as_many_parameters_as_published(
    size, count
):
    file = str(PRETRAIN / f"bert_{size}.py")
    config = EncoderConfig(**configs.load(file, {"model.vocab_size": "30522"}).model)

    class Bert(nn.Module):
        @nn.compact
        def __call__(self, ids, lengths):
            return Pooler(config, "tanh")(Encoder(config)(ids, ids, lengths)[:, 0])

    ids, lengths = jnp.zeros((1, 2), jnp.int32), jnp.array([2])
    shapes = jax.eval_shape(Bert().init, KEY, ids, lengths)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count
