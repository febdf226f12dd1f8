"""What a researcher should see of a corpus before training on it."""

from collections.abc import Iterator, Mapping

import numpy as np

from bert_jax.data.output import Output


def audit(train: Output, valid: Output, unk_id: int, empty: int) -> dict:
    """`empty` documents are in neither split."""
    held_out = np.array(valid.hashes, np.uint64)
    return {
        "empty": empty + train.empty + valid.empty,
        "overlap": len(np.intersect1d(np.array(train.hashes, np.uint64), held_out)),
        "train": _split(train, unk_id),
        "valid": _split(valid, unk_id),
    }


def _split(output: Output, unk_id: int) -> dict:
    return {
        "documents": output.documents,
        "sentences": output.sentences,
        "tokens": output.tokens,
        "unknown": float(output.counts[unk_id] / output.tokens),
    }


def table(found: Mapping) -> Iterator[str]:
    columns = ("documents", "sentences", "tokens")
    yield "audit " + "".join(f"{name:>14}" for name in columns) + f"{'[UNK]':>9}"
    for name in ("train", "valid"):
        row = found[name]
        numbers = "".join(f"{row[column]:>14,}" for column in columns)
        yield f"{name:<6}{numbers}{row['unknown']:>9.3%}"
    yield f"exact duplicates, dropped     {found['duplicates']:>8,}"
    yield f"documents without a token     {found['empty']:>8,}"
    yield f"documents in both splits      {found['overlap']:>8,}"
    yield f"vocabulary                    {found['vocabulary']:>8,}"
