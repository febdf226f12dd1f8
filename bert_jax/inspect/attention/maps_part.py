"""The attention maps of a text, as parts of the page."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bert_jax.inspect.attention import maps
from bert_jax.inspect.attention.explorer import LONGEST, explorer
from bert_jax.inspect.draw.finding import Part, Pictures
from bert_jax.run.config import UsageError


class MapView(NamedTuple):
    """The maps of a text, and the selected layer, head and word. layer: from 1. head:
    from 1, 0 for the mean. word: the numbers of its tokens, [] if none is selected.
    written: its spelling in the text. times: its number of occurrences."""

    tokens: list[str]
    segments: np.ndarray  # (T,): 1 in the pair, else 0
    weights: Float[np.ndarray, "L N T T"]
    layer: int
    head: int
    word: list[int]
    written: str
    times: int


def select(
    weights: Float[np.ndarray, "*L N T T"], head: int
) -> Float[np.ndarray, "*L T T"]:
    """The maps of a head from 1, or the mean over heads for 0. UsageError for a head
    out of range."""
    check_head(head, weights.shape[-3])
    return weights[..., head - 1, :, :] if head else weights.mean(-3)


def check_head(head: int, count: int) -> None:
    """Raise UsageError for a head that is neither from 1 to `count` nor 0, the mean."""
    if not 0 <= head <= count:
        raise UsageError(f"--head={head} is no head of this run: it has 1 to {count}")


def sentence(view: MapView) -> str:
    """A sentence on the tokens that get the most weight."""
    chosen, written = select(view.weights[view.layer - 1], view.head), view.written
    if view.word:
        line, count = chosen[view.word].mean(0), len(view.word)
        more = f", the first of {view.times}," * (view.times > 1)
        more += f", the mean of its {count} tokens," * (count > 1)
        subject = f"“{written}”{more.replace(',,', ',')} attends"
    else:
        line, subject = chosen.mean(0), "tokens attend"
    best = np.argsort(-line, kind="stable")[:3]
    best_tokens = ", ".join(f"{view.tokens[i]} ({line[i]:.2f})" for i in best)
    return f"In {where(view)}, {subject} most to {best_tokens}."


def parts(view: MapView) -> list[Part]:
    """The parts: an interactive one if the text is short, all heads, one large map, the
    word."""
    sections = [_live(view)] if len(view.tokens) <= LONGEST else []
    overview = maps.overview("attention_all", view.weights)
    sections += [
        Part("Every layer and head", [Pictures([overview])]),
        _selected_map(view),
    ]
    return [*sections, _word(view)] if view.word else sections


def where(view: MapView) -> str:
    head = f"head {view.head}" if view.head else "mean of the heads"
    return f"layer {view.layer}, {head}"


def _live(view: MapView) -> Part:
    head = view.head - 1 if view.head else view.weights.shape[1]
    token = view.word[0] if view.word else -1
    live = explorer(view.tokens, view.weights, view.layer - 1, head, token)
    return Part("Point at a head, then at a token", [live])


def _selected_map(view: MapView) -> Part:
    """The selected map and its lines, stacked if there are many tokens."""
    chosen = select(view.weights[view.layer - 1], view.head)
    title, border = where(view).capitalize(), int(np.argmax(view.segments > 0))
    large = maps.large("attention_map", chosen, view.tokens, border, title)
    lines = maps.lines("attention_lines", chosen, view.tokens, title)
    if len(view.tokens) > maps.FEW:
        return Part(title, [Pictures([large]), Pictures([lines])])
    return Part(title, [Pictures([large, lines])])


def _word(view: MapView) -> Part:
    """The weights of the word, in the selected layer and head, and by layer."""
    line = select(view.weights[view.layer - 1], view.head)[view.word].mean(0)
    name, mean = f"“{view.written}”", view.weights[:, :, view.word].mean((1, 2))
    bars = maps.bars("attention_token", line, view.tokens, f"{name} in {where(view)}.")
    layers = maps.layer_map(
        "attention_token_by_layer",
        mean,
        view.tokens,
        f"{name} in every layer, mean of the heads.",
    )
    blocks = [*_notes(view), Pictures([bars, layers])]
    return Part(f"What {name} attends to", blocks)


def _notes(view: MapView) -> Sequence[str]:
    notes = []
    if len(view.word) > 1:
        tokens = " ".join(view.tokens[i] for i in view.word)
        notes.append(
            f"It is read as {len(view.word)} tokens, {tokens}: the mean of their lines."
        )
    if view.times > 1:
        notes.append(f"It occurs {view.times} times: this is the first.")
    return [" ".join(notes)] if notes else []
