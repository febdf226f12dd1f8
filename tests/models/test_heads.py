import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import erf

from bert_jax.models.encoder import EncoderConfig
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
    head = MaskedLMHead(SMALL)
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
    head = MaskedLMHead(SMALL)
    params = init(head, X, TABLE)
    gradient = jax.grad(
        lambda table: head.apply({"params": params}, X, table)[..., 3].sum()
    )(TABLE)
    touched = np.abs(gradient).max(-1) > 0
    np.testing.assert_array_equal(touched, np.arange(20) == 3)


def test_the_pooler_is_tanh_of_a_dense_layer_on_the_first_token():
    pooler = Pooler(SMALL)
    params = init(pooler, X)
    assert jax.tree.map(jnp.shape, params) == {"kernel": (8, 8), "bias": (8,)}
    expected = np.tanh(X[:, 0] @ params["kernel"] + params["bias"][None])
    np.testing.assert_allclose(pooler.apply({"params": params}, X), expected, rtol=1e-5)


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
    heads = (MaskedLMHead(config), (x, TABLE)), (LinearHead(config, 2), (x[:, 0],))
    for head, inputs in heads:
        logits, _ = head.init_with_output(KEY, *inputs)
        assert logits.dtype == jnp.float32
