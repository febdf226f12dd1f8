"""Tensors under other names than today's: a wrapper's prefix, TensorFlow's LayerNorms, no
prefix at all, and copies of what is tied."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_jax.huggingface.family.base import Family, Tensors
from bert_jax.huggingface.keys import Say
from bert_jax.run.config import UsageError

OLD = {"gamma": "weight", "beta": "bias"}  # of LayerNorms converted from TensorFlow
TABLE = "encoder/embeddings/token/embedding"


def bare(tensors: Tensors, family: Family, say: Say) -> Tensors:
    """The same without what a wrapper, such as torch.compile, put before each name."""
    [table] = [row.theirs for row in family.encoder if row.ours == TABLE]
    tokens = table.removeprefix(family.prefix)
    found = [name for name in tensors if f".{name}".endswith(f".{tokens}")]
    prefix = found[0].removesuffix(tokens).removesuffix(family.prefix) if found else ""
    if not prefix or len(found) > 1:
        return tensors
    inside = {name for name in tensors if name.startswith(prefix)}
    say(f'{len(inside)} names begin with "{prefix}": read without it')
    renamed = {name.removeprefix(prefix): array for name, array in tensors.items()}
    if len(renamed) < len(tensors):
        raise UsageError(f'some tensors are there with and without "{prefix}"')
    return renamed


def modern(tensors: Tensors, family: Family, say: Say) -> Tensors:
    """The same under today's names, without the buffers that old versions saved."""
    base = family.classes[family.base]
    inside = (*family.encoder, *(row for rows in base.values() for row in rows))
    starts = {row.theirs.removeprefix(family.prefix).split(".")[0] for row in inside}
    renamed, old, bare = {}, 0, 0
    for name, array in tensors.items():
        stem, _, last = name.rpartition(".")
        if last in OLD:
            name, old = f"{stem}.{OLD[last]}", old + 1
        if name.split(".")[0] in starts:
            name, bare = f"{family.prefix}{name}", bare + 1
        if is_buffer(name, family):
            continue
        if name in renamed:
            raise UsageError(f"the tensor {name} is there under two names")
        renamed[name] = array
    if old:
        say(f"{old} old names: gamma and beta are read as weight and bias")
    if bare:
        say(
            f'{bare} names without the prefix "{family.prefix}": read as if they had it'
        )
    return renamed


def untie(tensors: Tensors, card: Mapping[str, Any], family: Family, say: Say) -> None:
    """Remove the copies of what is tied; they must be equal to their originals."""
    found = [name for name in family.tied if name in tensors]
    for name in found:
        original = tensors.setdefault(family.tied[name], tensors[name])
        if not np.array_equal(original, tensors.pop(name)):
            raise UsageError(
                f"{name} differs from {family.tied[name]}: a decoder that is not tied to "
                "the token table has no place here"
            )
    [decoder] = [name for name in family.tied if name.endswith("weight")]
    head = family.classes.get(f"{family.stem}ForMaskedLM", {}).get("mlm_head", ())
    if found:
        say(f"{' and '.join(found)}: tied, read once")
    elif any(row.ours == "mlm_head/bias" and row.theirs in tensors for row in head):
        if card.get("tie_word_embeddings") is False:
            raise UsageError(
                f"config.json: tie_word_embeddings is False, and the tensor {decoder} "
                "is missing"
            )
        say("no decoder of its own: it is tied to the token table")


def is_buffer(name: str, family: Family) -> bool:
    """Whether it is no parameter: old versions saved the numbers 0, 1, 2, ... too."""
    return any(f".{name}".endswith(f".{buffer}") for buffer in family.buffers)
