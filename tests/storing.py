"""A small corpus and its store."""

import json
from pathlib import Path

import numpy as np
import pytest

from configs import base

WORDS = ["the", "cat", "dog", "sat", "ran", ".", "!", "mat"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##s"]


@pytest.fixture
def folder(tmp_path):
    """Six documents, of which one is a copy and one has no token."""
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY))
    texts = [
        "The cat sat. The dog ran!",
        "Cats sat.",
        "The dog sat\non the mat.",
        "Cats sat.",
        "\u200b\u200c",
        "The mat.",
    ]
    lines = [json.dumps({"text": text}) for text in texts]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    return tmp_path


def config_of(folder, **keys):
    config = base.get_config()
    config.data.corpus = "files"
    config.data.files = f"{folder}/*.jsonl"
    config.data.cache = f"{folder}/cache"
    config.tokenizer.path = f"{folder}/vocab.txt"
    config.update_from_flattened_dict(keys)
    return config


def generated(folder, documents=300, name="corpus.jsonl"):
    """A corpus of random words in which no document is like another."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), 4)) for _ in range(300)]
    lines = []
    for _ in range(documents):
        sizes = rng.integers(1, 9, 12)
        sentences = [" ".join(rng.choice(words, n)).capitalize() + "." for n in sizes]
        lines.append(json.dumps({"text": " ".join(sentences)}))
    (folder / name).write_text("\n".join(lines))
    return config_of(folder, **{"tokenizer.path": "", "tokenizer.vocab_size": 200})


def silent(line):
    pass


def left_in(cache):
    return {path.suffix for path in Path(cache).iterdir()}
