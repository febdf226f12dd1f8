"""Tables of DistilBERT (Sanh et al. 2019)."""

from bert_jax.huggingface.family.base import (
    ACTIVATIONS,
    BUFFERS,
    POST,
    Family,
    TensorName,
    dense,
    embeddings,
    equal_widths,
    heads,
    layer,
    norm,
    nothing,
)
from bert_jax.huggingface.keys import Only

DISTIL_LAYER = "distilbert.transformer.layer.{layer}"
DISTIL_POOLER = dense("pooler", "pre_classifier")
DISTILBERT = Family(
    name="DistilBERT",
    model_types=("distilbert",),
    base="DistilBertModel",
    prefix="distilbert.",
    encoder=(
        *embeddings("distilbert.embeddings"),
        *layer(
            DISTIL_LAYER,
            "attention.q_lin attention.k_lin attention.v_lin attention.out_lin "
            "sa_layer_norm ffn.lin1 ffn.lin2 output_layer_norm",
        ),
    ),
    classes={
        "DistilBertForMaskedLM": heads(
            mlm_head=(
                *dense("mlm_head/transform", "vocab_transform"),
                *norm("mlm_head/norm", "vocab_layer_norm"),
                TensorName("mlm_head/bias", "vocab_projector.bias"),
            )
        ),
        "DistilBertForSequenceClassification": heads(
            "classify_head", pooler=DISTIL_POOLER
        ),
        "DistilBertForTokenClassification": heads("tag_head"),
        "DistilBertForQuestionAnswering": heads("span_head"),
        "DistilBertForMultipleChoice": heads("choice_head", pooler=DISTIL_POOLER),
        "DistilBertModel": {},
    },
    tied={
        "vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight",
    },
    buffers=BUFFERS,
    fields=(
        ("vocab_size", "vocab_size", None),
        ("num_layers", "n_layers", None),
        ("model_dim", "dim", None),
        ("num_heads", "n_heads", None),
        ("mlp_dim", "hidden_dim", None),
        ("max_length", "max_position_embeddings", None),
        ("dropout", "dropout", 0.1),
        ("attention_dropout", "attention_dropout", 0.1),
        ("init_stddev", "initializer_range", 0.02),
    ),
    activations=("activation", ACTIVATIONS),
    fixed=POST
    | {
        "model.num_types": (0, "token types"),
        "model.norm_epsilon": (1e-12, "norm_epsilon but 1e-12"),
    },
    pooler="relu",
    only={"sinusoidal_pos_embds": Only((True, False))},
    used=("qa_dropout", "seq_classif_dropout"),
    idle="tie_weights_",
    read=nothing,
    write=lambda config: {"sinusoidal_pos_embds": False},
    problem=equal_widths,
)
