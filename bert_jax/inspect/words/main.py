"""Nearest words, analogies, cosines, and agreement with what people find alike: of the
layers of a run, of static vectors, or of both."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bert_jax.inspect.draw.finding import Finding
from bert_jax.inspect.measure import cosines, similarity
from bert_jax.inspect.measure import space as spaces
from bert_jax.inspect.measure.cosines import Near
from bert_jax.inspect.measure.space import Space
from bert_jax.inspect.words import page, views
from bert_jax.inspect.words.views import Asked, Seen
from bert_jax.predict.model import Model
from bert_jax.run.config import UsageError
from bert_jax.tasks.records import lines

CURVES = 6  # cosines followed over training


class Request(NamedTuple):
    """static: None where the run is looked at alone. learnt: the text of word2vec, as
    the page tells it; "" where nothing was learnt here."""

    asked: Asked
    layer: str
    static: Space | None
    learnt: str


def request(args: argparse.Namespace, overrides: Mapping[str, str]) -> Request:
    """Reads the files, and learns or reads static vectors, once for all steps."""
    if not (args.words or args.analogy or args.similarity):
        raise UsageError("words: name a WORD, --analogy A B C or --similarity FILE")
    if args.top < 1:
        raise UsageError(f"--top={args.top}: show one word or more")
    if args.corpus and args.static not in spaces.KINDS:
        raise UsageError("--corpus is what --static=skipgram or cbow learns from")
    asked = Asked(
        list(dict.fromkeys(args.words)),
        [(a, b, c) for a, b, c in args.analogy],
        [similarity.read(path) for path in args.similarity],
        args.top,
        _candidates(args.candidates),
    )
    texts = list(lines(Path(args.corpus), "utf-8")) if args.corpus else []
    static = spaces.static(args.static, texts, args.seed) if args.static else None
    learnt = page.learnt(args.static, texts, args.corpus) if texts else ""
    return Request(asked, args.layer, static, learnt)


def _candidates(path: str) -> list[str]:
    listed = [line.strip() for line in lines(Path(path), "utf-8")] if path else []
    found = [word for word in dict.fromkeys(listed) if word]
    if path and not found:
        raise UsageError(f"{path} holds no word")
    return found


def find(model: Model | None, request: Request) -> Finding:
    """What is asked, of the run and of the static vectors: of those that there are."""
    asked, looks = request.asked, []
    if model is not None:
        looks.append(views.of_run(model, request.layer, "pieces"))
    if request.static is not None:
        looks.append(
            views.of_static(request.static, "last" if looks else request.layer)
        )
    seen = [views.look(view, asked) for view in looks]
    return Finding(
        question=page.question(asked),
        answer=page.answer(seen[0], asked, request.learnt),
        about=page.about(asked, model is not None, request.static is not None),
        facts=page.facts(seen, asked, _split(model, asked)),
        parts=[part for one in seen for part in page.parts(one, asked)],
        arrays={
            f"{'' if one is seen[0] else 'static_'}{name}": array
            for one in seen
            for name, array in _arrays(one, asked.top).items()
        },
        scores=_scores(seen[0]),
    )


def _split(model: Model | None, asked: Asked) -> list[str]:
    """Those of all the words that the tokenizer of the run splits into pieces."""
    given = [*asked.words, *(word for three in asked.analogies for word in three)]
    given = list(dict.fromkeys([*given, *similarity.words(asked.judged)]))
    ids = model.tokenizer.ids(given) if model is not None else []
    return [word for word, own in zip(given, ids) if len(own) > 1]


def _arrays(seen: Seen, top: int) -> dict[str, np.ndarray]:
    """Lists of neighbours that are shorter than the longest end with "" and nan."""
    found = {"mean_cosine": seen.baseline}
    if seen.words:
        found |= {"words": np.array(seen.words), "vectors": seen.vectors}
        found["cosines"] = cosines.table(seen.picked)
    for kind, lists in (("nearest", seen.nearest), ("analogies", seen.analogies)):
        if lists:
            found |= _listed(kind, lists, seen.candidates, top)
    for one in seen.agreements:
        found[f"spearman_{one.name}"] = np.stack([one.r, one.low, one.high])
    return found


def _listed(
    kind: str, lists: Sequence[Near], names: list[str], top: int
) -> dict[str, np.ndarray]:
    rows = [[names[row] for row in one.rows] for one in lists]
    near = np.full((len(lists), top), np.nan)
    for place, one in enumerate(lists):
        near[place, : len(one.cosines)] = one.cosines
    words = [own + [""] * (top - len(own)) for own in rows]
    return {kind: np.array(words), f"{kind}_cosines": near}


def _scores(seen: Seen) -> dict[str, float]:
    """Agreement where it was asked for, else the cosines of the words given."""
    if seen.chosen:
        return {f"Spearman/{one.name}": float(one.r[0]) for one in seen.chosen}
    table, names = cosines.table(seen.picked), seen.words
    pairs = [(a, b) for b in range(len(names)) for a in range(b)][:CURVES]
    if not pairs:
        mean = float(seen.nearest[0].cosines[:1].sum())
        return {f"cosine/{names[0]} and its nearest": mean}
    return {f"cosine/{names[a]} {names[b]}": float(table[a, b]) for a, b in pairs}
