"""The shape of an encoder, and the layers that its parts and its heads are made of."""

from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax
from jaxtyping import Array, Float, Int, Key

from bert_jax.models import ops

GATED = ("geglu", "geglu_tanh", "swiglu")
GLOBAL_EVERY = 3  # with a window, layers 0, 3, 6, ... see all (ModernBERT)
ACTIVATIONS = {
    "gelu": ops.gelu,
    "gelu_tanh": nn.gelu,
    "relu": nn.relu,
    "geglu": ops.gelu,
    "geglu_tanh": nn.gelu,
    "swiglu": nn.silu,
}


@dataclass(frozen=True)
class EncoderConfig:
    """The shape of an encoder; `configs/base.py` explains each field, and `run.rules`
    has its range and choices."""

    vocab_size: int
    num_layers: int
    model_dim: int
    embed_dim: int
    num_heads: int
    mlp_dim: int
    max_length: int
    num_types: int
    norm: str
    norm_epsilon: float
    bias: str
    share: str
    positions: str
    rotary_base: float
    attention: str
    window: int
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
        object.__setattr__(self, "embed_dim", self.embed_dim or self.model_dim)

    @property
    def head_dim(self) -> int:
        return self.model_dim // self.num_heads

    def is_local(self, layer: int) -> bool:
        """Whether a layer sees its window alone."""
        return self.window > 0 and layer % GLOBAL_EVERY > 0


def initializer(config: EncoderConfig) -> nn.initializers.Initializer:
    """A normal cut at two sigma, its variance uncorrected: the original's.

    Devlin et al. 2019 used `tf.truncated_normal_initializer(0.02)`, whose samples
    have a standard deviation of 0.88 * 0.02.
    """
    return nn.initializers.truncated_normal(config.init_stddev)


def residual_initializer(config: EncoderConfig) -> nn.initializers.Initializer:
    """The initializer of what a block adds to the residual.

    ModernBERT (Warner et al. 2024, appendix A) divides it by sqrt(2 L), as GPT-2 does
    (Radford et al. 2019, section 2.3); here `pre_embed` alone, so that runs of the
    other norms keep their numbers.
    """
    if config.norm != "pre_embed":
        return initializer(config)
    scale = (2 * config.num_layers) ** -0.5
    return nn.initializers.truncated_normal(config.init_stddev * scale)


class Dense(nn.Module):
    """A matrix and, if the config or `biased` says so, a bias, multiplied and added by
    `ops` in the type of the config."""

    config: EncoderConfig
    features: int
    biased: bool = False  # whatever the config says
    residual: bool = False  # whether the result is added to a residual

    @nn.compact
    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B F"]:
        dtype, shape = self.config.dtype, (x.shape[-1], self.features)
        drawn = residual_initializer if self.residual else initializer
        kernel = self.param("kernel", drawn(self.config), shape)
        x = ops.dot(x.astype(dtype), kernel.astype(dtype), axis=0, dtype=dtype)
        if self.config.bias != "all" and not self.biased:
            return x
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return ops.add(x, bias.astype(dtype))


def layer_norm(config: EncoderConfig, name: str) -> nn.LayerNorm | nn.RMSNorm:
    """LayerNorm (Ba et al. 2016) or, with `pre_rms`, RMSNorm (Zhang & Sennrich 2019),
    its statistics always in float32."""
    if config.norm == "pre_rms":
        return nn.RMSNorm(config.norm_epsilon, dtype=config.dtype, name=name)
    return nn.LayerNorm(
        config.norm_epsilon,
        dtype=config.dtype,
        use_bias=config.bias != "none",
        name=name,
    )


def activation(config: EncoderConfig, x: Float[Array, "*x"]) -> Float[Array, "*x"]:
    """GELU (Hendrycks & Gimpel 2016), by erf or by its tanh approximation, ReLU, or
    that which gates a GLU (Shazeer 2020, section 2)."""
    return ACTIVATIONS[config.activation](x)


def row_keys(site: nn.Module, rows: Int[Array, "B"] | None) -> Key[Array, "B"] | None:
    """A dropout key for each row of the global batch, its own at every site."""
    if rows is None:
        return None
    return jax.vmap(partial(jax.random.fold_in, site.make_rng("dropout")))(rows)


class Table(nn.Module):
    """An embedding; how to look its vectors up is left to the caller."""

    size: int
    config: EncoderConfig

    @nn.compact
    def __call__(self) -> Float[Array, "size E"]:
        shape = (self.size, self.config.embed_dim)
        return self.param("embedding", initializer(self.config), shape)
