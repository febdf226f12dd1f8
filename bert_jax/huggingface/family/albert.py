"""Tables of ALBERT (Lan et al. 2020)."""

from collections.abc import Mapping
from typing import Any

from bert_jax.huggingface import keys
from bert_jax.huggingface.family.base import (
    BERT_ONLY,
    EMBEDDINGS,
    ENDS,
    FIELDS,
    NAME,
    PLAIN,
    POST,
    TensorName,
    classes,
    dense,
    embedding_size,
    embeddings,
    layer,
    norm,
)
from bert_jax.huggingface.family.bert import BERT, BERT_CLASSES
from bert_jax.huggingface.keys import Only

ALBERT_LAYER = "albert.encoder.albert_layer_groups.0.albert_layers.0"
ALBERT_ROWS = {
    "pooler": dense("pooler", "albert.pooler"),
    "mlm_head": (
        *dense("mlm_head/transform", "predictions.dense"),
        *norm("mlm_head/norm", "predictions.LayerNorm"),
        TensorName("mlm_head/bias", "predictions.bias"),
    ),
    "pair_head": dense("pair_head", "sop_classifier.classifier"),
    **PLAIN,
}


def _narrow_tables(config: Any) -> str:
    equal = config.model.embed_dim in (0, config.model.model_dim)
    return "tables as wide as the model (set model.embed_dim)" if equal else ""


def _albert_widths(card: Mapping[str, Any]) -> dict[str, Any]:
    fields = embedding_size(card)
    if fields["model.embed_dim"] == card.get("hidden_size"):
        mend = "the layer between tables and model of one width has no place here"
        keys.refuse(NAME, "embedding_size", card["hidden_size"], (), mend)
    return fields


ALBERT = BERT._replace(
    name="ALBERT",
    model_types=("albert",),
    base="AlbertModel",
    prefix="albert.",
    encoder=(
        *embeddings("albert.embeddings"),
        *dense(f"{EMBEDDINGS}/project", "albert.encoder.embedding_hidden_mapping_in"),
        *layer(
            ALBERT_LAYER,
            "attention.query attention.key attention.value attention.dense "
            "attention.LayerNorm ffn ffn_output full_layer_layer_norm",
        ),
    ),
    classes=classes(
        "Albert",
        ALBERT_ROWS,
        {k: v for k, v in BERT_CLASSES.items() if k != "ForNextSentencePrediction"},
    ),
    tied={
        "predictions.decoder.weight": "albert.embeddings.word_embeddings.weight",
        "predictions.decoder.bias": "predictions.bias",
    },
    fields=tuple(
        (ours, theirs, 0.0 if ours.endswith("dropout") else silent)
        for ours, theirs, silent in FIELDS
    ),
    fixed=POST | {"model.share": ("all", "layers of their own parameters")},
    only=BERT_ONLY
    | {
        "num_hidden_groups": Only((1,), "all layers share one group here"),
        "inner_group_num": Only((1,), "a group is one layer here"),
    },
    used=("embedding_size", "classifier_dropout_prob"),
    idle="down_scale_factor gap_size net_structure_type num_memory_blocks layers_to_keep",
    read=_albert_widths,
    write=lambda config: {"embedding_size": config.model.embed_dim},
    problem=_narrow_tables,
    ends=ENDS,
)
