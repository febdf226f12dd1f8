"""Google's releases of BERT, ALBERT and ELECTRA, read as Hugging Face's files of them.

A release is a checkpoint of TensorFlow 1 with a config and a vocabulary beside it, or a
SavedModel (TF-Hub), which holds one under variables/. A tensor that the tables do not
know is an error, but for the optimizer's state and ELECTRA's generator.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bert_jax.huggingface import files as directory
from bert_jax.huggingface import google_names, tensor_bundle
from bert_jax.huggingface.family.base import Tensors
from bert_jax.huggingface.keys import Say
from bert_jax.huggingface.tensor_bundle import Bundle
from bert_jax.run.config import UsageError

CONFIGS = tuple(f"{name}config.json" for name in ("bert_", "albert_", "electra_", ""))
SAVED_MODEL, ASSETS = "variables", "assets"  # folders of a SavedModel
HEAD_DIM = 64  # of all of Google's BERTs and ELECTRAs
NORM_EPSILON = 1e-12  # of the layer_norm of tf.contrib
# What a checkpoint has besides the model.
LEFT_OUT = {
    "of the optimizer": r".*/adam_[mv]|.*/\w+Optimizer(_\d+)?|global_step|beta\d_power",
    "of ELECTRA's generator, which is a model of its own": r"generator(_\w+)?/.*",
}
OBJECTS = ".ATTRIBUTES/VARIABLE_VALUE"  # the end of a name in a Keras model


def found(source: Path) -> bool:
    """Whether a directory holds a checkpoint of TensorFlow and no weights of theirs."""
    theirs = (directory.WEIGHTS, directory.INDEX)
    return not any((source / name).exists() for name in theirs) and bool(_all(source))


def assets(source: Path) -> Path:
    """The folder of a release that holds its vocabulary and config."""
    inner = source / ASSETS
    return directory.inside(source, ASSETS) if inner.is_dir() else source


def read(source: Path, say: Say) -> tuple[dict[str, Any], Tensors]:
    """Read a release as the content of a config.json, and the tensors in float32.

    Raises UsageError for what is damaged, unknown, or leads out of the directory.
    """
    bundle = _bundle(source)
    where = f"{bundle.source / bundle.prefix}.index"
    bare = {_bare(name): name for name in bundle.entries}
    if len(bare) < len(bundle.entries):
        raise UsageError(f"{where}: some tensors are there under two names")
    family = _family(bare, where)
    wanted, tensors = _wanted(family, bare, where, say), {}
    for google, (theirs, transposed) in wanted.items():
        array = tensor_bundle.read(bundle, [bare[google]])[bare[google]]
        if transposed and array.ndim != 2:
            raise UsageError(f"{where}: {google} has the shape {array.shape}")
        array = directory.finite(array, google)
        tensors[theirs] = np.ascontiguousarray(array.T) if transposed else array
    return _card(assets(source), family, tensors, say), tensors


def _all(source: Path) -> list[str]:
    """The checkpoints of a directory, by what the names of their files begin with."""
    for pattern in ("*.index", f"{SAVED_MODEL}/*.index"):
        if paths := sorted(source.glob(pattern)):
            return [str(path.relative_to(source).with_suffix("")) for path in paths]
    return []


def _bundle(source: Path) -> Bundle:
    checkpoints = _all(source)
    if not checkpoints:
        raise UsageError(f"{source} has no checkpoint of TensorFlow (*.index)")
    if len(checkpoints) > 1:
        raise UsageError(
            f"{source} holds several checkpoints: leave one of {', '.join(checkpoints)}"
        )
    return tensor_bundle.index(source, checkpoints[0])


def _bare(name: str) -> str:
    """The name without what TF-Hub and the graph of TensorFlow 1 add."""
    return name.removeprefix("module/").removesuffix(":0")


def _family(names: Mapping[str, Any], where: str) -> str:
    signs = {
        "electra/": "electra",
        "bert/encoder/transformer/": "albert",
        "bert/": "bert",
    }
    for sign, family in signs.items():
        if any(name.startswith(sign) for name in names):
            return family
    if any(name.endswith(OBJECTS) for name in names):
        raise UsageError(
            f"{where} is of a Keras model of TensorFlow 2, whose names are not known "
            "here: take the release with bert_model.ckpt, or save it by transformers"
        )
    raise UsageError(
        f"{where} holds no BERT, ALBERT or ELECTRA of Google: its first tensor is "
        f"{min(names)!r}"
    )


def _wanted(
    family: str, names: Mapping[str, Any], where: str, say: Say
) -> google_names.Table:
    """Names and orientations of the tensors to be read, by Google's names."""
    wanted, unknown, counts = {}, [], dict.fromkeys(LEFT_OUT, 0)
    for name in sorted(names):
        reasons = [why for why, p in LEFT_OUT.items() if re.fullmatch(p, name)]
        if row := google_names.row(family, name):
            wanted[name] = row
        elif reasons:
            counts[reasons[0]] += 1
        else:
            unknown.append(name)
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise UsageError(
            f"{where}: {unknown[0]!r}{more}: no tensor of Google's {family.upper()} that "
            "is known here"
        )
    for reason, count in counts.items():
        if count:
            say(f"{count} tensor{'s' * (count > 1)} {reason}: left out")
    return wanted


def _card(folder: Path, family: str, tensors: Tensors, say: Say) -> dict[str, Any]:
    """The config.json: Google's keys, and what Google leaves to the code."""
    named = next((name for name in CONFIGS if (folder / name).exists()), "")
    given = directory.read_json(folder, named) if named else {}
    if given.get("model_type", family) != family:
        raise UsageError(f"{folder / named} is no config of {family.upper()}")
    if not named:
        given = _inferred(folder, family, tensors, say)
    if family == "albert" and given.get("hidden_act") == "gelu":
        say(f"{named}: gelu is the tanh form in Google's ALBERT: read as gelu_new")
        given = {**given, "hidden_act": "gelu_new"}
    heads = {name.rpartition(".")[0] + "." for name in tensors}
    architecture = next(
        name
        for name, wanted in google_names.ARCHITECTURES[family].items()
        if all(any(head.startswith(f"{w}.") for head in heads) for w in wanted)
    )
    card = {"layer_norm_eps": NORM_EPSILON, **given, "model_type": family}
    return {**card, "architectures": [architecture]}


def _inferred(folder: Path, family: str, tensors: Tensors, say: Say) -> dict[str, Any]:
    """The config of a BERT or ELECTRA without one, by its shapes."""
    named = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    wanted = [f"{family}.embeddings.{name}.weight" for name in named]
    wanted.append(f"{family}.encoder.layer.0.intermediate.dense.weight")
    shapes = [tensors[name].shape for name in wanted if name in tensors]
    if len(shapes) < 4 or any(len(s) != 2 for s in shapes) or shapes[3][1] % HEAD_DIM:
        raise UsageError(
            f"{folder} has no {family}_config.json, and the shapes do not tell all of it: "
            "put the release's there"
        )
    say(f"no {family}_config.json: heads of {HEAD_DIM} and gelu, as Google's have")
    words, positions, types, (up, hidden) = shapes
    embedding = {"embedding_size": words[1]} if family == "electra" else {}
    numbers = {int(n.split(".")[3]) for n in tensors if ".encoder.layer." in n}
    return {
        "vocab_size": words[0],
        **embedding,
        "hidden_size": hidden,
        "num_hidden_layers": len(numbers),
        "num_attention_heads": hidden // HEAD_DIM,
        "intermediate_size": up,
        "max_position_embeddings": positions[0],
        "type_vocab_size": types[0],
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
    }
