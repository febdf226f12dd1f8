import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from bert_jax.models.layers import EncoderConfig
from bert_jax.models.network import LinearHead, MaskedLMHead, Pooler
from configs import base

KEY = jax.random.key(0)


def config_of(**changes):
    return EncoderConfig(**base.get_config().model.to_dict() | changes)


SMALL = config_of(vocab_size=20, model_dim=8, num_heads=2, init_stddev=0.5)
X = jax.random.normal(KEY, (2, 3, 8))
TABLE = jax.random.normal(jax.random.key(1), (20, 8))


def init(module, *inputs):
    """Random values for every parameter, biases and scales included."""
    params = jax.jit(module.init)(KEY, *inputs)["params"]
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(KEY, len(leaves))
    leaves = [
        jax.random.normal(key, leaf.shape)
        for key, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, leaves)


def test_the_masked_lm_head_is_dense_gelu_norm_and_the_tied_table():
    head = MaskedLMHead(SMALL, False)
    params = init(head, X, TABLE)
    shapes = jax.tree.map(jnp.shape, params)
    assert shapes == {
        "transform": {"kernel": (8, 8), "bias": (8,)},
        "norm": {"scale": (8,), "bias": (8,)},
        "bias": (20,),
    }
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    x = np.asarray(X) @ p["transform"]["kernel"] + p["transform"]["bias"]
    x = x * (1 + erf(x / np.sqrt(2))) / 2
    x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    x = x * p["norm"]["scale"] + p["norm"]["bias"]
    expected = x @ np.asarray(TABLE).T + p["bias"]
    logits = head.apply({"params": params}, X, TABLE)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_the_decoder_sends_its_gradient_to_the_table():
    head = MaskedLMHead(SMALL, False)
    params = init(head, X, TABLE)
    gradient = jax.grad(
        lambda table: head.apply({"params": params}, X, table)[..., 3].sum()
    )(TABLE)
    touched = np.abs(gradient).max(-1) > 0
    np.testing.assert_array_equal(touched, np.arange(20) == 3)


def relu(x):
    return np.maximum(x, 0)


def gelu(x):
    return x * (1 + erf(x / np.sqrt(2))) / 2


@pytest.mark.parametrize(
    "kind, function", [("tanh", np.tanh), ("relu", relu), ("gelu", gelu)]
)
def test_the_pooler_is_an_activation_of_a_dense_layer(kind, function):
    pooler, x = Pooler(SMALL, kind), X[:, 0]
    params = init(pooler, x)
    assert jax.tree.map(jnp.shape, params) == {"kernel": (8, 8), "bias": (8,)}
    expected = function(x @ params["kernel"] + params["bias"][None])
    found = pooler.apply({"params": params}, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_head_as_pooler_norms_the_encoders_activation():
    config = dataclasses.replace(SMALL, bias="none")
    pooler, x = Pooler(config, "head"), X[:, 0]
    params = init(pooler, x)
    shapes = {"kernel": (8, 8), "norm": {"scale": (8,)}}
    assert jax.tree.map(jnp.shape, params) == shapes
    hidden = gelu(x @ params["kernel"])
    hidden = hidden - hidden.mean(-1, keepdims=True)
    expected = hidden / np.sqrt(hidden.var(-1, keepdims=True) + SMALL.norm_epsilon)
    expected = expected * params["norm"]["scale"][None]
    found = pooler.apply({"params": params}, x)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_a_plain_head_is_the_token_table_without_parameters():
    head = MaskedLMHead(SMALL, True)
    assert not head.init(KEY, X, TABLE)
    np.testing.assert_allclose(head.apply({}, X, TABLE), X @ TABLE.T, rtol=1e-5)


def test_a_linear_head_is_one_dense_layer():
    head = LinearHead(SMALL, 2)
    params = init(head, X[:, 0])
    assert jax.tree.map(jnp.shape, params) == {"kernel": (8, 2), "bias": (2,)}
    expected = X[:, 0] @ params["kernel"] + params["bias"][None]
    logits = head.apply({"params": params}, X[:, 0])
    np.testing.assert_allclose(logits, expected, rtol=1e-5)


def test_logits_are_float32_whatever_the_compute():
    config = dataclasses.replace(SMALL, dtype="bfloat16")
    x = X.astype(jnp.bfloat16)
    heads = (
        (MaskedLMHead(config, False), (x, TABLE)),
        (LinearHead(config, 2), (x[:, 0],)),
    )
    for head, inputs in heads:
        logits, _ = head.init_with_output(KEY, *inputs)
        assert logits.dtype == jnp.float32
