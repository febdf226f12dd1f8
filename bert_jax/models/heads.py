"""What reads the encoder's output: the masked-LM head, the pooler, linear heads."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from bert_jax.models import ops
from bert_jax.models.encoder import Dense, EncoderConfig, activation, layer_norm


class MaskedLMHead(nn.Module):
    """Logits over the vocabulary: dense, GELU, LayerNorm, tied decoder.

    The decoder is the token table (Press & Wolf 2017) with a bias of its own.
    """

    config: EncoderConfig

    @nn.compact
    def __call__(
        self, x: Float[Array, "B P D"], table: Float[Array, "V D"]
    ) -> Float[Array, "B P V"]:
        config = self.config
        x = activation(config, Dense(config, config.model_dim, name="transform")(x))
        x = layer_norm(config, "norm")(x)
        bias = self.param("bias", nn.initializers.zeros, (table.shape[0],))
        return ops.add(ops.decode(x, table), bias)


class Pooler(nn.Module):
    """One vector a sequence: dense and tanh of its first token."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B D"]:
        layer = Dense(self.config, self.config.model_dim)
        nn.share_scope(self, layer)
        return jnp.tanh(layer(x[:, 0]))


class LinearHead(nn.Module):
    """Logits by one dense layer (Devlin et al. 2019, sections 3.1 and 4)."""

    config: EncoderConfig
    size: int

    @nn.compact
    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B C"]:
        layer = Dense(self.config, self.size)
        nn.share_scope(self, layer)
        return layer(x).astype(jnp.float32)
