"""Vectors of a word in its sentences: their similarity, and the senses they tell."""

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bert_jax.inspect.draw import layers, plane
from bert_jax.inspect.draw.finding import Finding, Part, Picture, Pictures
from bert_jax.inspect.draw.layers import Curve
from bert_jax.inspect.measure import cosines, space, states
from bert_jax.inspect.vectors import page, senses
from bert_jax.inspect.vectors.senses import Static, Word
from bert_jax.predict.model import Model
from bert_jax.render.document import Grid
from bert_jax.render.drawing import GREY, INK
from bert_jax.run.config import UsageError
from bert_jax.tasks.records import lines
from bert_jax.tasks.words import split_words

Span = tuple[int, int]
ABOUT = [
    (
        "A vector is that of the word in its text, the mean over its tokens where the "
        "tokenizer splits it. Layer 0 are the embeddings, which know the word and "
        "where it stands, but not its neighbours. A text with more tokens than the "
        "model has positions is read from a stretch around the word."
    ),
    (
        "Self-similarity is the mean cosine between the vectors of the word in two "
        "texts (Ethayarajh 2019, 3.3, definition 1): 1 if the texts make no "
        "difference. In many models all vectors point to one side, so beside it stands "
        "what two other words, one drawn from each text, have in common; what the word "
        "has beyond that is its own (3.4). Few texts of one kind say little of the "
        "word at large, and two texts may be near because they are of one length, "
        "place or wording, and not of a sense."
    ),
]
SHOWN = 100  # texts of a table
AROUND = 34  # characters shown at either side of a word


class VectorRequest(NamedTuple):
    """A request for one word in the texts of `source`, or for the senses of `words`.

    statics: for each of `words` the predictions of each kind of static vectors.
    """

    word: str
    texts: list[str]
    spans: list[Span]
    source: str
    words: list[Word]
    statics: list[list[Static]]
    layer: str
    seed: int


def request(args: argparse.Namespace, overrides: Mapping[str, str]) -> VectorRequest:
    """Read the texts, or the folders of senses; on the latter word2vec is trained."""
    layer = args.layer
    if layer not in ("last", states.LAST_FOUR) and not layer.isdecimal():
        raise UsageError(f"--layer={layer} is neither a number, last nor last_4")
    if bool(args.senses) == bool(args.word or args.file):
        raise UsageError(
            "vectors needs --word=WORD and --file=FILE, or else --senses DIR ..."
        )
    if args.senses:
        words = [senses.read(Path(folder)) for folder in args.senses]
        statics = _static_predictions(words, args.static, args.seed)
        return VectorRequest("", [], [], "", words, statics, layer, args.seed)
    if not args.word.strip() or not args.file:
        raise UsageError(
            "--word and --file go together: a word, and texts that have it"
        )
    texts, spans = read(Path(args.file), args.word.strip())
    word = args.word.strip()
    return VectorRequest(word, texts, spans, args.file, [], [], layer, args.seed)


def read(path: Path, word: str) -> tuple[list[str], list[Span]]:
    """Read the non-blank lines of a file, and locate the word in each. UsageError where
    there are fewer than two, or one lacks the word."""
    texts, spans = [], []
    for number, line in enumerate(lines(path, "utf-8"), 1):
        if line.strip():
            texts.append(line)
            spans.append(locate(line, word, f"{path}, line {number}"))
    if len(texts) < 2:
        raise UsageError(f"{path} has {len(texts)} texts: two or more can be compared")
    return texts, spans


def locate(text: str, word: str, where: str) -> Span:
    """The characters [start, end) of the first occurrence of a word, in any case,
    matched as a complete word. UsageError if there is none."""
    before, after = (r"\b" if edge.isalnum() else "" for edge in (word[0], word[-1]))
    match = re.search(f"{before}{re.escape(word)}{after}", text, re.IGNORECASE)
    if not match:
        raise UsageError(f"{where}: there is no word {word!r} in {text!r}")
    return match.span()


def self_similarity(vectors: np.ndarray) -> np.ndarray:
    """The mean cosine (L + 1,) float64 between two of the n > 1 vectors (n, L + 1, D),
    in each layer (Ethayarajh 2019, section 3.3, definition 1)."""
    return cosines.mean(vectors)


def others(texts: Sequence[str], spans: Sequence[Span], seed: int) -> list[list[Span]]:
    """Draw another word of each text by the seed: a list of one span, or of none."""
    draw = np.random.default_rng(seed)
    drawn = []
    for text, (start, end) in zip(texts, spans, strict=True):
        words = [
            (a, b)
            for a, b in split_words(text)
            if (b <= start or a >= end) and any(map(str.isalnum, text[a:b]))
        ]
        drawn.append([words[draw.integers(len(words))]] if words else [])
    return drawn


def neighbours(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The row number (n,) of the nearest other vector of (n, D), and its cosine."""
    units = cosines.unit(vectors)
    similarities = units @ units.T
    np.fill_diagonal(similarities, -np.inf)
    nearest = similarities.argmax(axis=1)
    return nearest, similarities[np.arange(len(vectors)), nearest]


def find(model: Model, request: VectorRequest) -> Finding:
    """Compare the vectors of all layers. UsageError for a layer out of range."""
    if request.layer != states.LAST_FOUR:
        states.layer(model, request.layer)
    elif states.count(model) < 4:
        raise UsageError(
            f"--layer=last_4: this run has {states.count(model)} layers in all"
        )
    if request.words:
        return page.find(model, request.words, request.statics, request.layer)
    return _text_finding(model, request)


def _static_predictions(
    words: list[Word], kinds: list[str], seed: int
) -> list[list[Static]]:
    """The predictions of static vectors for each word. word2vec is trained on all
    sentences, those of the test split too, but on no sense."""
    names = [word.name for word in words]
    if len(set(names)) < len(names):
        raise UsageError(f"--senses: two folders are of one word: {', '.join(names)}")
    texts = [
        text
        for word in words
        for split in (word.train, word.test)
        for text in split.texts
    ]
    spaces = [space.static_space(kind, texts, seed) for kind in kinds]
    return [
        [senses.static_predictions(each, word) for each in spaces] for word in words
    ]


def _text_finding(model: Model, request: VectorRequest) -> Finding:
    word, texts, spans, layer = (
        request.word,
        request.texts,
        request.spans,
        request.layer,
    )
    for text, (start, end) in zip(texts, spans, strict=True):
        if model.tokenizer.unk_id in model.tokenizer.ids([text[start:end]])[0]:
            raise UsageError(
                f"the run does not know {text[start:end]!r}: it reads [UNK]"
            )
    vectors = senses.vectors(model, texts, spans)
    drawn = others(texts, spans, request.seed)
    others_drawn = [
        (text, other_spans[0])
        for text, other_spans in zip(texts, drawn, strict=True)
        if other_spans
    ]
    similarity, floor = self_similarity(vectors), np.full(states.count(model), np.nan)
    if len(others_drawn) > 1:
        other_vectors = senses.vectors(
            model,
            [text for text, _ in others_drawn],
            [span for _, span in others_drawn],
        )
        floor = self_similarity(other_vectors)
    chosen = states.select(model, vectors, layer)
    nearest, near = neighbours(chosen)
    names, flat = states.names(model), plane.project(chosen)
    where = f"layer {layer}" if layer.isdecimal() else f"the {_worded(layer)}"
    return Finding(
        question=f"How do the vectors of {word} differ between texts?",
        answer=(
            f"The mean cosine between the vectors of {word} in two of {len(texts)} "
            f"texts is {similarity[0]:.2f} in the embeddings and "
            f"{similarity[-1]:.2f} in the last layer"
            + (
                f", where two other words have {floor[-1]:.2f}."
                if len(others_drawn) > 1
                else "."
            )
        ),
        about=ABOUT,
        facts=[
            (
                f"the first `{word}` of each line of `{Path(request.source).name}`, a "
                "whole word in any case"
            ),
            f"other words drawn by seed {request.seed}",
        ],
        parts=[
            Part(
                f"In {where}",
                [
                    Pictures([_plane(flat, where), _curve(word, similarity, floor)]),
                    _neighbours(texts, spans, nearest, near),
                ],
            ),
            Part("By layer", [_layer_table(names, similarity, floor)]),
        ],
        arrays={
            "vectors": vectors,
            "spans": np.array(spans),
            "texts": np.array(texts),
            "plane": flat.points,
            "nearest": nearest,
            "cosines": near,
            "self_similarity": similarity,
            "other_words": floor,
        },
        scores={
            f"self-similarity/{layers.name(name)}": float(value)
            for name, value in zip(names, similarity, strict=True)
        },
    )


def _worded(layer: str) -> str:
    return {"last": "last layer", states.LAST_FOUR: "last four layers side by side"}[
        layer
    ]


def _plane(flat: plane.Plane, where: str) -> Picture:
    return Picture(
        "plane",
        plane.numbered(flat, (4.8, 3.6)),
        4.8,
        3.6,
        f"The word in each text, in {where}: its first two principal components. "
        "Numbers are those of the table, left out where they have no room.",
    )


def _curve(word: str, similarity: np.ndarray, floor: np.ndarray) -> Picture:
    shown = [Curve(word, similarity.tolist(), (), INK)]
    if np.isfinite(floor).all():
        shown.append(Curve("other words", floor.tolist(), (), GREY))
    return Picture(
        "self_similarity",
        layers.curves(shown, [], "mean cosine"),
        4.8,
        3.6,
        "Self-similarity by layer: the lower, the more a vector depends on its text.",
    )


def _layer_table(names: list[str], similarity: np.ndarray, floor: np.ndarray) -> Grid:
    rows = [
        (name, f"{value:.3f}", f"{base:.3f}", f"{value - base:.3f}".replace("-", "−"))
        for name, value, base in zip(names, similarity, floor, strict=True)
    ]
    header = ("layer", "self-similarity", "two other words", "beyond them")
    return Grid(header, "lrrr", rows, -1)


def _neighbours(
    texts: list[str], spans: list[Span], nearest: np.ndarray, near: np.ndarray
) -> Grid:
    rows = [
        (
            str(number + 1),
            around(texts[number], spans[number]),
            str(other + 1),
            around(texts[other], spans[other]),
            f"{near[number]:.3f}",
        )
        for number, other in enumerate(nearest[:SHOWN])
    ]
    more = f" (the first {SHOWN})" if len(texts) > SHOWN else ""
    return Grid(
        ("", f"text{more}", "", "the nearest other", "cosine"), "rlrlr", rows, -1
    )


def around(text: str, span: Span) -> str:
    """The text around a span, cut at both sides."""
    begin = max(min(span[0], len(text) - AROUND) - AROUND, 0)
    end = max(min(span[1] + AROUND, len(text)), min(begin + 2 * AROUND, len(text)))
    before, after = "…" if begin else "", "…" if end < len(text) else ""
    return f"{before}{text[begin:end].strip()}{after}"
