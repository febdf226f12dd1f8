"""What the heads of tasks read: layers and tokens, against the recorded states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.models import network as networks
from bert_jax.models.layers import EncoderConfig
from bert_jax.models.network import Network, Readout
from configs import base

WIDTH, LAYERS, DIM = 7, 4, 8
ENCODER = EncoderConfig(
    **base.get_config().model.to_dict()
    | {"vocab_size": 20, "num_layers": LAYERS, "model_dim": DIM, "num_heads": 2}
    | {"mlp_dim": 16, "max_length": WIDTH, "init_stddev": 0.5, "norm": "pre"}
)
LENGTHS = np.array([7, 3, 1])
DRAW = np.random.default_rng(0)
BATCH = {
    "ids": DRAW.integers(5, 20, (3, WIDTH)),
    "types": np.zeros((3, WIDTH), int),
    "lengths": LENGTHS,
}


def outputs_of(layers: str, pool: str, batch=BATCH, heads=("classify_head",)):
    """What the network says, and its parameters, as numpy."""
    network = Network(ENCODER, heads, 3, Readout(layers, pool, "transform", "tanh"))
    params = networks.init(network, jax.random.key(0))
    batch = {name: jnp.asarray(array) for name, array in batch.items()}
    outputs = networks.predict(network, params, batch)
    return jax.tree.map(np.asarray, outputs), jax.tree.map(np.asarray, params)


def test_the_last_four_layers_stand_side_by_side():
    """The last of them as the encoder gives it: of `pre`, with the final norm."""
    outputs, params = outputs_of("last_4", "mean", heads=("tag_head",))
    expected = np.concatenate([*outputs["states"][-4:-1], outputs["hidden"]], axis=-1)
    np.testing.assert_array_equal(outputs["features"], expected)
    assert params["tag_head"]["kernel"].shape == (4 * DIM, 3)
    logits = expected @ params["tag_head"]["kernel"] + params["tag_head"]["bias"]
    np.testing.assert_allclose(outputs["tag_logits"], logits, atol=1e-5)


@pytest.mark.parametrize("layer", range(LAYERS))
def test_a_number_picks_that_layer_from_the_embeddings_on(layer):
    outputs, _ = outputs_of(str(layer), "first")
    np.testing.assert_array_equal(outputs["features"], outputs["states"][layer])
    np.testing.assert_array_equal(outputs["pooled"], outputs["states"][layer][:, 0])


def test_the_number_of_the_last_layer_is_the_last_layer():
    by_name, _ = outputs_of("last", "first")
    by_number, _ = outputs_of(str(LAYERS), "first")
    np.testing.assert_array_equal(by_name["features"], by_number["features"])
    np.testing.assert_array_equal(by_name["features"], by_name["hidden"])


@pytest.mark.parametrize("pool", ["first", "last", "mean"])
def test_a_text_is_the_first_the_last_or_the_mean_of_its_own_tokens(pool):
    outputs, _ = outputs_of("last", pool)
    features = np.asarray(outputs["features"])
    rows = [features[row, :length] for row, length in enumerate(LENGTHS)]
    expected = {
        "first": [row[0] for row in rows],
        "last": [row[-1] for row in rows],
        "mean": [row.mean(0) for row in rows],
    }
    np.testing.assert_allclose(outputs["pooled"], expected[pool], atol=1e-6)


@pytest.mark.parametrize("pool", ["first", "last", "mean"])
def test_what_stands_in_the_padding_changes_no_text(pool):
    padding = np.arange(WIDTH)[None] >= LENGTHS[:, None]
    changed = BATCH | {"ids": np.where(padding, 6, BATCH["ids"])}
    one, two = (outputs_of("last", pool, batch)[0] for batch in (BATCH, changed))
    assert not np.array_equal(one["features"], two["features"])
    np.testing.assert_allclose(
        one["classify_logits"], two["classify_logits"], atol=1e-6
    )


def test_the_pooler_reads_the_last_layer_as_in_pretraining():
    outputs, params = outputs_of("last", "pooler", heads=("pooler", "classify_head"))
    first, pooler = outputs["hidden"][:, 0], params["pooler"]
    expected = np.tanh(first @ pooler["kernel"] + pooler["bias"])
    np.testing.assert_allclose(outputs["pooled"], expected, atol=1e-5)


def test_parameters_tell_the_network_that_they_belong_to():
    network = Network(
        ENCODER, ("tag_head",), 6, Readout("last_4", "first", "transform", "tanh")
    )
    assert networks.of_params(ENCODER, networks.shapes(network), network.features) == (
        network
    )
