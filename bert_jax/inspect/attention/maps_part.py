"""The maps of a text, for people: parts of the page."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bert_jax.inspect.attention import maps
from bert_jax.inspect.attention.explorer import LONGEST, explorer
from bert_jax.inspect.draw.finding import Part, Pictures
from bert_jax.run.config import UsageError


class View(NamedTuple):
    """What is looked at. layer: from 1. head: from 1, 0 is the mean of all. word: the
    tokens of the word that is asked for, [] of none, and how it is written in the text.
    times: how often it is there."""

    tokens: list[str]
    types: np.ndarray  # (T,)
    weights: Float[np.ndarray, "L N T T"]
    layer: int
    head: int
    word: list[int]
    written: str
    times: int


def select(
    weights: Float[np.ndarray, "*L N T T"], head: int
) -> Float[np.ndarray, "*L T T"]:
    """The maps of a head from 1, or the mean of all heads of 0. UsageError for a head
    that there is not."""
    check_head(head, weights.shape[-3])
    return weights[..., head - 1, :, :] if head else weights.mean(-3)


def check_head(head: int, count: int) -> None:
    """UsageError for a head that is neither one of `count` nor 0, their mean."""
    if not 0 <= head <= count:
        raise UsageError(f"--head={head} is no head of this run: it has 1 to {count}")


def says(view: View) -> str:
    """A sentence: what has most of the weight."""
    chosen, written = select(view.weights[view.layer - 1], view.head), view.written
    if view.word:
        line, pieces = chosen[view.word].mean(0), len(view.word)
        more = f", the first of {view.times}," * (view.times > 1)
        more += f", the mean of its {pieces} pieces," * (pieces > 1)
        who = f"“{written}”{more.replace(',,', ',')} attends"
    else:
        line, who = chosen.mean(0), "tokens attend"
    best = np.argsort(-line, kind="stable")[:3]
    each = ", ".join(f"{view.tokens[i]} ({line[i]:.2f})" for i in best)
    return f"In {where(view)}, {who} most to {each}."


def parts(view: View) -> list[Part]:
    """One to point at if the text is short; all heads; one map large; the word."""
    found = [_live(view)] if len(view.tokens) <= LONGEST else []
    every = maps.overview("attention_all", view.weights)
    found += [Part("Every layer and head", [Pictures([every])]), _one(view)]
    return [*found, _word(view)] if view.word else found


def where(view: View) -> str:
    head = f"head {view.head}" if view.head else "mean of the heads"
    return f"layer {view.layer}, {head}"


def _live(view: View) -> Part:
    head = view.head - 1 if view.head else view.weights.shape[1]
    token = view.word[0] if view.word else -1
    live = explorer(view.tokens, view.weights, view.layer - 1, head, token)
    return Part("Point at a head, then at a token", [live])


def _one(view: View) -> Part:
    """Map and lines side by side, or below each other where tokens are many."""
    chosen = select(view.weights[view.layer - 1], view.head)
    title, border = where(view).capitalize(), int(np.argmax(view.types > 0))
    one = maps.large("attention_map", chosen, view.tokens, border, title)
    two = maps.lines("attention_lines", chosen, view.tokens, title)
    if len(view.tokens) > maps.FEW:
        return Part(title, [Pictures([one]), Pictures([two])])
    return Part(title, [Pictures([one, two])])


def _word(view: View) -> Part:
    """What the word attends to: in the layer and head that are asked for, and by layer."""
    line = select(view.weights[view.layer - 1], view.head)[view.word].mean(0)
    name, mean = f"“{view.written}”", view.weights[:, :, view.word].mean((1, 2))
    bars = maps.bars("attention_token", line, view.tokens, f"{name} in {where(view)}.")
    layers = maps.by_layer(
        "attention_token_by_layer",
        mean,
        view.tokens,
        f"{name} in every layer, mean of the heads.",
    )
    blocks = [*_notes(view), Pictures([bars, layers])]
    return Part(f"What {name} attends to", blocks)


def _notes(view: View) -> Sequence[str]:
    notes = []
    if len(view.word) > 1:
        pieces = " ".join(view.tokens[i] for i in view.word)
        notes.append(
            f"It is read as {len(view.word)} pieces, {pieces}: the mean of their lines."
        )
    if view.times > 1:
        notes.append(f"It occurs {view.times} times: this is the first.")
    return [" ".join(notes)] if notes else []
