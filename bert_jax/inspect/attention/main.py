"""Attention maps of a text in every head, and statistics of heads over texts."""

import argparse
import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bert_jax.data.roles import END, NAMES
from bert_jax.inspect.attention import heads, heads_part, maps_part
from bert_jax.inspect.attention.heads import Statistics
from bert_jax.inspect.attention.maps_part import MapView
from bert_jax.inspect.draw.finding import Finding
from bert_jax.inspect.measure import states
from bert_jax.inspect.measure.states import Row
from bert_jax.predict.model import Model
from bert_jax.run.config import UsageError
from bert_jax.tasks import records
from bert_jax.tasks.words import split_words

MAPS = """
A map has a line for each token: the weights by which one head averages the values of
all tokens to make what that token reads (Vaswani et al. 2017, equation 1). A line sums
to 1, and padding has exactly 0. They are recomputed by a plain softmax in float32, as a
fused kernel gives none. A word of several tokens has the mean of their lines.
"""
LIMITS = """
A large weight says where a head reads, not that the model's answer hangs on it: quite
other weights can give the same output (Jain & Wallace 2019), though that alone does not
make them meaningless (Wiegreffe & Pinter 2019). What flows is weight times vector, and
heads put much weight on vectors that are nearly nothing, such as those of [SEP]
(Kobayashi et al. 2020). After the first layer a position holds more than its own token,
and a mean of heads can hide what each does.
"""
CLS, SEP = (NAMES[role] for role in ("cls", "sep"))


class WordPlace(NamedTuple):
    """The place of a word in the text, or in its pair: characters [start, end), both 0
    for a special token. times: its number of occurrences; the place is the first one.
    """

    word: str
    paired: bool
    start: int
    end: int
    times: int


class AttentionRequest(NamedTuple):
    """A request for attention. pair and place: "" and None if absent. layer: "last" or
    a number from 1. head: 0 is the mean. corpus: the lines of the file `source`, or ().
    """

    text: str
    pair: str
    layer: str
    head: int
    place: WordPlace | None
    corpus: tuple[str, ...]
    source: str


class Attention(NamedTuple):
    """The attention maps of a text: weights (L, N, T, T) float32, row i those of token
    i as the query."""

    tokens: list[str]
    row: Row
    segments: np.ndarray  # (T,): 1 in the pair, else 0
    weights: np.ndarray
    cut: bool  # whether the text exceeds the positions of the model


def request(args: argparse.Namespace, overrides: Mapping[str, str]) -> AttentionRequest:
    """Read the request, locate its word and read its file. UsageError for a wrong
    option."""
    if not args.text.strip():
        raise UsageError("TEXT is empty: give a sentence")
    if args.layer != "last" and not _counts(args.layer):
        raise UsageError(f"--layer={args.layer} is neither last nor a number from 1")
    if args.head != "mean" and not _counts(args.head):
        raise UsageError(f"--head={args.head} is neither mean nor a number from 1")
    return AttentionRequest(
        args.text,
        args.pair if args.pair.strip() else "",
        args.layer,
        0 if args.head == "mean" else int(args.head),
        locate(args.token, args.text, args.pair) if args.token else None,
        _corpus(args.corpus) if args.corpus else (),
        args.corpus,
    )


def locate(word: str, text: str, pair: str = "") -> WordPlace:
    """Locate the first occurrence of a word, case-sensitively or else in any case, in
    the text or else in the pair. UsageError, with similar words, if it is in neither.
    """
    if word in (*CLS, *SEP, END):
        return WordPlace(word, False, 0, 0, 1 + (word in SEP and bool(pair)))
    pattern = re.escape(word)
    if word.isascii():  # other scripts may lack word boundaries
        pattern = rf"(?<!\w){pattern}(?!\w)"
    for flags in (0, re.IGNORECASE):
        occurrences = [
            (bool(paired), match)
            for paired, searched in enumerate((text, pair))
            for match in re.finditer(pattern, searched, flags)
        ]
        if occurrences:
            paired, first = occurrences[0]
            return WordPlace(first[0], paired, *first.span(), len(occurrences))
    split = [each[a:b] for each in (text, pair) for a, b in split_words(each)]
    words = list(dict.fromkeys(word for word in split if any(map(str.isalnum, word))))
    near = difflib.get_close_matches(word, words, 5, 0.5)
    hint = f"near it: {', '.join(near)}" if near else f"it has {_listed(words)}"
    raise UsageError(f"--token={word} is no word of the text: {hint}")


def of_text(model: Model, text: str, pair: str = "") -> Attention:
    """The attention maps of all heads for a text, or for a text and its pair."""
    texts, pairs = [text], [pair] if pair else None
    [row] = states.rows(model, texts, pairs)
    weights = model.attention(texts, pairs)[:, 0]
    tokens = [model.tokenizer.display_tokens[i] for i in row.ids]
    cut = heads.is_cut(model, row, text, pair or None)
    return Attention(tokens, row, model.tokenizer.segments(row.ids), weights, cut)


def places(found: Attention, place: WordPlace) -> list[int]:
    """The numbers of the tokens that share a character with a word. UsageError where
    the text is cut before it."""
    if place.end == 0 and place.word in found.tokens:
        return [found.tokens.index(place.word)]
    inside = [
        i
        for i, (start, end) in enumerate(found.row.offsets)
        if start < place.end
        and end > place.start
        and bool(found.segments[i]) == place.paired
    ]
    if not inside:
        raise UsageError(
            f"--token={place.word} is not among the {len(found.tokens)} tokens that "
            "the model reads of the text"
        )
    return inside


def find(model: Model | None, request: AttentionRequest) -> Finding:
    """Find the maps of a text, the weights of a word, and statistics of heads."""
    assert model is not None, "options.check asks for a run"
    layer = _layer(model, request.layer)
    maps_part.check_head(request.head, model.config.model.num_heads)
    attention = of_text(model, request.text, request.pair)
    word, place = [], request.place
    if place:
        word = places(attention, place)
    view = MapView(
        attention.tokens,
        attention.segments,
        attention.weights,
        layer,
        request.head,
        word,
        place.word if place else "",
        place.times if place else 0,
    )
    statistics = _statistics(model, request)
    over = f"{statistics.texts:,} lines" if request.corpus else "this text"
    sentences = [
        maps_part.sentence(view),
        f"Over {over} {heads_part.sentence(statistics)}",
    ]
    if attention.cut:
        sentences.append(
            f"The text is cut to {len(attention.tokens)} tokens, all that fit."
        )
    return Finding(
        question=f"What does attention look at in “{_short(request.text, 80)}”?",
        answer=" ".join(sentences),
        about=[" ".join(text.split()) for text in (MAPS, LIMITS)],
        facts=_facts(request, attention, statistics),
        parts=[*maps_part.parts(view), heads_part.part(statistics)],
        arrays=_arrays(attention, statistics),
        scores=heads_part.scores(statistics),
    )


def _statistics(model: Model, request: AttentionRequest) -> Statistics:
    """Statistics of heads over the corpus, or else over the text."""
    if request.corpus:
        return heads.of_texts(model, request.corpus)
    pairs = [request.pair] if request.pair else None
    return heads.of_texts(model, [request.text], pairs)


def _corpus(path: str) -> tuple[str, ...]:
    texts = tuple(line for line in records.lines(Path(path), "utf-8") if line.strip())
    if not texts:
        raise UsageError(f"{path} has blank lines alone: give a text a line")
    return texts


def _counts(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) > 0


def _layer(model: Model, text: str) -> int:
    """Parse the number of a layer, from 1, as the embeddings have no heads."""
    last = model.config.model.num_layers
    if text == "last":
        return last
    if int(text) > last:
        raise UsageError(f"--layer={text} is no layer of this run: it has 1 to {last}")
    return int(text)


def _facts(
    request: AttentionRequest, attention: Attention, statistics: Statistics
) -> list[str]:
    facts = [f"text: {_short(request.text, 300)}"]
    facts += [f"pair: {_short(request.pair, 300)}"] if request.pair else []
    facts += [f"{len(attention.tokens)} tokens: {_listed(attention.tokens, 40)}"]
    if request.corpus:
        facts.append(
            f"`{Path(request.source).name}`: {statistics.texts:,} lines that are not "
            f"blank, {statistics.queries:,} tokens"
        )
        if statistics.cut:
            facts.append(f"{statistics.cut:,} lines cut to what the model can read")
        if statistics.unseen:
            facts.append(f"{statistics.unseen:,} lines longer than those of training")
    return facts


def _arrays(attention: Attention, statistics: Statistics) -> dict[str, np.ndarray]:
    measures = {
        heads_part.file(name): values for name, values in statistics.measures.items()
    }
    return {
        "weights": attention.weights.astype(np.float32),
        "tokens": np.array(attention.tokens),
        "offsets": np.array(attention.row.offsets, np.int32),
        "types": attention.row.types,
        **measures,
    }


def _listed(words: Sequence[str], most: int = 12) -> str:
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return " ".join(words[:most]) + more


def _short(text: str, most: int) -> str:
    """Shorten a text, and replace backticks, which mark code on the page."""
    plain = text.replace("`", "'")
    return plain if len(plain) <= most else plain[: most - 1] + "…"
