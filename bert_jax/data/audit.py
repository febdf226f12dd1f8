"""What a researcher should see of a corpus before training on it."""

from collections.abc import Iterator, Mapping

import numpy as np

from bert_jax.data.output import Output


def audit(outputs: Mapping[str, Output], vocab_size: int, unk_id: int) -> dict:
    train, valid = (np.array(o.hashes, np.uint64) for o in outputs.values())
    found: dict = {
        "vocabulary": vocab_size,
        "empty": sum(output.empty for output in outputs.values()),
        "overlap": len(np.intersect1d(train, valid)),
    }
    for name, output in outputs.items():
        found[name] = {
            "documents": output.documents,
            "sentences": output.sentences,
            "tokens": output.tokens,
            "unknown": float(output.counts[unk_id] / output.tokens),
        }
    return found


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
