"""A case of each family: its shape, weights and batches, drawn by numpy from names and
numbers. `reference_families` computes what transformers makes of them."""

import zlib
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """architecture: their class. shape: of its config. size: rows and tokens of a batch.
    paired: whether it has a pair head; typed: whether it reads token types."""

    architecture: str
    shape: dict[str, Any]
    size: tuple[int, int] = (3, 16)
    paired: str = ""
    typed: bool = True


BERT = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "vocab_size": 19,
    "max_position_embeddings": 14,
}
WIDE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "vocab_size": 2000,
    "max_position_embeddings": 160,
}


def cases(sizes: dict[str, Any], rows: int, width: int) -> dict[str, Case]:
    """Every family in one size."""
    size, wide = (rows, width), sizes["hidden_size"]
    sized = {key: sizes[key] for key in ("vocab_size", "max_position_embeddings")}
    dims = [sizes[key] for key in list(BERT)[:4]]
    distil = dict(zip(("dim", "n_layers", "n_heads", "hidden_dim"), dims, strict=True))
    gpt = dict(zip(("n_embd", "n_layer", "n_head", "n_inner"), dims, strict=True))
    modern = sizes | {"num_hidden_layers": max(4, sizes["num_hidden_layers"])}
    modern |= {"local_attention": width // 4, "pad_token_id": 0}
    narrow = {"embedding_size": wide // 2}
    pair = "sentence_order_label"
    return {
        "megatron-bert": Case(
            "MegatronBertForPreTraining", sizes, size, "next_sentence_label"
        ),
        "roberta": Case(
            "RobertaForMaskedLM", sizes | {"type_vocab_size": 1}, size, "", False
        ),
        "albert": Case("AlbertForPreTraining", sizes | narrow, size, pair),
        "electra": Case("ElectraForMaskedLM", sizes | narrow, size),
        "distilbert": Case("DistilBertForMaskedLM", distil | sized, size, "", False),
        "modernbert": Case("ModernBertForMaskedLM", modern, size, "", False),
        "gpt2": Case(
            "GPT2LMHeadModel",
            gpt | {"vocab_size": sizes["vocab_size"], "n_positions": width + 4},
            size,
            "",
            False,
        ),
    }


TINY, BASE = cases(BERT, 2, 12), cases(WIDE, 2, 128)


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weights of a name: biases and norms away from 0 and 1, or they would hide
    errors."""
    draw = np.random.default_rng(zlib.crc32(name.encode()))
    scale = 0.1 if len(shape) == 1 else min(0.15, shape[-1] ** -0.5)
    array = scale * draw.standard_normal(shape)
    is_norm = len(shape) == 1 and name.endswith("weight")
    return (array + is_norm).astype(np.float32)


def batch_of(case: Case, pad: int, seed: int) -> dict[str, np.ndarray]:
    """A batch with padding, in our names: everywhere predicted, here and there counted."""
    (rows, width), draw = case.size, np.random.default_rng(seed)
    lengths = draw.integers(width // 2, width + 1, rows)
    lengths[0] = width
    inside = np.arange(width)[None] < lengths[:, None]
    size = case.shape["vocab_size"]
    ids = np.where(inside, draw.integers(2, size, (rows, width)), pad)
    counted = inside & (draw.random((rows, width)) < 0.3)
    counted[:, 0] = True
    batch = {
        "ids": ids,
        "types": draw.integers(0, 2, (rows, width)) * case.typed,
        "lengths": lengths,
        "positions": np.broadcast_to(np.arange(width), (rows, width)),
        "targets": draw.integers(2, size, (rows, width)),
        "pair_label": draw.integers(0, 2, rows),
    }
    batch = {name: array.astype(np.int32) for name, array in batch.items()}
    return batch | {"target_weights": counted.astype(np.float32)}
