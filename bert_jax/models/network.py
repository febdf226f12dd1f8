"""The encoder with any of the heads: what training, prediction and exchange share.

Sections are those of Devlin et al. 2019.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bert_jax.models import ops
from bert_jax.models.encoder import Encoder
from bert_jax.models.layers import (
    Dense,
    EncoderConfig,
    activation,
    layer_norm,
    row_keys,
)


class Linear(NamedTuple):
    """A head of one dense layer: what it reads, after dropout or not, and its size."""

    reads: str
    dropped: bool
    size: int  # 0 is that of the classes


LINEAR = {
    "pair_head": Linear("pooled", False, 2),  # follows, does not (section 3.1)
    "classify_head": Linear("pooled", True, 0),  # a text or a pair of them (4.1)
    "choice_head": Linear("pooled", True, 1),  # how well one answer fits (4.4)
    "tag_head": Linear("features", True, 0),  # each token (5.3)
    "span_head": Linear("features", False, 2),  # an answer starts, ends here (4.2)
}
HEADS = ("mlm_head", "rtd_head", "pooler", *LINEAR)
SIZED = {name for name, head in LINEAR.items() if not head.size}
POOLERS = {"tanh": jnp.tanh, "gelu": ops.gelu, "relu": nn.relu}
SOWN = {"attention": "attention", "states": "hidden"}  # a prediction: its collection


class Readout(NamedTuple):
    """Inputs of the heads (section 5.3 compares layers), and their form.

    layers: "last", the "last_4" side by side, or the number of one, of the embeddings 0.
    pool: how its tokens become the vector of a text where there is no pooler: by the
        "first", the "last" or the "mean".
    head: of the language model, "transform" or "plain", which is the token table alone.
    pooler: its activation, or "head": a dense layer, the encoder's activation and a
        norm, which any task head reads, over the tokens or the vector of `pool`.
    """

    layers: str
    pool: str
    head: str
    pooler: str

    @classmethod
    def of(cls, objective: Any) -> "Readout":
        """The readout of config.objective."""
        return cls(*(getattr(objective, field) for field in cls._fields))


PRETRAINING = Readout("last", "pooler", "transform", "tanh")  # BERT's own


class MaskedLMHead(nn.Module):
    """Logits over the vocabulary: dense, GELU, LayerNorm, tied decoder.

    The decoder is the token table (Press & Wolf 2017) with a bias of its own. A plain
    head is that table alone, without parameters.
    """

    config: EncoderConfig
    plain: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "B P D"], table: Float[Array, "V E"]
    ) -> Float[Array, "B P V"]:
        config = self.config
        if self.plain:
            return ops.decode(x, table)
        x = activation(config, Dense(config, config.embed_dim, name="transform")(x))
        x = layer_norm(config, "norm")(x)
        bias = self.param("bias", nn.initializers.zeros, (table.shape[0],))
        return ops.add(ops.decode(x, table), bias)


class ReplacedTokenHead(nn.Module):
    """The logit that a token is not the original one (Clark et al. 2020, section 3)."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T"]:
        config = self.config
        x = activation(config, Dense(config, config.model_dim, name="dense")(x))
        logits = Dense(config, 1, biased=True, name="out")(x)
        return logits[..., 0].astype(jnp.float32)


class Pooler(nn.Module):
    """Dense layer and an activation, or with `head` that of the encoder and a norm."""

    config: EncoderConfig
    kind: str

    @nn.compact
    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        config, is_head = self.config, self.kind == "head"
        layer = Dense(config, config.model_dim, biased=not is_head)
        nn.share_scope(self, layer)
        if is_head:
            return layer_norm(config, "norm")(activation(config, layer(x)))
        return POOLERS[self.kind](layer(x))


class LinearHead(nn.Module):
    """Logits by one dense layer (Devlin et al. 2019, sections 3.1 and 4)."""

    config: EncoderConfig
    size: int

    @nn.compact
    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B C"]:
        layer = Dense(self.config, self.size, biased=True)
        nn.share_scope(self, layer)
        return layer(x).astype(jnp.float32)


class Network(nn.Module):
    """An encoder and the heads named, each a group of parameters under its name.

    `classes` is the size of classify_head or tag_head, of no meaning without them.
    """

    config: EncoderConfig
    heads: tuple[str, ...]
    classes: int
    features: Readout

    def setup(self):
        self.encoder = Encoder(self.config)
        if "mlm_head" in self.heads:
            plain = self.features.head == "plain"
            self.mlm_head = MaskedLMHead(self.config, plain)
        if "rtd_head" in self.heads:
            self.rtd_head = ReplacedTokenHead(self.config)
        if "pooler" in self.heads:
            self.pooler = Pooler(self.config, self.features.pooler)
        for name, head in LINEAR.items():
            if name in self.heads:
                setattr(self, name, LinearHead(self.config, head.size or self.classes))

    def __call__(
        self, batch: Mapping[str, Any], rows: Int[Array, "B"] | None
    ) -> dict[str, Float[Array, "..."]]:
        """`hidden`, `features`, `pooled`, and the logits of each head by name.

        `logits` are those of the vocabulary at batch["positions"], if it has any.
        """
        lengths = batch["lengths"]
        states, table = self.encoder.layers(batch["ids"], batch["types"], lengths, rows)
        hidden, features = states[-1], chosen(states, self.features.layers)
        outputs = {"hidden": hidden, "features": features}
        if "mlm_head" in self.heads and "positions" in batch:
            predicted = ops.gather(hidden, batch["positions"])
            outputs["logits"] = self.mlm_head(predicted, table)
        if "rtd_head" in self.heads:
            outputs["rtd_logits"] = self.rtd_head(hidden)
        outputs["pooled"] = pooled(features, lengths, self.features.pool)
        if "pooler" in self.heads and self.features.pooler == "head":
            outputs["features"] = self.pooler(features)
            outputs["pooled"] = self.pooler(outputs["pooled"])
        elif "pooler" in self.heads:
            outputs["pooled"] = self.pooler(hidden[:, 0])
        for name, head in LINEAR.items():
            if name in self.heads:
                x = outputs[head.reads]
                if head.dropped:
                    x = ops.dropout(x, self.config.dropout, row_keys(self, rows))
                outputs[logits_of(name)] = getattr(self, name)(x)
        return outputs


def chosen(states: list[Float[Array, "B T D"]], layers: str) -> Float[Array, "B T E"]:
    """The layers that `Features` names, E = 4 D wide where they are four."""
    match layers:
        case "last":
            return states[-1]
        case "last_4":
            return jnp.concatenate(states[-4:], axis=-1)
        case _:
            return states[int(layers)]


def pooled(
    features: Float[Array, "B T E"], lengths: Int[Array, "B"], pool: str
) -> Float[Array, "B E"]:
    """The first token's vector of each row, the last one's, or the mean of all."""
    places = jnp.arange(features.shape[1])[None]
    match pool:
        case "last":
            weights = places == lengths[:, None] - 1
        case "mean":
            weights = (places < lengths[:, None]) / lengths[:, None]
        case _:
            return features[:, 0]
    return jnp.einsum("BT,BTE->BE", weights.astype(features.dtype), features)


def logits_of(head: str) -> str:
    """The name of a linear head's output: pair_head gives pair_logits."""
    return head.replace("_head", "_logits")


def init(network: Network, key: Any) -> Any:
    """The parameters of step 0."""
    one = jnp.ones((1, 1), jnp.int32)
    batch = {"ids": one, "types": one, "lengths": one[0], "positions": one - 1}
    return network.init(key, batch, None)["params"]


def shapes(network: Network) -> Any:
    """The tree of its parameters, shapes and types for arrays."""
    return jax.eval_shape(partial(init, network), jax.random.key(0))


def predict(network: Network, params: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs of a call without dropout, and those that the encoder sows: all
    `states` and `attention`."""
    outputs, sown = network.apply(
        {"params": params}, batch, None, mutable=list(SOWN.values())
    )
    return outputs | {
        prediction: jax.tree.leaves(sown[collection])
        for prediction, collection in SOWN.items()
    }


def empty_cache(config: EncoderConfig, rows: int, width: int) -> dict[str, Any]:
    """A cache of the keys and values of so many rows and tokens, none of them read.

    Layers must not share their attention.
    """
    shape = (rows, width, config.num_heads, config.head_dim)
    none, zero = jnp.zeros(shape, config.dtype), jnp.zeros((), jnp.int32)
    attention = {"attention": {"key": none, "value": none, "index": zero}}
    blocks = {f"block_{layer:02d}": attention for layer in range(config.num_layers)}
    return {"encoder": {"embeddings": {"index": zero}, **blocks}}


def decode(
    network: Network, params: Any, cache: Any, batch: Mapping[str, Any]
) -> tuple[Float[Array, "B P V"], Any]:
    """The logits at batch["positions"] of tokens that follow those of the cache, and the
    cache with them. batch["lengths"] counts all."""
    outputs, changed = network.apply(
        {"params": params, "cache": cache}, batch, None, mutable=["cache"]
    )
    return outputs["logits"], changed["cache"]


def of_params(
    config: EncoderConfig, params: Mapping[str, Any], features: Readout
) -> Network:
    """The network that these parameters, or their shapes, belong to.

    A plain head of the language model has none: it is there unless a task's head is.
    """
    groups = set(params)
    if features.head == "plain" and not groups & LINEAR.keys():
        groups.add("mlm_head")
    heads = tuple(name for name in HEADS if name in groups)
    classes = [params[name]["bias"].shape[0] for name in heads if name in SIZED]
    return Network(config, heads, max(classes, default=0), features)
