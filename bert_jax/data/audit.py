"""Audit of a corpus: statistics to check before training on it."""

from collections.abc import Iterator, Mapping

import numpy as np

from bert_jax.data.output import Output
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.run.config import UsageError

# Shares of the training text: with more [UNK] there is little to learn.
MOST_UNKNOWN = 0.25  # of the tokens
MOST_UNREAD = 0.4  # of the characters
REPORTED_DROPPED = 0.01  # of the characters
LONGEST_WORD = 100  # characters; WordPiece maps a longer word to [UNK]
NAMED = 3  # unknown words
SHOWN = 30  # characters of an unknown word


def audit(train: Output, valid: Output, tokenizer: Tokenizer, empty: int) -> dict:
    """Audit a corpus; `empty` documents are in neither split."""
    valid_hashes = np.array(valid.hashes, np.uint64)
    unknown = tokenizer.unknown_words(train.sample)
    words = sorted(dict.fromkeys(unknown), key=len, reverse=True)
    characters = len("".join(train.sample.split()))
    return {
        "empty": empty + train.empty + valid.empty,
        "overlap": len(np.intersect1d(np.array(train.hashes, np.uint64), valid_hashes)),
        "train": _split(train, tokenizer.unk_id),
        "valid": _split(valid, tokenizer.unk_id),
        "unread": sum(map(len, unknown)) / max(characters, 1),
        "unknown_words": [word[:LONGEST_WORD] for word in words[:NAMED]],
        "longest_unknown": max((len(tokenizer.normalize(w)) for w in words), default=0),
        "dropped": tokenizer.dropped_share(train.sample),
    }


def _split(output: Output, unk_id: int) -> dict:
    return {
        "documents": output.documents,
        "sentences": output.sentences,
        "tokens": output.tokens,
        "unknown": float(output.counts[unk_id] / output.tokens),
    }


def check_known(stats: Mapping) -> None:
    """Refuse a corpus with too many [UNK] tokens. Raises UsageError."""
    share, unread = stats["train"]["unknown"], stats["unread"]
    if share <= MOST_UNKNOWN and unread <= MOST_UNREAD:
        return
    remedy = (
        f"a word of more than {LONGEST_WORD} characters is [UNK]: put spaces between the "
        "words, or every few characters"
        if stats["longest_unknown"] > LONGEST_WORD
        else "the vocabulary lacks their characters: train one on this text with "
        "--config.tokenizer.path= or a larger --config.tokenizer.vocab_size"
    )
    raise UsageError(
        f"{share:.1%} of the training tokens are [UNK], {unread:.1%} of the characters: "
        f"nothing is learnt from them. The longest unknown words are "
        f"{_examples(stats)}; {remedy}"
    )


def _examples(stats: Mapping) -> str:
    longest = f" (the longest of {stats['longest_unknown']:,} characters)"
    words = [repr(w[:SHOWN] + "..." * (len(w) > SHOWN)) for w in stats["unknown_words"]]
    return ", ".join(words) + longest if words else "in no sample"


def table(stats: Mapping) -> Iterator[str]:
    columns = ("documents", "sentences", "tokens")
    yield "audit " + "".join(f"{name:>14}" for name in columns) + f"{'[UNK]':>9}"
    for name in ("train", "valid"):
        row = stats[name]
        numbers = "".join(f"{row[column]:>14,}" for column in columns)
        yield f"{name:<6}{numbers}{row['unknown']:>9.3%}"
    yield f"exact duplicates, dropped     {stats['duplicates']:>8,}"
    yield f"documents without a token     {stats['empty']:>8,}"
    yield f"documents in both splits      {stats['overlap']:>8,}"
    yield f"vocabulary                    {stats['vocabulary']:>8,}"
    if stats["unknown_words"]:
        yield (
            f"words that are [UNK] are {stats['unread']:.2%} of the characters, such "
            f"as {_examples(stats)}"
        )
    if stats["dropped"] > REPORTED_DROPPED:
        yield (
            f"stripping accents drops {stats['dropped']:.1%} of the characters: "
            "--config.tokenizer.strip_accents=never keeps them"
        )
