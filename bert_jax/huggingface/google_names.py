"""Names of the tensors of Google's BERT, ALBERT and ELECTRA and of Hugging Face's."""

import re
from collections.abc import Mapping

# Google's name of a tensor -> theirs, and whether it is transposed. {} is a number.
Table = Mapping[str, tuple[str, bool]]


def _dense(google: str, theirs: str) -> Table:
    return {
        f"{google}/kernel": (f"{theirs}.weight", True),
        f"{google}/bias": (f"{theirs}.bias", False),
    }


def _norm(google: str, theirs: str) -> Table:
    return {
        f"{google}/gamma": (f"{theirs}.weight", False),
        f"{google}/beta": (f"{theirs}.bias", False),
    }


def _output(google: str, theirs: str) -> Table:
    """A head that Google's code lays out as theirs is."""
    return {
        f"{google}output_weights": (f"{theirs}.weight", False),
        f"{google}output_bias": (f"{theirs}.bias", False),
    }


def _embeddings(google: str, theirs: str) -> Table:
    tables = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    return {
        **{
            f"{google}/{table}": (f"{theirs}.{table}.weight", False) for table in tables
        },
        **_norm(f"{google}/LayerNorm", f"{theirs}.LayerNorm"),
    }


def _layers(name: str) -> Table:
    """The layers of BERT and ELECTRA, whose names differ by their marks alone."""
    dense = ("attention/self/query", "attention/self/key", "attention/self/value")
    dense += ("attention/output/dense", "intermediate/dense", "output/dense")
    google, theirs = f"{name}/encoder/layer_{{}}/", f"{name}.encoder.layer.{{}}."
    table: dict[str, tuple[str, bool]] = {}
    for part in dense:
        table |= _dense(google + part, theirs + part.replace("/", "."))
    for part in ("attention/output/LayerNorm", "output/LayerNorm"):
        table |= _norm(google + part, theirs + part.replace("/", "."))
    return table


GROUP = "bert/encoder/transformer/group_{}/inner_group_{}"
THEIR_GROUP = "albert.encoder.albert_layer_groups.{}.albert_layers.{}"
TABLES: Mapping[str, Table] = {
    "bert": {
        **_embeddings("bert/embeddings", "bert.embeddings"),
        **_layers("bert"),
        **_dense("bert/pooler/dense", "bert.pooler.dense"),
        **_dense("cls/predictions/transform/dense", "cls.predictions.transform.dense"),
        **_norm(
            "cls/predictions/transform/LayerNorm", "cls.predictions.transform.LayerNorm"
        ),
        "cls/predictions/output_bias": ("cls.predictions.bias", False),
        **_output("cls/seq_relationship/", "cls.seq_relationship"),
        **_output("cls/squad/", "qa_outputs"),
        **_output("", "classifier"),
    },
    "albert": {
        **_embeddings("bert/embeddings", "albert.embeddings"),
        **_dense(
            "bert/encoder/embedding_hidden_mapping_in",
            "albert.encoder.embedding_hidden_mapping_in",
        ),
        **_dense(f"{GROUP}/attention_1/self/query", f"{THEIR_GROUP}.attention.query"),
        **_dense(f"{GROUP}/attention_1/self/key", f"{THEIR_GROUP}.attention.key"),
        **_dense(f"{GROUP}/attention_1/self/value", f"{THEIR_GROUP}.attention.value"),
        **_dense(f"{GROUP}/attention_1/output/dense", f"{THEIR_GROUP}.attention.dense"),
        **_norm(f"{GROUP}/LayerNorm", f"{THEIR_GROUP}.attention.LayerNorm"),
        **_dense(f"{GROUP}/ffn_1/intermediate/dense", f"{THEIR_GROUP}.ffn"),
        **_dense(
            f"{GROUP}/ffn_1/intermediate/output/dense", f"{THEIR_GROUP}.ffn_output"
        ),
        **_norm(f"{GROUP}/LayerNorm_1", f"{THEIR_GROUP}.full_layer_layer_norm"),
        **_dense("bert/pooler/dense", "albert.pooler"),
        **_dense("cls/predictions/transform/dense", "predictions.dense"),
        **_norm("cls/predictions/transform/LayerNorm", "predictions.LayerNorm"),
        "cls/predictions/output_bias": ("predictions.bias", False),
        **_output("cls/seq_relationship/", "sop_classifier.classifier"),
        **_output("", "classifier"),
    },
    "electra": {
        **_embeddings("electra/embeddings", "electra.embeddings"),
        **_dense("electra/embeddings_project", "electra.embeddings_project"),
        **_layers("electra"),
        **_dense("discriminator_predictions/dense", "discriminator_predictions.dense"),
        **_dense(
            "discriminator_predictions/dense_1",
            "discriminator_predictions.dense_prediction",
        ),
    },
}
# Their classes, by the beginnings of the names of the tensors that each must have.
ARCHITECTURES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "bert": {
        "BertForQuestionAnswering": ("qa_outputs",),
        "BertForSequenceClassification": ("classifier",),
        "BertForPreTraining": ("cls.predictions", "cls.seq_relationship"),
        "BertForMaskedLM": ("cls.predictions",),
        "BertForNextSentencePrediction": ("cls.seq_relationship",),
        "BertModel": (),
    },
    "albert": {
        "AlbertForSequenceClassification": ("classifier",),
        "AlbertForPreTraining": ("predictions", "sop_classifier"),
        "AlbertForMaskedLM": ("predictions",),
        "AlbertModel": (),
    },
    "electra": {
        "ElectraForPreTraining": ("discriminator_predictions",),
        "ElectraModel": (),
    },
}


def row(family: str, name: str) -> tuple[str, bool] | None:
    """The Hugging Face name of a tensor of Google's, and whether it is transposed."""
    numbered = r"(?<=/)((?:inner_)?group|layer)_(0|[1-9]\d{0,3})(?=/)"
    numbers = [number for _, number in re.findall(numbered, name)]
    found = TABLES[family].get(re.sub(numbered, r"\1_{}", name))
    return (found[0].format(*numbers), found[1]) if found and "{" not in name else None
