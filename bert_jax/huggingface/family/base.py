"""The parts of a family of Hugging Face's models: names of tensors, heads of its classes,
keys of its config.json; and what several families share.

Tensors are named as transformers 5.23 saves them; keys of config.json, and the values
where it is silent, are those of its configuration classes.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from bert_jax.huggingface import keys
from bert_jax.huggingface.keys import Only

NAME = "config.json"
GELU = {"gelu": "gelu", "gelu_python": "gelu"}
ACTIVATIONS = {
    **GELU,
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
FIELDS = (
    ("vocab_size", "vocab_size", None),
    ("num_layers", "num_hidden_layers", None),
    ("model_dim", "hidden_size", None),
    ("num_heads", "num_attention_heads", None),
    ("mlp_dim", "intermediate_size", None),
    ("max_length", "max_position_embeddings", None),
    ("num_types", "type_vocab_size", 2),
    ("norm_epsilon", "layer_norm_eps", 1e-12),
    ("dropout", "hidden_dropout_prob", 0.1),
    ("attention_dropout", "attention_probs_dropout_prob", 0.1),
    ("init_stddev", "initializer_range", 0.02),
)
POST = {
    "model.norm": ("post", "pre-LayerNorm"),
    "model.positions": ("learned", "positions but learned ones"),
    "model.attention": ("bidirectional", "causal attention"),
    "model.bias": ("all", "layers without a bias"),
    "model.share": ("none", "layers that share parameters"),
    "model.window": (0, "local attention"),
    "objective.head": ("transform", "plain head"),
}
NARROW = "tables of another width than the model's"
BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
ENDS = (("bos_token_id", "eos_token_id"),)
BERT_ONLY = {"position_embedding_type": Only(("absolute",))}
SUMMARY = """
    summary_activation summary_first_dropout summary_last_dropout summary_proj_to_labels
    summary_type summary_use_proj
"""
EMBEDDINGS, BLOCK = "encoder/embeddings", "encoder/block_{layer:02d}"


class TensorName(NamedTuple):
    """Path of a parameter in a run, and its name in a Hugging Face file.

    {layer} stands for the layer's number. transposed: whether theirs maps (out, in),
    where ours maps (in, out). part: (i, n) where theirs is n of ours side by side, along
    the last axis of ours. An empty `theirs` is a bias that their class does not have: 0.
    """

    ours: str
    theirs: str
    transposed: bool = False
    part: tuple[int, int] = (0, 1)


Rows = tuple[TensorName, ...]
Tensors = dict[str, np.ndarray]


def dense(
    ours: str, theirs: str, part: tuple[int, int] = (0, 1), transposed: bool = True
) -> Rows:
    return (
        TensorName(f"{ours}/kernel", f"{theirs}.weight", transposed, part),
        TensorName(f"{ours}/bias", f"{theirs}.bias", False, part),
    )


def norm(ours: str, theirs: str) -> Rows:
    return (
        TensorName(f"{ours}/scale", f"{theirs}.weight"),
        TensorName(f"{ours}/bias", f"{theirs}.bias"),
    )


def table(ours: str, theirs: str) -> Rows:
    return (TensorName(f"{ours}/embedding", f"{theirs}.weight"),)


def embeddings(theirs: str) -> Rows:
    """The rows of embeddings that are named as BERT's."""
    return (
        *table(f"{EMBEDDINGS}/token", f"{theirs}.word_embeddings"),
        *table(f"{EMBEDDINGS}/position", f"{theirs}.position_embeddings"),
        *table(f"{EMBEDDINGS}/type", f"{theirs}.token_type_embeddings"),
        *norm(f"{EMBEDDINGS}/norm", f"{theirs}.LayerNorm"),
    )


def layer(theirs: str, names: str) -> Rows:
    """The rows of a layer with a tensor for each of ours: its names in the order query,
    key, value, out, attention_norm, up, down, mlp_norm."""
    query, key, value, out, attention_norm, up, down, mlp_norm = (
        f"{theirs}.{name}" for name in names.split()
    )
    return (
        *dense(f"{BLOCK}/attention/query", query),
        *dense(f"{BLOCK}/attention/key", key),
        *dense(f"{BLOCK}/attention/value", value),
        *dense(f"{BLOCK}/attention/out", out),
        *norm(f"{BLOCK}/attention_norm", attention_norm),
        *dense(f"{BLOCK}/mlp/up", up),
        *dense(f"{BLOCK}/mlp/down", down),
        *norm(f"{BLOCK}/mlp_norm", mlp_norm),
    )


def bert_layer(prefix: str, attention_norm: str, mlp_norm: str) -> Rows:
    """The rows of a layer that is named as BERT's, but for its norms."""
    attention = "attention.self.query attention.self.key attention.self.value"
    names = f"{attention} attention.output.dense {attention_norm} "
    names += f"intermediate.dense output.dense {mlp_norm}"
    return layer(f"{prefix}.encoder.layer.{{layer}}", names)


def heads(*names: str, **rows: Rows) -> dict[str, Rows]:
    """The heads of a class: by name of `PLAIN`, or with the rows of one."""
    return {name: PLAIN[name] for name in names} | rows


# Heads of one dense layer, as most families name them.
PLAIN = {
    "classify_head": dense("classify_head", "classifier"),
    "tag_head": dense("tag_head", "classifier"),
    "choice_head": dense("choice_head", "classifier"),
    "span_head": dense("span_head", "qa_outputs"),
}

Field = tuple[str, str, float | int | None]


class Family(NamedTuple):
    """A family: its name in messages, and the model_types of its config.json, of which an
    export writes the first.

    prefix: of the encoder's tensors, but in the class `base`.
    classes: the heads of each, by our names, with the rows of their tensors.
    tied: copies of tensors, and their originals; no new file holds copies.
    fields: of config.model, their key, and its value where config.json is silent (None:
        it must speak).
    activations: the key, and theirs -> ours.
    fixed: what of our config the family determines, with what it is called.
    pooler: what objective.pooler must be where there is one.
    read: our further keys, of their config.json. write: theirs, of our config.
        problem: why it cannot be expressed, "" if it can.
    offset: whether positions begin after the padding's id (RoBERTa).
    poolings: the values of objective.pool that a class of texts can say.
    ends: its keys of the ids of the first and the last special token of a row, where
        transformers would take ids of the family's own vocabulary.
    """

    name: str
    model_types: tuple[str, ...]
    base: str
    prefix: str
    encoder: Rows
    classes: Mapping[str, Mapping[str, Rows]]
    tied: Mapping[str, str]
    buffers: tuple[str, ...]
    fields: tuple[Field, ...]
    activations: tuple[str, Mapping[str, str]]
    fixed: Mapping[str, tuple[Any, str]]
    pooler: str
    only: Mapping[str, Only]
    used: tuple[str, ...]
    idle: str
    read: Callable[[Mapping[str, Any]], dict[str, Any]]
    write: Callable[[Any], dict[str, Any]]
    problem: Callable[[Any], str]
    offset: bool = False
    poolings: tuple[str, ...] = ("pooler",)
    ends: tuple[tuple[str, str], ...] = ()

    @property
    def stem(self) -> str:
        """The start of the names of its classes."""
        return self.base.removesuffix("Model")


def nothing(*_: Any) -> dict[str, Any]:
    return {}


def equal_widths(config: Any) -> str:
    wide = config.model.embed_dim in (0, config.model.model_dim)
    return "" if wide else f"{NARROW} (model.embed_dim={config.model.embed_dim})"


def embedding_size(card: Mapping[str, Any]) -> dict[str, Any]:
    """Our width of the tables, of the config.json of ALBERT or ELECTRA."""
    return {"model.embed_dim": keys.integer(NAME, card, "embedding_size", 128)}


def classes(name: str, rows: Mapping[str, Any], named: Mapping[str, str]) -> dict:
    """The classes of a family, each with the rows of its heads."""
    return {
        f"{name}{suffix}": {head: rows[head] for head in chosen.split()}
        for suffix, chosen in named.items()
    }
