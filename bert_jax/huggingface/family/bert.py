"""Tables of the families that name their layers as BERT does: BERT (Devlin et al. 2019),
MegatronBert (Shoeybi et al. 2019), RoBERTa (Liu et al. 2019), ELECTRA (Clark et al.
2020)."""

from typing import Any

from bert_jax.huggingface.family.base import (
    ACTIVATIONS,
    BERT_ONLY,
    BUFFERS,
    EMBEDDINGS,
    ENDS,
    FIELDS,
    GELU,
    PLAIN,
    POST,
    SUMMARY,
    Family,
    TensorName,
    bert_layer,
    classes,
    dense,
    embedding_size,
    embeddings,
    equal_widths,
    heads,
    norm,
    nothing,
)
from bert_jax.huggingface.keys import Only

POOLING = """
    directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers
    pooler_size_per_head pooler_type
"""


def _bert_heads(prefix: str) -> dict[str, Any]:
    """The rows of the heads that BERT and MegatronBert name alike."""
    return {
        "pooler": dense("pooler", f"{prefix}.pooler.dense"),
        "mlm_head": (
            *dense("mlm_head/transform", "cls.predictions.transform.dense"),
            *norm("mlm_head/norm", "cls.predictions.transform.LayerNorm"),
            TensorName("mlm_head/bias", "cls.predictions.bias"),
        ),
        "pair_head": dense("pair_head", "cls.seq_relationship"),
        **PLAIN,
    }


BERT_CLASSES = {
    "ForPreTraining": "pooler mlm_head pair_head",
    "ForMaskedLM": "mlm_head",
    "ForNextSentencePrediction": "pooler pair_head",
    "ForSequenceClassification": "pooler classify_head",
    "ForTokenClassification": "tag_head",
    "ForMultipleChoice": "pooler choice_head",
    "ForQuestionAnswering": "span_head",
    "Model": "pooler",
}
BERT = Family(
    name="BERT",
    model_types=("bert",),
    base="BertModel",
    prefix="bert.",
    encoder=(
        *embeddings("bert.embeddings"),
        *bert_layer("bert", "attention.output.LayerNorm", "output.LayerNorm"),
    ),
    classes=classes("Bert", _bert_heads("bert"), BERT_CLASSES),
    tied={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    buffers=BUFFERS,
    fields=FIELDS,
    activations=("hidden_act", ACTIVATIONS),
    fixed=POST,
    pooler="tanh",
    only=BERT_ONLY
    | {
        "directionality": Only(("bidi",)),
        "pooler_type": Only(("first_token_transform",)),
    },
    used=("classifier_dropout",),
    idle=POOLING + SUMMARY,
    read=nothing,
    write=nothing,
    problem=equal_widths,
)
MEGATRON = BERT._replace(
    name="MegatronBert",
    model_types=("megatron-bert",),
    base="MegatronBertModel",
    encoder=(
        *embeddings("bert.embeddings"),
        *bert_layer("bert", "attention.ln", "ln"),
        *norm("encoder/final_norm", "bert.encoder.ln"),
    ),
    classes=classes("MegatronBert", _bert_heads("bert"), BERT_CLASSES),
    fixed=POST | {"model.norm": ("pre", "post-LayerNorm")},
)

ROBERTA_LM = (
    *dense("mlm_head/transform", "lm_head.dense"),
    *norm("mlm_head/norm", "lm_head.layer_norm"),
    TensorName("mlm_head/bias", "lm_head.bias"),
)
ROBERTA_POOLER = dense("pooler", "roberta.pooler.dense")


def _out_proj(name: str) -> dict[str, Any]:
    return {
        f"{name}ForSequenceClassification": heads(
            pooler=dense("pooler", "classifier.dense"),
            classify_head=dense("classify_head", "classifier.out_proj"),
        ),
        f"{name}ForTokenClassification": heads("tag_head"),
        f"{name}ForQuestionAnswering": heads("span_head"),
    }


ROBERTA = BERT._replace(
    name="RoBERTa",
    model_types=("roberta", "xlm-roberta", "camembert"),
    base="RobertaModel",
    prefix="roberta.",
    encoder=(
        *embeddings("roberta.embeddings"),
        *bert_layer("roberta", "attention.output.LayerNorm", "output.LayerNorm"),
    ),
    classes={
        "RobertaForMaskedLM": heads(mlm_head=ROBERTA_LM),
        **_out_proj("Roberta"),
        "RobertaForMultipleChoice": heads("choice_head", pooler=ROBERTA_POOLER),
        "RobertaModel": heads(pooler=ROBERTA_POOLER),
    },
    tied={
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    activations=("hidden_act", GELU),
    only=BERT_ONLY,
    idle=SUMMARY,
    offset=True,
    ends=ENDS,
)

RTD = (
    *dense("rtd_head/dense", "discriminator_predictions.dense"),
    *dense("rtd_head/out", "discriminator_predictions.dense_prediction"),
)
ELECTRA = BERT._replace(
    name="ELECTRA",
    model_types=("electra",),
    base="ElectraModel",
    prefix="electra.",
    encoder=(
        *embeddings("electra.embeddings"),
        *dense(f"{EMBEDDINGS}/project", "electra.embeddings_project"),
        *bert_layer("electra", "attention.output.LayerNorm", "output.LayerNorm"),
    ),
    classes={
        "ElectraForPreTraining": heads(rtd_head=RTD),
        "ElectraForMaskedLM": heads(
            mlm_head=(
                *dense("mlm_head/transform", "generator_predictions.dense"),
                *norm("mlm_head/norm", "generator_predictions.LayerNorm"),
                TensorName("mlm_head/bias", "generator_lm_head.bias"),
            )
        ),
        **_out_proj("Electra"),
        "ElectraForMultipleChoice": heads(
            "choice_head", pooler=dense("pooler", "sequence_summary.summary")
        ),
        "ElectraModel": {},
    },
    tied={
        "generator_lm_head.weight": "electra.embeddings.word_embeddings.weight",
    },
    activations=("hidden_act", GELU),
    pooler="gelu",
    only=BERT_ONLY
    | {
        "summary_type": Only(("first",)),
        "summary_use_proj": Only((True,)),
        "summary_activation": Only(("gelu",)),
    },
    used=("embedding_size", "classifier_dropout"),
    idle="summary_first_dropout summary_last_dropout summary_proj_to_labels",
    read=embedding_size,
    write=lambda config: {
        "embedding_size": config.model.embed_dim or config.model.model_dim
    },
    problem=lambda config: "",
)
