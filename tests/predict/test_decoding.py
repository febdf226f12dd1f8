"""Logits with a cache of keys and values against those without."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.models import network as networks
from bert_jax.models.layers import EncoderConfig
from bert_jax.models.network import Network, Readout
from bert_jax.predict import decoding
from bert_jax.predict.decoding import CachedReader
from configs import base

SHAPES = {
    "gpt2": {"norm": "pre", "activation": "gelu_tanh", "num_types": 0},
    "rotary": {"positions": "rotary", "norm": "pre_rms", "activation": "swiglu"},
    "window": {"positions": "rotary", "window": 4, "norm": "pre_embed"},
    "alibi": {"positions": "alibi"},
    "sinusoidal": {"positions": "sinusoidal", "embed_dim": 6},
    "shared": {"share": "all"},
}


class Toy:
    """As much of a model as a reader of texts needs."""

    def __init__(self, changes):
        model = base.get_config().model
        model.update(vocab_size=31, num_layers=4, model_dim=16, num_heads=2, mlp_dim=24)
        model.update(max_length=20, attention="causal", init_stddev=0.3)
        model.update(changes)
        features = Readout("last", "last", "transform", "tanh")
        self.network = Network(EncoderConfig(**model), ("mlm_head",), 0, features)
        self.params = networks.init(self.network, jax.random.key(0))
        self.tokenizer = type("Words", (), {"cls_id": 2, "pad_id": 0})()

    def outputs(self, names, batch):
        batch = jax.tree.map(jnp.asarray, batch)
        found = self.network.apply({"params": self.params}, batch, None)
        return {name: np.asarray(found[name]) for name in names}


@pytest.mark.parametrize("name", SHAPES)
def test_a_cache_changes_no_logits(name):
    """Beyond the width too, where the text is read anew."""
    model, width = Toy(SHAPES[name]), 14
    reader, ids = CachedReader(model, width), [5, 9, 11]
    for _ in range(14):
        plain = decoding.next_logits(model, ids, width)
        np.testing.assert_allclose(reader.next_logits(ids), plain, atol=1e-4)
        ids.append(3 + int(plain.argmax()) % 28)


def test_another_text_is_read_anew():
    model = Toy(SHAPES["gpt2"])
    reader = CachedReader(model, 14)
    reader.next_logits([5, 9, 11])
    for ids in ([7, 9, 11, 12], [7, 9], [7, 9], [7, 9, 3, 4, 5]):
        plain = decoding.next_logits(model, ids, 14)
        np.testing.assert_allclose(reader.next_logits(ids), plain, atol=1e-4)
