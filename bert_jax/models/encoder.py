"""The Transformer encoder of BERT and of the families that are configs of it."""

from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from bert_jax.models import ops


@dataclass(frozen=True)
class EncoderConfig:
    """The shape of an encoder; `configs/base.py` explains each field, and `run.rules`
    has its range and choices."""

    vocab_size: int
    num_layers: int
    model_dim: int
    num_heads: int
    mlp_dim: int
    max_length: int
    num_types: int
    norm: str
    norm_epsilon: float
    positions: str
    attention: str
    activation: str
    dropout: float
    attention_dropout: float
    init_stddev: float
    dtype: str
    remat: str

    def __post_init__(self):
        if self.model_dim % self.num_heads:
            raise ValueError(
                f"model.model_dim is {self.model_dim}; it must be a multiple of "
                f"model.num_heads, {self.num_heads}"
            )

    @property
    def head_dim(self) -> int:
        return self.model_dim // self.num_heads


def initializer(config: EncoderConfig) -> nn.initializers.Initializer:
    """A normal cut at two sigma, its variance uncorrected: the original's.

    Devlin et al. 2019 used `tf.truncated_normal_initializer(0.02)`, whose samples
    have a standard deviation of 0.88 * 0.02.
    """
    return nn.initializers.truncated_normal(config.init_stddev)


class Dense(nn.Module):
    """A matrix and a bias, multiplied and added by `ops` in the type of the config."""

    config: EncoderConfig
    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B F"]:
        dtype, shape = self.config.dtype, (x.shape[-1], self.features)
        kernel = self.param("kernel", initializer(self.config), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = (array.astype(dtype) for array in (x, kernel, bias))
        return ops.add(ops.dot(x, kernel, axis=0, dtype=dtype), bias)


def layer_norm(config: EncoderConfig, name: str) -> nn.LayerNorm:
    """LayerNorm (Ba et al. 2016), its statistics always in float32."""
    return nn.LayerNorm(config.norm_epsilon, dtype=config.dtype, name=name)


def activation(config: EncoderConfig, x: Float[Array, "*x"]) -> Float[Array, "*x"]:
    """GELU (Hendrycks & Gimpel 2016): by erf, or by its tanh approximation."""
    return nn.gelu(x) if config.activation == "gelu_tanh" else ops.gelu(x)


def row_keys(site: nn.Module, rows: Int[Array, "B"] | None) -> Key[Array, "B"] | None:
    """A dropout key for each row of the global batch, its own at every site."""
    if rows is None:
        return None
    return jax.vmap(partial(jax.random.fold_in, site.make_rng("dropout")))(rows)


def sinusoids(length: int, dim: int) -> np.ndarray:
    """Fixed positions (Vaswani et al. 2017, section 3.5): sine, cosine, sine, ..."""
    column = np.arange(dim)
    angle = np.arange(length)[:, None] / 10_000 ** (column // 2 * 2 / dim)
    return np.where(column % 2, np.cos(angle), np.sin(angle)).astype(np.float32)


class Table(nn.Module):
    """An embedding; how to look its vectors up is left to the caller."""

    size: int
    config: EncoderConfig

    @nn.compact
    def __call__(self) -> Float[Array, "size D"]:
        shape = (self.size, self.config.model_dim)
        return self.param("embedding", initializer(self.config), shape)


class Embeddings(nn.Module):
    """Token + position + type (Devlin et al. 2019, figure 2), summed in float32.

    With sinusoids token vectors are scaled by sqrt(D), lest the sinusoids drown
    them (Vaswani et al. 2017, section 3.4). With `pre` there is no norm here, as in
    Xiong et al. 2020, table 1: the blocks norm what they read.
    """

    config: EncoderConfig

    @nn.compact
    def __call__(
        self,
        ids: Int[Array, "B T"],
        types: Int[Array, "B T"],
        rows: Int[Array, "B"] | None,
    ) -> tuple[Float[Array, "B T D"], Float[Array, "V D"]]:
        """The vectors, and the table of tokens, to which a head may be tied."""
        config, length = self.config, ids.shape[1]
        if length > config.max_length:
            raise ValueError(
                f"{length} tokens do not fit model.max_length, {config.max_length}"
            )
        tokens = Table(config.vocab_size, config, name="token")()
        x = ops.embed(tokens, ids)
        if config.positions == "learned":
            positions = Table(config.max_length, config, name="position")()
            x = ops.add(x, positions[:length])
        else:
            x = x * config.model_dim**0.5 + sinusoids(length, config.model_dim)[None]
        if config.num_types == 1:  # both texts of a pair have it, as in RoBERTa
            types = jnp.zeros_like(types)
        # Among so few rows a product does: no scatter in its gradient.
        x += jnp.einsum(
            "BTK,KD->BTD",
            jax.nn.one_hot(types, config.num_types),
            Table(config.num_types, config, name="type")(),
            precision=jax.lax.Precision.HIGHEST,
        )
        if config.norm == "post":
            x = layer_norm(config, "norm")(x)
        x = x.astype(config.dtype)
        return ops.dropout(x, config.dropout, row_keys(self, rows)), tokens


class SelfAttention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2.2)."""

    config: EncoderConfig

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B T D"],
        lengths: Int[Array, "B"],
        rows: Int[Array, "B"] | None,
    ) -> Float[Array, "B T D"]:
        config = self.config
        heads = (*x.shape[:2], config.num_heads, config.head_dim)
        query, key, value = (
            Dense(config, config.model_dim, name=name)(x).reshape(heads)
            for name in ("query", "key", "value")
        )
        x, weights = ops.attention(
            query,
            key,
            value,
            lengths=lengths,
            causal=config.attention == "causal",
            rate=config.attention_dropout,
            keys=row_keys(self, rows),
            record=recording(self, "attention"),
        )
        if weights is not None:
            self.sow("attention", "weights", weights)
        x = Dense(config, config.model_dim, name="out")(x.reshape(*x.shape[:2], -1))
        return ops.dropout(x, config.dropout, row_keys(self, rows))


class Mlp(nn.Module):
    """Two layers at each position (Vaswani et al. 2017, section 3.3)."""

    config: EncoderConfig

    @nn.compact
    def __call__(
        self, x: Float[Array, "B T D"], rows: Int[Array, "B"] | None
    ) -> Float[Array, "B T D"]:
        config = self.config
        x = activation(config, Dense(config, config.mlp_dim, name="up")(x))
        x = Dense(config, config.model_dim, name="down")(x)
        return ops.dropout(x, config.dropout, row_keys(self, rows))


class Block(nn.Module):
    """Attention and MLP, each with a residual and a norm.

    `post` norms the sum (Vaswani et al. 2017), `pre` norms what each reads and
    leaves the residual alone (Xiong et al. 2020, table 1).
    """

    config: EncoderConfig

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B T D"],
        lengths: Int[Array, "B"],
        rows: Int[Array, "B"] | None,
    ) -> Float[Array, "B T D"]:
        attend = SelfAttention(self.config, name="attention")
        attention_norm = layer_norm(self.config, "attention_norm")
        mlp = Mlp(self.config, name="mlp")
        mlp_norm = layer_norm(self.config, "mlp_norm")
        if self.config.norm == "pre":
            x = x + attend(attention_norm(x), lengths, rows)
            return x + mlp(mlp_norm(x), rows)
        x = attention_norm(x + attend(x, lengths, rows))
        return mlp_norm(x + mlp(x, rows))


class Encoder(nn.Module):
    """Embeddings and a stack of blocks; `pre` norms once more at the end.

    `rows`, the numbers of these rows in the global batch, turn dropout on. Hidden
    states (embeddings, then each block's) and attention weights are sown in the
    collections "hidden" and "attention", for who makes those mutable.
    """

    config: EncoderConfig

    def __call__(
        self,
        ids: Int[Array, "B T"],
        types: Int[Array, "B T"],
        lengths: Int[Array, "B"],
        rows: Int[Array, "B"] | None = None,
    ) -> Float[Array, "B T D"]:
        return self.layers(ids, types, lengths, rows)[0][-1]

    @nn.compact
    def layers(
        self,
        ids: Int[Array, "B T"],
        types: Int[Array, "B T"],
        lengths: Int[Array, "B"],
        rows: Int[Array, "B"] | None,
    ) -> tuple[list[Float[Array, "B T D"]], Float[Array, "V D"]]:
        """The embeddings and each block's output, the last with the final norm; and the
        table of tokens."""
        config, block = self.config, rematerialised(self.config.remat)
        embedded, table = Embeddings(config, name="embeddings")(ids, types, rows)
        states = [embedded]
        self.record(states[-1])
        for layer in range(config.num_layers):
            step = block(config, name=f"block_{layer:02d}")
            states.append(step(states[-1], lengths, rows))
            self.record(states[-1])
        if config.norm == "pre":
            states[-1] = layer_norm(config, "final_norm")(states[-1])
        return states, table

    def record(self, x: Float[Array, "B T D"]) -> None:
        if recording(self, "hidden"):
            self.sow("hidden", "states", x)


def recording(module: nn.Module, collection: str) -> bool:
    """Whether the caller asked for a collection; `init` asks for all, and gets none."""
    return module.is_mutable_collection(collection) and not module.is_initializing()


def rematerialised(policy: str) -> type[nn.Module]:
    """Block, with what its backward pass recomputes: nothing, all but dots, all."""
    match policy:
        case "none":
            return Block
        case "dots":
            saved = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
            return nn.remat(Block, policy=saved)
        case _:
            return nn.remat(Block)
