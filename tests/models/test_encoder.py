import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from bert_jax.models import encoder, layers, positions
from bert_jax.models.encoder import Encoder
from bert_jax.models.layers import EncoderConfig
from configs import base

KEY = jax.random.key(0)
SMALL = EncoderConfig(
    vocab_size=50,
    num_layers=2,
    model_dim=16,
    embed_dim=0,
    num_heads=2,
    mlp_dim=32,
    max_length=12,
    num_types=2,
    norm="post",
    norm_epsilon=1e-12,
    bias="all",
    share="none",
    positions="learned",
    rotary_base=10_000.0,
    attention="bidirectional",
    window=0,
    activation="gelu",
    dropout=0.1,
    attention_dropout=0.1,
    init_stddev=0.5,  # large, so that layers matter
    dtype="float32",
    remat="none",
)
PRE = dataclasses.replace(SMALL, norm="pre", positions="sinusoidal")
CAUSAL = dataclasses.replace(PRE, attention="causal", activation="gelu_tanh")
IDS = jax.random.randint(KEY, (3, 12), 0, 50)
TYPES = jnp.tile(jnp.arange(12) // 6, (3, 1))
LENGTHS = jnp.array([12, 7, 1])


class Model(nn.Module):
    """An encoder under its own name, as objectives build it."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, ids, types, lengths, rows=None):
        return Encoder(self.config, name="encoder")(ids, types, lengths, rows)


@functools.cache
def params(config):
    config = dataclasses.replace(config, remat="none", dtype="float32")
    return jax.jit(Model(config).init)(KEY, IDS, TYPES, LENGTHS)["params"]


@functools.cache
def jitted(config, mutable, dropping):
    rngs = {"dropout": KEY} if dropping else {}
    return jax.jit(functools.partial(Model(config).apply, mutable=mutable, rngs=rngs))


def apply(config, ids=IDS, types=TYPES, lengths=LENGTHS, rows=None, mutable=False):
    """The encoder's output, with dropout if there are rows."""
    run = jitted(config, mutable, rows is not None)
    return run({"params": params(config)}, ids, types, lengths, rows)


def paths(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(k, simple=True, separator="/") for k, _ in leaves}


# ---- the config


def test_the_fields_are_the_keys_of_the_base_config():
    fields = {field.name for field in dataclasses.fields(EncoderConfig)}
    assert fields == set(base.get_config().model)


def test_heads_that_do_not_divide_the_width_are_refused():
    words = "model.model_dim is 16; it must be a multiple of .* 3"
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(SMALL, num_heads=3)


def test_the_head_dimension_divides_the_width():
    assert SMALL.head_dim == 8


# ---- parameters


def test_parameter_paths_are_the_interface():
    block = {
        f"{layer}/{leaf}"
        for layer, leaves in {
            "attention/query": ("kernel", "bias"),
            "attention/key": ("kernel", "bias"),
            "attention/value": ("kernel", "bias"),
            "attention/out": ("kernel", "bias"),
            "attention_norm": ("scale", "bias"),
            "mlp/up": ("kernel", "bias"),
            "mlp/down": ("kernel", "bias"),
            "mlp_norm": ("scale", "bias"),
        }.items()
        for leaf in leaves
    }
    blocks = {f"encoder/block_{i:02d}/{path}" for i in range(2) for path in block}
    tables = {"encoder/embeddings/token/embedding", "encoder/embeddings/type/embedding"}
    assert paths(params(SMALL)) == blocks | tables | {
        "encoder/embeddings/position/embedding",
        "encoder/embeddings/norm/scale",
        "encoder/embeddings/norm/bias",
    }
    assert paths(params(PRE)) == blocks | tables | {
        "encoder/final_norm/scale",
        "encoder/final_norm/bias",
    }


def test_init_returns_parameters_only_all_in_float32():
    config = dataclasses.replace(SMALL, dtype="bfloat16", remat="full")
    shapes = jax.eval_shape(Model(config).init, KEY, IDS, TYPES, LENGTHS)
    assert list(shapes) == ["params"]
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}


def test_weights_start_as_the_originals_uncorrected_truncated_normal():
    config = dataclasses.replace(SMALL, vocab_size=20_000, init_stddev=0.02)
    table = layers.initializer(config)(KEY, (20_000, 16))
    assert np.abs(table).max() <= 0.04
    np.testing.assert_allclose(table.std(), 0.02 * 0.8796, rtol=0.01)


# ---- what is computed


def reference(config, tree, ids, types, length):
    """One row in plain float64 numpy, from the papers' equations."""
    tree = jax.tree.map(lambda x: np.asarray(x, np.float64), tree["encoder"])
    dim, heads = config.model_dim, config.num_heads

    def dense(p, x):
        return x @ p["kernel"] + p["bias"]

    def norm(p, x):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt(x.var(-1, keepdims=True) + 1e-12) * p["scale"] + p["bias"]

    def gelu(x):
        if config.activation == "gelu":
            return x * (1 + erf(x / np.sqrt(2))) / 2
        return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2

    def attend(p, x):
        outs = []
        query, key, value = (dense(p[name], x) for name in ("query", "key", "value"))
        for head in np.split(np.arange(dim), heads):
            scores = query[:, head] @ key[:, head].T / np.sqrt(dim // heads)
            scores[:, length:] = -np.inf
            if config.attention == "causal":
                scores[np.triu_indices(len(x), 1)] = -np.inf
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            outs.append(weights / weights.sum(-1, keepdims=True) @ value[:, head])
        return dense(p["out"], np.concatenate(outs, -1))

    def mlp(p, x):
        return dense(p["down"], gelu(dense(p["up"], x)))

    tables = tree["embeddings"]
    x = tables["token"]["embedding"][ids]
    if config.positions == "learned":
        x = x + tables["position"]["embedding"][: len(ids)]
    else:
        x = x * np.sqrt(dim)
        for position in range(len(ids)):
            for i in range(dim // 2):
                angle = position / 10_000 ** (2 * i / dim)
                x[position, 2 * i] += np.sin(angle)
                x[position, 2 * i + 1] += np.cos(angle)
    x = x + tables["type"]["embedding"][types]
    if config.norm == "post":
        x = norm(tables["norm"], x)
    for name in sorted(name for name in tree if name.startswith("block")):
        p = tree[name]
        if config.norm == "post":
            x = norm(p["attention_norm"], x + attend(p["attention"], x))
            x = norm(p["mlp_norm"], x + mlp(p["mlp"], x))
        else:
            x = x + attend(p["attention"], norm(p["attention_norm"], x))
            x = x + mlp(p["mlp"], norm(p["mlp_norm"], x))
    return x if config.norm == "post" else norm(tree["final_norm"], x)


@pytest.mark.parametrize("config", [SMALL, PRE, CAUSAL], ids=["bert", "pre", "causal"])
def test_the_encoder_is_the_papers_equations(config):
    out = apply(config)
    for row, length in enumerate(LENGTHS):
        ids, types = np.asarray(IDS[row]), np.asarray(TYPES[row])
        expected = reference(config, params(config), ids, types, int(length))
        np.testing.assert_allclose(out[row], expected, atol=2e-5)


def test_sinusoids_alternate_sine_and_cosine():
    expected = [[0, 1, 0, 1], [np.sin(1), np.cos(1), np.sin(0.01), np.cos(0.01)]]
    np.testing.assert_allclose(positions.sinusoids(2, 4), expected, rtol=1e-6)


def test_one_token_type_is_that_of_every_token():
    """FAULTS 35: type 1 has no row of its own then."""
    embeddings = encoder.Embeddings(dataclasses.replace(SMALL, num_types=1))
    variables = embeddings.init(KEY, IDS, TYPES, None)
    paired, _ = embeddings.apply(variables, IDS, TYPES, None)
    alone, _ = embeddings.apply(variables, IDS, jnp.zeros_like(TYPES), None)
    np.testing.assert_array_equal(paired, alone)


def test_more_tokens_than_positions_are_refused():
    ids = jnp.ones((1, 13), jnp.int32)
    with pytest.raises(ValueError, match="13 tokens do not fit model.max_length, 12"):
        apply(SMALL, ids, ids, jnp.array([13]))


@pytest.mark.parametrize("config", [SMALL, PRE, CAUSAL], ids=["bert", "pre", "causal"])
def test_padding_changes_no_output(config):
    padded = apply(config)
    alone = apply(config, IDS[1:2, :7], TYPES[1:2, :7], LENGTHS[1:2])
    np.testing.assert_allclose(alone[0], padded[1, :7], atol=1e-5)


@pytest.mark.parametrize("config", [SMALL, PRE, CAUSAL], ids=["bert", "pre", "causal"])
def test_gradients_show_which_tokens_an_output_sees(config):
    ids, types = jnp.arange(6)[None], jnp.zeros((1, 6), jnp.int32)

    def outputs(table):
        tree = params(config)["encoder"]
        tables = tree["embeddings"] | {"token": {"embedding": table}}
        tree = {"encoder": tree | {"embeddings": tables}}
        out = Model(config).apply({"params": tree}, ids, types, jnp.array([5]))
        return out[0] @ jnp.arange(16.0)  # LayerNorm's plain sum is constant

    table = params(config)["encoder"]["embeddings"]["token"]["embedding"]
    jacobian = jax.jit(jax.jacrev(outputs))(table)
    sees = np.abs(jacobian[:, :6]).max(-1) > 0
    expected = np.tile(np.arange(6) < 5, (6, 1)) | np.eye(6, dtype=bool)
    if config.attention == "causal":
        expected &= np.tri(6, dtype=bool)
    np.testing.assert_array_equal(sees, expected)


def test_bfloat16_computes_near_float32():
    config = dataclasses.replace(SMALL, dtype="bfloat16")
    out = apply(config)
    assert out.dtype == jnp.bfloat16
    assert np.abs(out.astype(jnp.float32) - apply(SMALL)).mean() < 0.02


# ---- what can be asked for


@pytest.mark.parametrize(
    "config",
    [SMALL, dataclasses.replace(CAUSAL, remat="full")],
    ids=["bert", "causal"],
)
def test_asking_for_weights_and_states_changes_no_output(config):
    out, sown = apply(config, mutable=("attention", "hidden"))
    np.testing.assert_array_equal(out, apply(config))
    states = sown["hidden"]["encoder"]["states"]
    assert [state.shape for state in states] == 3 * [(3, 12, 16)]
    if config.norm == "post":
        np.testing.assert_array_equal(states[-1], out)
    for block in ("block_00", "block_01"):
        (weights,) = sown["attention"]["encoder"][block]["attention"]["weights"]
        assert weights.shape == (3, 2, 12, 12)
        np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)
        assert (weights[1, ..., 7:] == 0).all()


# ---- dropout


def test_rows_turn_dropout_on():
    rows = jnp.arange(3)
    np.testing.assert_array_equal(apply(SMALL, rows=rows), apply(SMALL, rows=rows))
    assert not np.allclose(apply(SMALL, rows=rows), apply(SMALL))
    still = dataclasses.replace(SMALL, dropout=0.0, attention_dropout=0.0)
    np.testing.assert_array_equal(apply(still, rows=rows), apply(SMALL))


def test_a_row_drops_the_same_wherever_it_is_placed():
    whole = apply(SMALL, rows=jnp.arange(3))
    picked = jnp.array([2, 0])
    part = apply(SMALL, IDS[picked], TYPES[picked], LENGTHS[picked], picked)
    np.testing.assert_allclose(part, whole[picked], atol=1e-6)


def test_every_site_draws_its_own_bits(monkeypatch):
    drawn, row_keys = [], layers.row_keys

    def kept(*site):
        drawn.append(row_keys(*site))
        return drawn[-1]

    monkeypatch.setattr(encoder, "row_keys", kept)

    @jax.jit
    def keys():
        inputs = {"params": params(SMALL)}, IDS, TYPES, LENGTHS, jnp.arange(3)
        Model(SMALL).apply(*inputs, rngs={"dropout": KEY})
        return jax.random.key_data(jnp.concatenate(drawn))

    data = np.asarray(keys())
    assert len(drawn) == 1 + 2 * 3  # the embeddings; three sites in each block
    assert len(np.unique(data, axis=0)) == len(drawn) * 3


# ---- rematerialisation


ONE_BLOCK = dataclasses.replace(SMALL, num_layers=1)


def grad(remat):
    config = dataclasses.replace(ONE_BLOCK, remat=remat)

    def loss(tree):
        inputs = {"params": tree}, IDS, TYPES, LENGTHS, jnp.arange(3)
        out = Model(config).apply(*inputs, rngs={"dropout": KEY})
        return (out**2 @ jnp.arange(16.0)).sum()

    return jax.grad(loss)


def test_remat_changes_no_gradient():
    plain, dots, full = (
        jax.jit(grad(remat))(params(ONE_BLOCK)) for remat in ("none", "dots", "full")
    )
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-3)
    jax.tree.map(close, dots, plain)
    jax.tree.map(close, full, plain)


def test_remat_recomputes_what_it_says():
    plain, dots, full = (
        str(jax.make_jaxpr(grad(remat))(params(ONE_BLOCK))).count("dot_general[")
        for remat in ("none", "dots", "full")
    )
    assert dots == plain + 2  # the scores and their use
    assert full >= dots + 5  # query, key, value, out, up
