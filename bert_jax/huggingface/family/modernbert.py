"""Tables of ModernBERT (Warner et al. 2024)."""

from collections.abc import Mapping
from typing import Any

from bert_jax.huggingface import keys
from bert_jax.huggingface.family.base import (
    BLOCK,
    EMBEDDINGS,
    ENDS,
    NAME,
    POST,
    Family,
    TensorName,
    dense,
    equal_widths,
    heads,
    norm,
    table,
)
from bert_jax.huggingface.keys import Only
from bert_jax.run import rules
from bert_jax.run.config import UsageError

GATES = {
    "gelu": "geglu",
    "gelu_python": "geglu",
    "gelu_new": "geglu_tanh",
    "gelu_pytorch_tanh": "geglu_tanh",
    "silu": "swiglu",
    "swish": "swiglu",
}
MODERN_LAYER = "model.layers.{layer}"
MODERN_POOLER = (
    TensorName("pooler/kernel", "head.dense.weight", True),
    TensorName("pooler/norm/scale", "head.norm.weight"),
)
POOLINGS = {"cls": "pooler", "mean": "mean"}


def _modern_fields(card: Mapping[str, Any]) -> dict[str, Any]:
    layers = keys.integer(NAME, card, "num_hidden_layers", None)
    window = keys.integer(NAME, card, "local_attention", 128)
    every = keys.integer(NAME, card, "global_attn_every_n_layers", rules.GLOBAL_EVERY)
    local = [
        "sliding_attention" if i % every else "full_attention" for i in range(layers)
    ]
    found = card.get("layer_types") or local
    if found == ["full_attention"] * layers:
        window = 0
    elif found != _layer_types(layers, window):
        mend = f"every {rules.GLOBAL_EVERY}rd layer, from the first, sees all"
        keys.refuse(NAME, "layer_types", found, (), f"{mend}, or all do")
    dropouts = [card.get(key, 0.0) for key in ("embedding_dropout", "mlp_dropout")]
    if dropouts[0] != dropouts[1]:
        mend = "it must equal mlp_dropout: there is one dropout here"
        keys.refuse(NAME, "embedding_dropout", dropouts[0], (), mend)
    key, head = "classifier_activation", card.get("classifier_activation", "gelu")
    known = card.get("hidden_activation", "gelu")
    if not isinstance(head, str) or GATES.get(head) != GATES.get(str(known)):
        mend = (
            f"it must equal hidden_activation, {known!r}: heads have the encoder's here"
        )
        keys.refuse(NAME, key, head, (), mend)
    return {
        "model.window": window,
        "model.rotary_base": _thetas(card, window),
        "objective.pool": POOLINGS[card.get("classifier_pooling", "cls")],
    }


def _thetas(card: Mapping[str, Any], window: int) -> float:
    """The base of global layers, in the new form or the old; local ones have 10 000."""
    given = card.get("rope_parameters") or {}
    if not isinstance(given, Mapping) or any(
        not isinstance(each, Mapping) or each.get("rope_type", "default") != "default"
        for each in given.values()
    ):
        mend = "rotary embeddings are not scaled here"
        keys.refuse(NAME, "rope_parameters", given, (), mend)
    old = {
        "full_attention": "global_rope_theta",
        "sliding_attention": "local_rope_theta",
    }
    silent = {"full_attention": 160_000.0, "sliding_attention": 10_000.0}
    found = {}
    for kind, key in old.items():
        each = given.get(kind) or {}
        value = each.get("rope_theta", card.get(key) or silent[kind])
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise UsageError(
                f"{NAME}: the rope_theta of {kind} is no number: {value!r}"
            )
        found[kind] = float(value)
    if window and found["sliding_attention"] != 10_000:
        mend = "only 10000 is known here"
        keys.refuse(NAME, "local_rope_theta", found["sliding_attention"], (), mend)
    return found["full_attention"]


def _layer_types(layers: int, window: int) -> list[str]:
    return [
        "sliding_attention" if window and i % rules.GLOBAL_EVERY else "full_attention"
        for i in range(layers)
    ]


def _modern_keys(config: Any) -> dict[str, Any]:
    model = config.model
    base = {"full_attention": model.rotary_base, "sliding_attention": 10_000.0}
    poolings = {ours: theirs for theirs, ours in POOLINGS.items()}
    activations = {ours: theirs for theirs, ours in reversed(list(GATES.items()))}
    return {
        "layer_types": _layer_types(model.num_layers, model.window),
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": theta}
            for kind, theta in base.items()
        },
        "local_attention": model.window or 128,
        "embedding_dropout": model.dropout,
        "classifier_activation": activations[model.activation],
        "classifier_pooling": poolings.get(config.objective.pool, "cls"),
    }


MODERNBERT = Family(
    name="ModernBERT",
    model_types=("modernbert",),
    base="ModernBertModel",
    prefix="model.",
    encoder=(
        *table(f"{EMBEDDINGS}/token", "model.embeddings.tok_embeddings"),
        *norm(f"{EMBEDDINGS}/norm", "model.embeddings.norm"),
        *dense(f"{BLOCK}/attention/query", f"{MODERN_LAYER}.attn.Wqkv", (0, 3)),
        *dense(f"{BLOCK}/attention/key", f"{MODERN_LAYER}.attn.Wqkv", (1, 3)),
        *dense(f"{BLOCK}/attention/value", f"{MODERN_LAYER}.attn.Wqkv", (2, 3)),
        *dense(f"{BLOCK}/attention/out", f"{MODERN_LAYER}.attn.Wo"),
        *norm(f"{BLOCK}/attention_norm", f"{MODERN_LAYER}.attn_norm"),
        *dense(f"{BLOCK}/mlp/up", f"{MODERN_LAYER}.mlp.Wi", (0, 2)),
        *dense(f"{BLOCK}/mlp/gate", f"{MODERN_LAYER}.mlp.Wi", (1, 2)),
        *dense(f"{BLOCK}/mlp/down", f"{MODERN_LAYER}.mlp.Wo"),
        *norm(f"{BLOCK}/mlp_norm", f"{MODERN_LAYER}.mlp_norm"),
        *norm("encoder/final_norm", "model.final_norm"),
    ),
    classes={
        "ModernBertForMaskedLM": heads(
            mlm_head=(
                TensorName("mlm_head/transform/kernel", "head.dense.weight", True),
                TensorName("mlm_head/norm/scale", "head.norm.weight"),
                TensorName("mlm_head/bias", "decoder.bias"),
            )
        ),
        "ModernBertForSequenceClassification": heads(
            "classify_head", pooler=MODERN_POOLER
        ),
        "ModernBertForTokenClassification": heads("tag_head", pooler=MODERN_POOLER),
        "ModernBertForQuestionAnswering": heads(
            pooler=MODERN_POOLER, span_head=dense("span_head", "classifier")
        ),
        "ModernBertForMultipleChoice": heads("choice_head", pooler=MODERN_POOLER),
        "ModernBertModel": {},
    },
    tied={"decoder.weight": "model.embeddings.tok_embeddings.weight"},
    buffers=(),
    fields=(
        ("vocab_size", "vocab_size", None),
        ("num_layers", "num_hidden_layers", None),
        ("model_dim", "hidden_size", None),
        ("num_heads", "num_attention_heads", None),
        ("mlp_dim", "intermediate_size", None),
        ("max_length", "max_position_embeddings", None),
        ("norm_epsilon", "norm_eps", 1e-5),
        ("dropout", "mlp_dropout", 0.0),
        ("attention_dropout", "attention_dropout", 0.0),
        ("init_stddev", "initializer_range", 0.02),
    ),
    activations=("hidden_activation", GATES),
    fixed={
        **{key: value for key, value in POST.items() if key != "model.window"},
        "model.norm": ("pre_embed", "norm but pre_embed"),
        "model.positions": ("rotary", "positions but rotary ones"),
        "model.bias": ("none", "biases"),
        "model.num_types": (0, "token types"),
    },
    pooler="head",
    only={
        "norm_bias": Only((False,)),
        "attention_bias": Only((False,)),
        "mlp_bias": Only((False,)),
        "classifier_bias": Only((False,)),
        "decoder_bias": Only((True,)),
        "sparse_prediction": Only((False,)),
        "classifier_pooling": Only(("cls", "mean")),
        "rope_scaling": Only((), "rotary embeddings are not scaled here"),
        "initializer_cutoff_factor": Only((2.0,)),
    },
    used=(
        *("classifier_activation", "classifier_dropout", "embedding_dropout"),
        *("global_attn_every_n_layers", "global_rope_theta", "layer_types"),
        *("local_attention", "local_rope_theta", "rope_parameters"),
    ),
    idle="""
        cls_token_id compile_options deterministic_flash_attn reference_compile
        repad_logits_with_grad sparse_pred_ignore_index tokenizer_class
        position_embedding_type
    """,
    read=_modern_fields,
    write=_modern_keys,
    problem=equal_widths,
    poolings=tuple(POOLINGS.values()),
    ends=(*ENDS, ("cls_token_id", "sep_token_id")),
)
