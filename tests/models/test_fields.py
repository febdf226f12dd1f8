"""The fields that families differ in: sharing, biases, norms, positions, windows."""

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.models import layers, ops, positions
from bert_jax.models.encoder import Mlp
from bert_jax.run import rules
from tests.models.test_encoder import (
    IDS,
    KEY,
    LENGTHS,
    SMALL,
    Model,
    apply,
    params,
    paths,
)

DEEP = dataclasses.replace(SMALL, num_layers=4)
ROTARY = dataclasses.replace(DEEP, positions="rotary", norm="pre_embed", bias="none")
GATED = dataclasses.replace(ROTARY, activation="geglu", num_types=0, window=4)
NEW = {
    "gated_local": GATED,
    "shared": dataclasses.replace(DEEP, share="all", embed_dim=6),
    "alibi": dataclasses.replace(SMALL, positions="alibi", norm="pre_rms"),
    "no_positions": dataclasses.replace(SMALL, positions="none", activation="relu"),
}


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_the_rules_know_the_gates_and_which_layers_are_global():
    assert rules.GATED == layers.GATED
    assert rules.GLOBAL_EVERY == layers.GLOBAL_EVERY
    assert set(layers.ACTIVATIONS) == set(rules.CHOICES["model.activation"])


# ---- parameters


def test_all_layers_share_one_block():
    shared, alone = params(NEW["shared"]), params(DEEP)
    assert [k for k in shared["encoder"] if k.startswith("block")] == ["block_00"]
    block = count(alone["encoder"]["block_00"])
    assert count(shared["encoder"]["block_00"]) == block
    assert shared["encoder"]["embeddings"]["project"]["kernel"].shape == (6, 16)


@pytest.mark.parametrize("part", ["attention", "mlp"])
def test_layers_share_their_attention_or_their_mlp(part):
    tree = params(dataclasses.replace(DEEP, share=part))["encoder"]
    assert part in tree
    assert all(part not in tree[f"block_{layer:02d}"] for layer in range(4))
    other = {"attention": "mlp", "mlp": "attention"}[part]
    assert all(other in tree[f"block_{layer:02d}"] for layer in range(4))


def test_gradients_of_shared_layers_are_summed():
    """Of one block in place of four: the sum over copies with equal values."""
    config = dataclasses.replace(DEEP, share="all")
    shared = params(config)
    copies = {f"block_{layer:02d}": shared["encoder"]["block_00"] for layer in range(4)}
    alone = {"encoder": {**shared["encoder"], **copies}}

    def total(config, tree):
        types = jnp.zeros_like(IDS)
        return Model(config).apply({"params": tree}, IDS, types, LENGTHS).sum()

    one = jax.jit(jax.grad(lambda tree: total(config, tree)))(shared)["encoder"]
    four = jax.jit(jax.grad(lambda tree: total(DEEP, tree)))(alone)["encoder"]
    summed = jax.tree.map(lambda *leaves: sum(leaves), *(four[name] for name in copies))
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4),
        one["block_00"],
        summed,
    )


def test_biases_are_left_out_of_dense_layers_and_of_norms():
    none = paths(params(dataclasses.replace(SMALL, bias="none")))
    norms = paths(params(dataclasses.replace(SMALL, bias="norms")))
    assert not any(path.endswith("bias") for path in none)
    biased = {path for path in norms if path.endswith("bias")}
    assert biased and all("norm" in path for path in biased)


def test_the_first_block_of_normed_embeddings_has_no_attention_norm():
    tree = params(ROTARY)["encoder"]
    assert "attention_norm" not in tree["block_00"]
    assert "attention_norm" in tree["block_01"]
    assert {"final_norm"} <= tree.keys() and "norm" in tree["embeddings"]


def test_what_adds_to_the_residual_starts_smaller_with_normed_embeddings():
    tree = params(dataclasses.replace(ROTARY, model_dim=64, mlp_dim=128))["encoder"]
    block = tree["block_01"]
    ratio = block["mlp"]["down"]["kernel"].std() / block["mlp"]["up"]["kernel"].std()
    assert ratio == pytest.approx(8**-0.5, rel=0.05)


def test_a_gate_multiplies_the_activation():
    config = dataclasses.replace(SMALL, activation="swiglu")
    mlp = params(config)["encoder"]["block_00"]["mlp"]
    assert set(mlp) == {"up", "gate", "down"}
    x = jax.random.normal(KEY, (1, 3, 16))
    found = Mlp(config).apply({"params": mlp}, x, None)

    def dense(name, x):
        return x @ mlp[name]["kernel"] + mlp[name]["bias"][None, None]

    expected = dense("down", nn.silu(dense("up", x)) * dense("gate", x))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_without_types_both_texts_are_alike():
    config = dataclasses.replace(SMALL, num_types=0)
    assert "type" not in params(config)["encoder"]["embeddings"]
    one = apply(config, types=jnp.zeros_like(IDS))
    np.testing.assert_array_equal(one, apply(config, types=jnp.ones_like(IDS)))


# ---- what is computed


def test_rotary_turns_pairs_by_hand():
    x = jnp.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 1, 4)
    found = positions.rotary(x, jnp.array([2]), 100.0).ravel()
    angles = [2.0, 2.0 / 10]  # 100^0, 100^(-1/2)
    expected = [
        1 * math.cos(angles[0]) - 3 * math.sin(angles[0]),
        2 * math.cos(angles[1]) - 4 * math.sin(angles[1]),
        3 * math.cos(angles[0]) + 1 * math.sin(angles[0]),
        4 * math.cos(angles[1]) + 2 * math.sin(angles[1]),
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_rotary_scores_depend_on_distance_alone():
    query, key = (jax.random.normal(KEY, (1, 1, 1, 8)) + i for i in range(2))
    scores = [
        jnp.sum(
            positions.rotary(query, jnp.array([place]), 1e4)
            * positions.rotary(key, jnp.array([place + 5]), 1e4)
        )
        for place in (0, 3, 90)
    ]
    np.testing.assert_allclose(scores, scores[0], rtol=1e-4)


def test_slopes_of_alibi_by_hand():
    np.testing.assert_allclose(positions.slopes(8), 0.5 ** np.arange(1, 9))


@pytest.mark.parametrize("window, slopes", [(2, None), (0, np.array([0.5, 0.25]))])
def test_windows_and_slopes_by_a_plain_softmax(window, slopes):
    heads = [jax.random.normal(key, (2, 5, 2, 4)) for key in jax.random.split(KEY, 3)]
    lengths = jnp.array([5, 3])
    _, weights = ops.attention(
        *heads,
        lengths=lengths,
        causal=False,
        window=window,
        slopes=slopes,
        first=0,
        rate=0.0,
        keys=None,
        record=True,
    )
    query, key = (np.asarray(x).swapaxes(1, 2) for x in heads[:2])
    scores = query @ key.swapaxes(2, 3) / 2
    distance = np.abs(np.arange(5)[:, None] - np.arange(5)[None])
    if slopes is not None:
        scores = scores - slopes[None, :, None, None] * distance
    visible = np.arange(5)[None, None, None] < np.asarray(lengths)[:, None, None, None]
    if window:
        visible = visible & (distance <= window // 2)[None, None]
    scores = np.where(visible, scores, -np.inf)
    reachable = visible.any(-1, keepdims=True)
    odds = np.exp(scores - np.where(reachable, scores.max(-1, keepdims=True), 0))
    expected = odds / np.where(reachable, odds.sum(-1, keepdims=True), 1)
    seen = np.broadcast_to(reachable, expected.shape)
    np.testing.assert_allclose(np.asarray(weights)[seen], expected[seen], atol=1e-6)


def test_a_local_layer_sees_its_window_and_each_third_layer_all():
    assert [GATED.is_local(layer) for layer in range(7)] == [
        False,
        *(True, True, False),
        *(True, True, False),
    ]
    _, sown = apply(GATED, lengths=jnp.array([12, 12, 12]), mutable="attention")
    blocks = sown["attention"]["encoder"]
    distance = np.abs(np.arange(12)[:, None] - np.arange(12)[None])
    for layer in range(4):
        weights = blocks[f"block_{layer:02d}"]["attention"]["weights"][0]
        far = np.asarray(weights)[:, :, distance > 2]
        assert (far == 0).all() == GATED.is_local(layer)


@pytest.mark.parametrize("name", NEW)
def test_padding_changes_no_text(name):
    config = NEW[name]
    changed = jnp.where(jnp.arange(12)[None] < LENGTHS[:, None], IDS, 7)
    one, two = apply(config), apply(config, ids=changed)
    inside = np.arange(12)[None] < np.asarray(LENGTHS)[:, None]
    np.testing.assert_allclose(
        np.asarray(one)[inside], np.asarray(two)[inside], atol=1e-5
    )


@pytest.mark.parametrize("name", ["gated_local", "shared"])
def test_rematerialising_changes_nothing(name):
    config = NEW[name]
    rows = jnp.arange(3)
    plain = apply(config, rows=rows)
    for remat in ("dots", "full"):
        again = apply(dataclasses.replace(config, remat=remat), rows=rows)
        np.testing.assert_allclose(plain, again, rtol=1e-5, atol=1e-5)


def test_shared_layers_drop_other_entries_each():
    config = dataclasses.replace(
        NEW["shared"], dropout=0.5, attention_dropout=0.0, num_layers=2
    )
    _, sown = apply(config, rows=jnp.arange(3), mutable="hidden")
    states = sown["hidden"]["encoder"]["states"]
    assert len(states) == 3
    assert not np.allclose(states[1], states[2])
