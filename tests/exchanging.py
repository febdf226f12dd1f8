"""Directories as Hugging Face writes them: small, with random weights."""

import json
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax import traverse_util
from safetensors.numpy import save_file

from bert_jax.huggingface import exchange
from bert_jax.run.config import UsageError

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = list(string.ascii_lowercase)
VOCABULARY = [*SPECIALS, ".", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
VOCABULARY += ["the", "king", "stone"]
WORDS, DIM, WIDE, LAYERS, POSITIONS = len(VOCABULARY), 16, 32, 2, 64
CONFIG = {
    "architectures": ["BertForPreTraining"],
    "model_type": "bert",
    "vocab_size": WORDS,
    "hidden_size": DIM,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": WIDE,
    "max_position_embeddings": POSITIONS,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
}


def shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor of BertForPreTraining."""
    found = {
        "bert.embeddings.word_embeddings.weight": (WORDS, DIM),
        "bert.embeddings.position_embeddings.weight": (POSITIONS, DIM),
        "bert.embeddings.token_type_embeddings.weight": (2, DIM),
        "cls.predictions.bias": (WORDS,),
    }
    norms = ["bert.embeddings", "cls.predictions.transform"]
    dense = {
        "bert.pooler.dense": (DIM, DIM),
        "cls.predictions.transform.dense": (DIM, DIM),
        "cls.seq_relationship": (2, DIM),
    }
    for layer in range(LAYERS):
        block = f"bert.encoder.layer.{layer}"
        norms += [f"{block}.attention.output", f"{block}.output"]
        for name in ("query", "key", "value"):
            dense[f"{block}.attention.self.{name}"] = (DIM, DIM)
        dense[f"{block}.attention.output.dense"] = (DIM, DIM)
        dense[f"{block}.intermediate.dense"] = (WIDE, DIM)
        dense[f"{block}.output.dense"] = (DIM, WIDE)
    for name in norms:
        found |= {f"{name}.LayerNorm.{each}": (DIM,) for each in ("weight", "bias")}
    for name, shape in dense.items():
        found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return found


def weights() -> dict[str, np.ndarray]:
    """BertForPreTraining, the same at every call."""
    return random_arrays(shapes())


def classifier(classes: int) -> dict[str, np.ndarray]:
    """BertForSequenceClassification."""
    head = {"classifier.weight": (classes, DIM), "classifier.bias": (classes,)}
    return body() | random_arrays(head)


def body() -> dict[str, np.ndarray]:
    """The encoder and the pooler of `weights`."""
    return {name: a for name, a in weights().items() if name.startswith("bert.")}


def random_arrays(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {
        name: draw.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def write_directory(
    folder: Path, tensors: dict[str, np.ndarray], **config: Any
) -> Path:
    """config.json with these changes, the weights, vocab.txt, tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in VOCABULARY))
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    return folder


def bits(tree: Mapping[str, Any]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Arrays by path, as type, shape and content."""
    return {
        name: (array.dtype.name, array.shape, np.asarray(array).tobytes())
        for name, array in traverse_util.flatten_dict(tree, sep="/").items()
    }


def refuses(source: Path, said: str) -> None:
    """Expects an import to end with one line that matches, and nothing written."""
    workdir = source.parent / "run"
    with pytest.raises(UsageError, match=said) as refused:
        exchange.import_model(source, workdir)
    assert "\n" not in str(refused.value)
    assert not workdir.exists()
