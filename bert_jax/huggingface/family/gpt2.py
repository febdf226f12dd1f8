"""Tables of GPT-2 (Radford et al. 2019)."""

from collections.abc import Mapping
from typing import Any

from bert_jax.huggingface import keys
from bert_jax.huggingface.family.base import (
    ACTIVATIONS,
    BLOCK,
    EMBEDDINGS,
    ENDS,
    NAME,
    POST,
    SUMMARY,
    Family,
    TensorName,
    dense,
    equal_widths,
    heads,
    norm,
    table,
)
from bert_jax.huggingface.keys import Only

GPT2_LAYER = "transformer.h.{layer}"


def _conv1d(ours: str, theirs: str, part: tuple[int, int] = (0, 1)) -> Any:
    """A layer whose matrix maps (in, out) in theirs too."""
    return dense(ours, theirs, part, transposed=False)


def _gpt2_fields(card: Mapping[str, Any]) -> dict[str, Any]:
    width = keys.integer(NAME, card, "n_embd", None)
    if card.get("embd_pdrop", 0.1) != card.get("resid_pdrop", 0.1):
        mend = "it must equal resid_pdrop: there is one dropout here"
        keys.refuse(NAME, "embd_pdrop", card.get("embd_pdrop", 0.1), (), mend)
    inner = card.get("n_inner")
    wide = 4 * width if inner is None else keys.integer(NAME, card, "n_inner", None)
    return {
        "model.mlp_dim": wide,
        "objective.kind": "clm",
        "objective.pool": "last",
    }


GPT2 = Family(
    name="GPT-2",
    model_types=("gpt2",),
    base="GPT2Model",
    prefix="transformer.",
    encoder=(
        *table(f"{EMBEDDINGS}/token", "transformer.wte"),
        *table(f"{EMBEDDINGS}/position", "transformer.wpe"),
        *norm(f"{BLOCK}/attention_norm", f"{GPT2_LAYER}.ln_1"),
        *_conv1d(f"{BLOCK}/attention/query", f"{GPT2_LAYER}.attn.c_attn", (0, 3)),
        *_conv1d(f"{BLOCK}/attention/key", f"{GPT2_LAYER}.attn.c_attn", (1, 3)),
        *_conv1d(f"{BLOCK}/attention/value", f"{GPT2_LAYER}.attn.c_attn", (2, 3)),
        *_conv1d(f"{BLOCK}/attention/out", f"{GPT2_LAYER}.attn.c_proj"),
        *norm(f"{BLOCK}/mlp_norm", f"{GPT2_LAYER}.ln_2"),
        *_conv1d(f"{BLOCK}/mlp/up", f"{GPT2_LAYER}.mlp.c_fc"),
        *_conv1d(f"{BLOCK}/mlp/down", f"{GPT2_LAYER}.mlp.c_proj"),
        *norm("encoder/final_norm", "transformer.ln_f"),
    ),
    classes={
        "GPT2LMHeadModel": {"mlm_head": ()},
        "GPT2ForSequenceClassification": heads(
            classify_head=(
                TensorName("classify_head/kernel", "score.weight", True),
                TensorName("classify_head/bias", ""),
            )
        ),
        "GPT2ForTokenClassification": heads("tag_head"),
        "GPT2ForQuestionAnswering": heads("span_head"),
        "GPT2Model": {},
    },
    tied={"lm_head.weight": "transformer.wte.weight"},
    buffers=("attn.bias", "attn.masked_bias"),
    fields=(
        ("vocab_size", "vocab_size", None),
        ("num_layers", "n_layer", None),
        ("model_dim", "n_embd", None),
        ("num_heads", "n_head", None),
        ("max_length", "n_positions", None),
        ("norm_epsilon", "layer_norm_epsilon", 1e-5),
        ("dropout", "resid_pdrop", 0.1),
        ("attention_dropout", "attn_pdrop", 0.1),
        ("init_stddev", "initializer_range", 0.02),
    ),
    activations=("activation_function", ACTIVATIONS),
    fixed=POST
    | {
        "model.norm": ("pre", "post-LayerNorm"),
        "model.attention": ("causal", "attention to what follows"),
        "model.num_types": (0, "token types"),
        "objective.head": ("plain", "head but the plain one"),
    },
    pooler="",
    only={
        "scale_attn_weights": Only((True,)),
        "scale_attn_by_inverse_layer_idx": Only((False,)),
        "reorder_and_upcast_attn": Only((False,)),
    },
    used=("n_inner", "embd_pdrop"),
    idle=SUMMARY + "n_ctx predict_special_tokens classifier_dropout",
    read=_gpt2_fields,
    write=lambda config: {
        "n_inner": config.model.mlp_dim,
        "embd_pdrop": config.model.dropout,
    },
    problem=equal_widths,
    poolings=("last",),
    ends=ENDS,
)
