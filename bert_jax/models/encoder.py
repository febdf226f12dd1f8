"""The Transformer encoder of BERT and of the families that are configs of it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bert_jax.models import ops
from bert_jax.models.layers import (
    GATED,
    Dense,
    EncoderConfig,
    Table,
    activation,
    layer_norm,
    row_keys,
)
from bert_jax.models.positions import LOCAL_BASE, rotary, sinusoids, slopes

PRE_NORMS = ("pre", "pre_embed", "pre_rms")
LOCAL = (4,)  # which argument of a Block's call is no array, counted with self


class Embeddings(nn.Module):
    """Token + position + type (Devlin et al. 2019, figure 2), summed in float32, and
    projected from E to D where these differ (Lan et al. 2020, section 3.1).

    With sinusoids token vectors are scaled by sqrt(E), lest the sinusoids drown
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
    ) -> tuple[Float[Array, "B T D"], Float[Array, "V E"]]:
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
            x = ops.add(x, taken(positions, begun(self), length))
        elif config.positions == "sinusoidal":
            positions = jnp.asarray(sinusoids(config.max_length, config.embed_dim))
            positions = taken(positions, begun(self), length)
            x = x * config.embed_dim**0.5 + positions[None]
        if (first := begun(self)) is not None:
            self.put_variable("cache", "index", first + length)
        if config.num_types:
            x += self.type_vectors(types)
        if config.norm in ("post", "pre_embed"):
            x = layer_norm(config, "norm")(x)
        x = ops.dropout(x.astype(config.dtype), config.dropout, row_keys(self, rows))
        if config.embed_dim != config.model_dim:
            x = Dense(config, config.model_dim, name="project")(x)
        return x, tokens

    def type_vectors(self, types: Int[Array, "B T"]) -> Float[Array, "B T E"]:
        """Among so few rows a product does: no scatter in its gradient."""
        count = self.config.num_types
        if count == 1:  # both texts of a pair have it, as in RoBERTa
            types = jnp.zeros_like(types)
        return jnp.einsum(
            "BTK,KE->BTE",
            jax.nn.one_hot(types, count),
            Table(count, self.config, name="type")(),
            precision=jax.lax.Precision.HIGHEST,
        )


class SelfAttention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2.2), of a `local` layer
    within its window."""

    config: EncoderConfig

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B T D"],
        lengths: Int[Array, "B"],
        rows: Int[Array, "B"] | None,
        local: bool,
    ) -> Float[Array, "B T D"]:
        config = self.config
        heads = (*x.shape[:2], config.num_heads, config.head_dim)
        query, key, value = (
            Dense(config, config.model_dim, name=name)(x).reshape(heads)
            for name in ("query", "key", "value")
        )
        first = begun(self)
        if config.positions == "rotary":
            base = LOCAL_BASE if local else config.rotary_base
            places = (0 if first is None else first) + jnp.arange(x.shape[1])
            query, key = rotary(query, places, base), rotary(key, places, base)
        if first is not None:
            key = self.remembered("key", key, first)
            value = self.remembered("value", value, first)
            self.put_variable("cache", "index", first + x.shape[1])
        x, weights = ops.attention(
            query,
            key,
            value,
            lengths=lengths,
            causal=config.attention == "causal",
            window=config.window if local else 0,
            slopes=slopes(config.num_heads) if config.positions == "alibi" else None,
            first=0 if first is None else first,
            rate=config.attention_dropout,
            keys=row_keys(self, rows),
            record=recording(self, "attention"),
        )
        if weights is not None:
            self.sow("attention", "weights", weights)
        out = Dense(config, config.model_dim, residual=True, name="out")
        x = out(x.reshape(*x.shape[:2], -1))
        return ops.dropout(x, config.dropout, row_keys(self, rows))

    def remembered(
        self, name: str, new: Float[Array, "B T N H"], first: Int[Array, ""]
    ) -> Float[Array, "B S N H"]:
        """The keys or values of all tokens so far, of which `new` are the last."""
        array = self.get_variable("cache", name)
        array = jax.lax.dynamic_update_slice(array, new, (0, first, 0, 0))
        self.put_variable("cache", name, array)
        return array


class Mlp(nn.Module):
    """Two layers at each position (Vaswani et al. 2017, section 3.3), the hidden one
    gated where the activation is a GLU (Shazeer 2020)."""

    config: EncoderConfig

    @nn.compact
    def __call__(
        self, x: Float[Array, "B T D"], rows: Int[Array, "B"] | None
    ) -> Float[Array, "B T D"]:
        config = self.config
        hidden = activation(config, Dense(config, config.mlp_dim, name="up")(x))
        if config.activation in GATED:
            hidden *= Dense(config, config.mlp_dim, name="gate")(x)
        x = Dense(config, config.model_dim, residual=True, name="down")(hidden)
        return ops.dropout(x, config.dropout, row_keys(self, rows))


class Block(nn.Module):
    """Attention and MLP, each with a residual and a norm.

    `post` norms the sum (Vaswani et al. 2017); the others norm what each reads and
    leave the residual alone (Xiong et al. 2020, table 1), and the first block of
    `pre_embed` reads normed embeddings as they are (Warner et al. 2024, section 2.1.1).
    shared_attention, shared_mlp: modules of several blocks, None for a block's own.
    """

    config: EncoderConfig
    first: bool
    shared_attention: nn.Module | None
    shared_mlp: nn.Module | None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B T D"],
        lengths: Int[Array, "B"],
        rows: Int[Array, "B"] | None,
        local: bool,
    ) -> Float[Array, "B T D"]:
        config, skips = self.config, self.first and self.config.norm == "pre_embed"
        attend = self.shared_attention or SelfAttention(config, name="attention")
        attention_norm = identity if skips else layer_norm(config, "attention_norm")
        mlp = self.shared_mlp or Mlp(config, name="mlp")
        mlp_norm = layer_norm(config, "mlp_norm")
        if config.norm in PRE_NORMS:
            x = x + attend(attention_norm(x), lengths, rows, local)
            return x + mlp(mlp_norm(x), rows)
        x = attention_norm(x + attend(x, lengths, rows, local))
        return mlp_norm(x + mlp(x, rows))


class Encoder(nn.Module):
    """Embeddings and a stack of blocks, normed once more at the end but with `post`.

    `rows`, the numbers of these rows in the global batch, turn dropout on. Hidden
    states (embeddings, then each block's) and attention weights are sown in the
    collections "hidden" and "attention", for who makes those mutable. With the
    collection "cache" (`network.empty_cache`) a causal stack reads the tokens that
    follow those it has read.
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
    ) -> tuple[list[Float[Array, "B T D"]], Float[Array, "V E"]]:
        """The embeddings and each block's output, the last with the final norm; and the
        table of tokens."""
        config = self.config
        embedded, table = Embeddings(config, name="embeddings")(ids, types, rows)
        states = [embedded]
        self.record(states[-1])
        for layer, block in enumerate(self.blocks()):
            states.append(block(states[-1], lengths, rows, config.is_local(layer)))
            self.record(states[-1])
        if config.norm in PRE_NORMS:
            states[-1] = layer_norm(config, "final_norm")(states[-1])
        return states, table

    def blocks(self) -> list[nn.Module]:
        """A block a layer: all with parameters of their own, or sharing their
        attention, their MLP or both (Lan et al. 2020, section 3.1)."""
        config, block = self.config, rematerialised(self.config.remat)
        attention = mlp = None
        if config.share == "attention":
            attention = SelfAttention(config, name="attention")
        if config.share == "mlp":
            mlp = Mlp(config, name="mlp")

        def made(layer: int) -> nn.Module:
            return block(config, layer == 0, attention, mlp, name=f"block_{layer:02d}")

        if config.share == "all":
            return [made(0)] * config.num_layers
        return [made(layer) for layer in range(config.num_layers)]

    def record(self, x: Float[Array, "B T D"]) -> None:
        if recording(self, "hidden"):
            self.sow("hidden", "states", x)


def begun(module: nn.Module) -> Int[Array, ""] | None:
    """The number of tokens before these, of a call that has a cache of them."""
    return module.get_variable("cache", "index")


def taken(
    table: Float[Array, "S E"], first: Int[Array, ""] | None, length: int
) -> Float[Array, "T E"]:
    """The rows of a table from `first` on."""
    if first is None:
        return table[:length]
    return jax.lax.dynamic_slice_in_dim(table, first, length)


def identity(x: Float[Array, "*x"]) -> Float[Array, "*x"]:
    return x


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
            return nn.remat(Block, policy=saved, static_argnums=LOCAL)
        case _:
            return nn.remat(Block, static_argnums=LOCAL)
