"""Names and arrays of Hugging Face's BERT and ours, each way by one table.

Arrays only: `exchange` reads and writes the files. A tensor that the table does not
know, and a group of them that is incomplete, are errors: nothing is dropped unsaid.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util

from bert_jax.run.config import UsageError

Tensors = dict[str, np.ndarray]


class TensorName(NamedTuple):
    """Path of a parameter in a run, and its name in a Hugging Face file.

    {layer} stands for the layer's number. Their matrices map (out, in), ours
    (in, out): those are transposed on the way, which is its own inverse.
    """

    ours: str
    theirs: str
    transposed: bool


def _dense(ours: str, theirs: str) -> list[TensorName]:
    return [
        TensorName(f"{ours}/kernel", f"{theirs}.weight", True),
        TensorName(f"{ours}/bias", f"{theirs}.bias", False),
    ]


def _norm(ours: str, theirs: str) -> list[TensorName]:
    return [
        TensorName(f"{ours}/scale", f"{theirs}.weight", False),
        TensorName(f"{ours}/bias", f"{theirs}.bias", False),
    ]


def _table(ours: str, theirs: str) -> list[TensorName]:
    return [TensorName(f"{ours}/embedding", f"{theirs}.weight", False)]


EMBEDDINGS, BLOCK, LAYER = "encoder/embeddings", "encoder/block_{layer:02d}", "{layer}"
TABLE = [
    *_table(f"{EMBEDDINGS}/token", "bert.embeddings.word_embeddings"),
    *_table(f"{EMBEDDINGS}/position", "bert.embeddings.position_embeddings"),
    *_table(f"{EMBEDDINGS}/type", "bert.embeddings.token_type_embeddings"),
    *_norm(f"{EMBEDDINGS}/norm", "bert.embeddings.LayerNorm"),
    *_dense(f"{BLOCK}/attention/query", "bert.encoder.layer.{layer}.attention.self.query"),
    *_dense(f"{BLOCK}/attention/key", "bert.encoder.layer.{layer}.attention.self.key"),
    *_dense(f"{BLOCK}/attention/value", "bert.encoder.layer.{layer}.attention.self.value"),
    *_dense(f"{BLOCK}/attention/out", "bert.encoder.layer.{layer}.attention.output.dense"),
    *_norm(f"{BLOCK}/attention_norm", "bert.encoder.layer.{layer}.attention.output.LayerNorm"),
    *_dense(f"{BLOCK}/mlp/up", "bert.encoder.layer.{layer}.intermediate.dense"),
    *_dense(f"{BLOCK}/mlp/down", "bert.encoder.layer.{layer}.output.dense"),
    *_norm(f"{BLOCK}/mlp_norm", "bert.encoder.layer.{layer}.output.LayerNorm"),
    *_dense("pooler", "bert.pooler.dense"),
    *_dense("mlm_head/transform", "cls.predictions.transform.dense"),
    *_norm("mlm_head/norm", "cls.predictions.transform.LayerNorm"),
    TensorName("mlm_head/bias", "cls.predictions.bias", False),
    *_dense("pair_head", "cls.seq_relationship"),
    *_dense("classify_head", "classifier"),
    *_dense("tag_head", "classifier"),
    *_dense("choice_head", "classifier"),
    *_dense("span_head", "qa_outputs"),
]  # fmt: skip

# Their classes, by the heads that they have. Three of them call a head "classifier".
ARCHITECTURES = {
    "BertForPreTraining": {"pooler", "mlm_head", "pair_head"},
    "BertForMaskedLM": {"mlm_head"},
    "BertForNextSentencePrediction": {"pooler", "pair_head"},
    "BertForSequenceClassification": {"pooler", "classify_head"},
    "BertForTokenClassification": {"tag_head"},
    "BertForMultipleChoice": {"pooler", "choice_head"},
    "BertForQuestionAnswering": {"span_head"},
    "BertModel": {"pooler"},
}
# Their names for what a classifier's numbers mean, and our kinds of task.
PROBLEMS = {
    "single_label_classification": "classify",
    "multi_label_classification": "multilabel",
    "regression": "regress",
}
CLASSIFIERS = {"classify_head", "tag_head", "choice_head"}
TOKENS = "embeddings.word_embeddings.weight"
TIED = "cls.predictions.decoder."  # again the token table and cls.predictions.bias
BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
OLD = {"gamma": "weight", "beta": "bias"}  # of LayerNorms converted from TensorFlow

Say = Callable[[str], None]


def to_ours(tensors: Tensors, card: Mapping[str, Any], say: Say) -> dict[str, Any]:
    """Parameters, float32 and nested by path, from Hugging Face tensors.

    `card` is their config.json; what had to be mended is told to `say`, a line
    each. Raises UsageError for tensors that are missing, unknown or misshapen.
    """
    tensors = _modern(_bare(tensors, say), say)
    _untie(tensors, card, say)
    rows, heads = [], _heads(tensors, card)
    for row in _rows(int(card["num_hidden_layers"]), heads | {"encoder"}):
        if row.theirs not in tensors:
            raise UsageError(f"the tensor {row.theirs} is missing")
        array = tensors.pop(row.theirs)
        if array.ndim != (1 if row.ours.endswith(("bias", "scale")) else 2):
            raise UsageError(f"the tensor {row.theirs} has shape {array.shape}")
        rows.append((row, array.T if row.transposed else array))
    if tensors:
        more = f" and {len(tensors) - 1} more" if len(tensors) > 1 else ""
        raise UsageError(
            f"{min(tensors)}{more}: no tensor of a BERT that is known here"
        )
    if "pooler" not in heads:
        say("there is no pooler: the run has none")
    return traverse_util.unflatten_dict(
        {row.ours: np.ascontiguousarray(array, np.float32) for row, array in rows},
        sep="/",
    )


def to_theirs(params: Mapping[str, Any]) -> tuple[str, Tensors]:
    """Our parameters -> their architecture's name, and its tensors.

    A tied decoder is not written twice, as they do not write it either. A pooler is
    left out where their class has none.
    """
    heads = params.keys() - {"encoder"}
    name = architecture(heads)
    kept = {"encoder"} | heads & ARCHITECTURES[name]
    flat = traverse_util.flatten_dict({key: params[key] for key in kept}, sep="/")
    layers = sum(key.startswith("block_") for key in params["encoder"])
    tensors = {}
    for row in _rows(layers, kept):
        array = np.asarray(flat.pop(row.ours))
        array = array.T if row.transposed else array
        theirs = row.theirs.removeprefix("bert.") if name == "BertModel" else row.theirs
        tensors[theirs] = np.ascontiguousarray(array)
    if flat:
        raise UsageError(f"their BERT has no place for {min(flat)}")
    return name, tensors


def architecture(heads: set[str]) -> str:
    """The class of theirs that has these heads, and a pooler if there must be one."""
    for name, theirs in ARCHITECTURES.items():
        if theirs in (heads, heads - {"pooler"}) or (name == "BertModel" and not heads):
            return name
    raise UsageError(
        f"Hugging Face has no BERT with just {', '.join(sorted(heads))} on top"
    )


def _rows(layers: int, groups: set[str]) -> Iterator[TensorName]:
    """The table for these groups (encoder, pooler, ...), every layer spelt out."""
    for ours, theirs, transposed in TABLE:
        if ours.split("/")[0] in groups:
            repeats = range(layers) if LAYER in theirs else range(1)
            for layer in repeats:
                yield TensorName(
                    ours.format(layer=layer), theirs.format(layer=layer), transposed
                )


def _heads(tensors: Tensors, card: Mapping[str, Any]) -> set[str]:
    """The heads of which there is any tensor; the class says which "classifier"."""
    heads = {
        row.ours.split("/")[0]
        for row in TABLE
        if row.theirs in tensors and not row.ours.startswith("encoder")
    }
    if not heads & CLASSIFIERS:
        return heads
    named = card.get("architectures")
    first = str(named[0]) if isinstance(named, list) and named else ""
    kept = ARCHITECTURES.get(first, set()) & CLASSIFIERS
    if not kept:
        raise UsageError(
            f"config.json: architectures is {named}, which does not say what its "
            'tensor classifier.weight classifies: write ["BertForSequenceClassification"]'
            ', ["BertForTokenClassification"] or ["BertForMultipleChoice"]'
        )
    return heads - CLASSIFIERS | kept


def is_buffer(name: str) -> bool:
    """Whether it is no parameter: old versions saved the numbers 0, 1, 2, ... too."""
    return any(f".{name}".endswith(f".{buffer}") for buffer in BUFFERS)


def _bare(tensors: Tensors, say: Say) -> Tensors:
    """The same without what a wrapper, such as torch.compile, put before each name."""
    found = [name for name in tensors if name.endswith(TOKENS)]
    prefix = found[0].removesuffix(TOKENS).removesuffix("bert.") if found else ""
    if not prefix or len(found) > 1:
        return tensors
    inside = {name for name in tensors if name.startswith(prefix)}
    say(f'{len(inside)} names begin with "{prefix}": read without it')
    renamed = {name.removeprefix(prefix): array for name, array in tensors.items()}
    if len(renamed) < len(tensors):
        raise UsageError(f'some tensors are there with and without "{prefix}"')
    return renamed


def _modern(tensors: Tensors, say: Say) -> Tensors:
    """The same under today's names, without the buffers that old versions saved."""
    renamed, old, bare = {}, 0, 0
    for name, array in tensors.items():
        stem, _, last = name.rpartition(".")
        if last in OLD:
            name, old = f"{stem}.{OLD[last]}", old + 1
        if name.split(".")[0] in ("embeddings", "encoder", "pooler"):
            name, bare = f"bert.{name}", bare + 1
        if is_buffer(name):
            continue
        if name in renamed:
            raise UsageError(f"the tensor {name} is there under two names")
        renamed[name] = array
    if old:
        say(f"{old} old names: gamma and beta are read as weight and bias")
    if bare:
        say(f'{bare} names without the prefix "bert.": read as if they had it')
    return renamed


def _untie(tensors: Tensors, card: Mapping[str, Any], say: Say) -> None:
    """Remove the copies of what is tied; they must be equal to their originals."""
    originals = {
        f"{TIED}weight": "bert.embeddings.word_embeddings.weight",
        f"{TIED}bias": "cls.predictions.bias",
    }
    found = [name for name in originals if name in tensors]
    for name in found:
        original = tensors.setdefault(originals[name], tensors[name])
        if not np.array_equal(original, tensors.pop(name)):
            raise UsageError(
                f"{name} differs from {originals[name]}: a decoder that is not tied to "
                "the token table has no place here"
            )
    if found:
        say(f"{' and '.join(found)}: tied, read once")
    elif originals[f"{TIED}bias"] in tensors:
        if card.get("tie_word_embeddings") is False:
            raise UsageError(
                f"config.json: tie_word_embeddings is False, and the tensor {TIED}weight "
                "is missing"
            )
        say("no decoder of its own: it is tied to the token table")
