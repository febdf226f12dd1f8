"""Nearest words, analogies, cosines, and agreement with human similarity judgements, in
the layers of a run, in static vectors, or in both."""

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
from bert_jax.inspect.words.views import Asked, ViewResults
from bert_jax.predict.model import Model
from bert_jax.run.config import UsageError
from bert_jax.tasks.records import lines

CURVES = 6  # cosines followed over training


class WordRequest(NamedTuple):
    """A request about words. static: None if only the run is inspected. learnt: a note
    on the text that word2vec was trained on, or ""."""

    asked: Asked
    layer: str
    static: Space | None
    learnt: str


def request(args: argparse.Namespace, overrides: Mapping[str, str]) -> WordRequest:
    """Read the files, and train or read static vectors, once for all steps."""
    if not (args.words or args.analogy or args.similarity):
        raise UsageError("words: name a WORD, --analogy A B C or --similarity FILE")
    if args.top < 1:
        raise UsageError(f"--top={args.top}: show one word or more")
    if args.corpus and args.static not in spaces.KINDS:
        raise UsageError(f"--corpus is what --static={spaces.LEARNED} learns from")
    asked = Asked(
        list(dict.fromkeys(args.words)),
        [(a, b, c) for a, b, c in args.analogy],
        [similarity.read(path) for path in args.similarity],
        args.top,
        _candidates(args.candidates),
    )
    texts = list(lines(Path(args.corpus), "utf-8")) if args.corpus else []
    static = spaces.static_space(args.static, texts, args.seed) if args.static else None
    learnt = page.learnt(args.static, texts, args.corpus) if texts else ""
    return WordRequest(asked, args.layer, static, learnt)


def _candidates(path: str) -> list[str]:
    listed = [line.strip() for line in lines(Path(path), "utf-8")] if path else []
    words = [word for word in dict.fromkeys(listed) if word]
    if path and not words:
        raise UsageError(f"{path} holds no word")
    return words


def find(model: Model | None, request: WordRequest) -> Finding:
    """Answer the request, in the run, in the static vectors, or in both."""
    asked, selected = request.asked, []
    if model is not None:
        selected.append(views.run_view(model, request.layer, "pieces"))
    if request.static is not None:
        selected.append(
            views.static_view(request.static, "last" if selected else request.layer)
        )
    results = [views.look(view, asked) for view in selected]
    return Finding(
        question=page.question(asked),
        answer=page.answer(results[0], asked, request.learnt),
        about=page.about(asked, model is not None, request.static is not None),
        facts=page.facts(results, asked, _split(model, asked)),
        parts=[part for result in results for part in page.parts(result, asked)],
        arrays={
            f"{'' if result is results[0] else 'static_'}{name}": array
            for result in results
            for name, array in _arrays(result, asked.top).items()
        },
        scores=_scores(results[0]),
    )


def _split(model: Model | None, asked: Asked) -> list[str]:
    """The requested words that the tokenizer of the run splits."""
    given = [*asked.words, *(word for three in asked.analogies for word in three)]
    given = list(dict.fromkeys([*given, *similarity.words(asked.judged)]))
    ids = model.tokenizer.ids(given) if model is not None else []
    return [word for word, word_ids in zip(given, ids) if len(word_ids) > 1]


def _arrays(results: ViewResults, top: int) -> dict[str, np.ndarray]:
    """The arrays of a view; short lists of neighbours are padded with "" and nan."""
    arrays = {"mean_cosine": results.baseline}
    if results.words:
        arrays |= {"words": np.array(results.words), "vectors": results.vectors}
        arrays["cosines"] = cosines.table(results.picked)
    for kind, lists in (("nearest", results.nearest), ("analogies", results.analogies)):
        if lists:
            arrays |= _listed(kind, lists, results.candidates, top)
    for agreement in results.agreements:
        arrays[f"spearman_{agreement.name}"] = np.stack(
            [agreement.r, agreement.low, agreement.high]
        )
    return arrays


def _listed(
    kind: str, lists: Sequence[Near], names: list[str], top: int
) -> dict[str, np.ndarray]:
    rows = [[names[row] for row in near_words.rows] for near_words in lists]
    near = np.full((len(lists), top), np.nan)
    for row, near_words in enumerate(lists):
        near[row, : len(near_words.cosines)] = near_words.cosines
    words = [neighbours + [""] * (top - len(neighbours)) for neighbours in rows]
    return {kind: np.array(words), f"{kind}_cosines": near}


def _scores(results: ViewResults) -> dict[str, float]:
    """The agreement with human judgement if requested, else cosines of given words."""
    if results.chosen:
        return {f"Spearman/{one.name}": float(one.r[0]) for one in results.chosen}
    table, names = cosines.table(results.picked), results.words
    pairs = [(a, b) for b in range(len(names)) for a in range(b)][:CURVES]
    if not pairs:
        mean = float(results.nearest[0].cosines[:1].sum())
        return {f"cosine/{names[0]} and its nearest": mean}
    return {f"cosine/{names[a]} {names[b]}": float(table[a, b]) for a, b in pairs}
