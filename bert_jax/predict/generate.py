"""The verb: a causal run continues a text, token by token."""

import argparse
import math
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bert_jax.predict.decoding import CachedReader
from bert_jax.predict.model import Model, load
from bert_jax.run import exits
from bert_jax.run.config import UsageError, stream
from bert_jax.tasks.examples import rounded


class Sampling(NamedTuple):
    """Settings by which the next token is drawn.

    temperature: divides the logits; at 0 the likeliest token is taken. top_k: only the
    k likeliest are left (Fan et al. 2018), 0 leaves all. top_p: of these the fewest
    likeliest whose shares sum to p (Holtzman et al. 2020, section 3.1), 1 leaves all.
    """

    temperature: float
    top_k: int
    top_p: float
    seed: int


def main(args: argparse.Namespace) -> int:
    """Print the text and what follows, as it comes. UsageError for what cannot be."""
    draw = Sampling(args.temperature, args.top_k, args.top_p, args.seed)
    check(args.text, args.max_tokens, draw)
    pieces = continuation(
        load(args.workdir, args.step), args.text, args.max_tokens, draw
    )
    print(args.text.rstrip(), end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
    return exits.DONE


def check(text: str, max_tokens: int, draw: Sampling) -> None:
    """UsageError for values without a meaning, named as the options are."""
    if not text.strip():
        raise UsageError("TEXT is empty: say what is to be continued")
    if max_tokens < 1:
        raise UsageError(f"--max_tokens={max_tokens}: it must be 1 or more")
    if not (0 <= draw.temperature < math.inf):
        raise UsageError(
            f"--temperature={draw.temperature}: it must be 0, for the likeliest "
            "tokens, or more"
        )
    if draw.top_k < 0:
        raise UsageError(f"--top_k={draw.top_k}: it must be 0, for all tokens, or more")
    if not 0 < draw.top_p <= 1:
        raise UsageError(f"--top_p={draw.top_p}: it must be above 0 and at most 1")


def continuation(
    model: Model, text: str, max_tokens: int, draw: Sampling
) -> Iterator[str]:
    """Continue a text token by token, each with the space before it, if any.

    The model sees CLS and the last tokens, as many as in training (data.length),
    which a warning tells; special tokens are never drawn. One seed gives one text.
    UsageError at once for bad values, for a run that looks both ways, and for a text of
    no known token.
    """
    check(text, max_tokens, draw)
    _check_run(model)
    known = model.tokenizer.encode(text.rstrip()).ids
    if all(model.tokenizer.special[known]):
        raise UsageError(f"the run knows no token of the text {text[:40]!r}")
    # The last token that is drawn is not read.
    read = len(known) + max_tokens
    most = min(model.config.data.length, model.max_length)
    if read > most:
        print(
            f"warning: the run sees {most} tokens at a time, the first special token and "
            f"the last {most - 1} tokens: what is before is forgotten",
            file=sys.stderr,
        )
    return _pieces(model, known, max_tokens, draw, min(rounded(read), most))


def _check_run(model: Model) -> None:
    if model.config.model.attention != "causal":
        raise UsageError(
            "this run looks both ways (model.attention=bidirectional) and cannot "
            "continue a text: give one of objective.kind=clm, or let predict fill "
            "masks"
        )
    if "mlm_head" not in model.network.heads:
        raise UsageError(
            f"this run is of objective.kind={model.config.objective.kind} and has no "
            "language-model head: give one of objective.kind=clm"
        )


def _pieces(
    model: Model, known: list[int], count: int, draw: Sampling, width: int
) -> Iterator[str]:
    random = np.random.default_rng(stream(draw.seed, "generate"))
    ids, reader = list(known), CachedReader(model, width)
    text = model.tokenizer.decode(ids)
    shown = len(text)
    for _ in range(count):
        shares = chances(reader.next_logits(ids), model.tokenizer.special, draw)
        ids.append(drawn(shares, random))
        text = model.tokenizer.decode(ids)
        # What follows may still become one character with the last.
        end = max(len(text) - (not text[-1:].isascii()), shown)
        yield text[shown:end]
        shown = end
    if text[shown:]:
        yield text[shown:]


def chances(logits: np.ndarray, special: np.ndarray, draw: Sampling) -> np.ndarray:
    """(V,) float64 of sum 1: what the next token is drawn from.

    `special`, (V,) or shorter where the table has rows to spare, and 0 of those.
    Temperature comes first, then top_k, then top_p of what is left; of tokens equally
    likely the first stay.
    """
    logits = np.asarray(logits, np.float64)
    barred = np.ones(len(logits), bool)
    barred[: len(special)] = special
    logits = np.where(barred, -np.inf, logits)
    order = np.argsort(-logits, kind="stable")
    shares = np.zeros(len(logits))
    if draw.temperature == 0:
        shares[order[0]] = 1
        return shares
    order = order[: min(draw.top_k or len(order), int((~barred).sum()))]
    # Of the largest 0, so that no small temperature overflows.
    away = (logits[order] - logits[order[0]]) / draw.temperature
    kept = np.exp(away) / np.exp(away).sum()
    if draw.top_p < 1:
        before = np.cumsum(kept) - kept
        kept = np.where(before < draw.top_p - 1e-12, kept, 0)  # sums are rounded
    shares[order] = kept / kept.sum()
    return shares


def drawn(shares: np.ndarray, random: np.random.Generator) -> int:
    """A number from 0, each with its share."""
    sums = np.cumsum(shares)
    return int(np.searchsorted(sums, random.random() * sums[-1], side="right"))
