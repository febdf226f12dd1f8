"""Words in one space of vectors: nearest neighbours, and agreement with human
judgement."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import tqdm

from bert_jax.inspect.measure import cosines, similarity, states
from bert_jax.inspect.measure import space as spaces
from bert_jax.inspect.measure.cosines import Near
from bert_jax.inspect.measure.similarity import Agreement, Judged
from bert_jax.inspect.measure.space import Space
from bert_jax.predict.model import Model
from bert_jax.run.config import UsageError

BLOCK = 1024  # words looked up at once, with all layers in memory
SAMPLE = 1000  # words of the vocabulary for the mean cosine
AROUND = 6  # neighbours of each word on the map


class Asked(NamedTuple):
    """The words, analogies and judged pairs to look up. candidates: () for the
    vocabulary."""

    words: Sequence[str]
    analogies: Sequence[tuple[str, str, str]]
    judged: Sequence[Judged]
    top: int
    candidates: Sequence[str]


class View(NamedTuple):
    """A space, and the function that selects one vector per word from its layers."""

    space: Space
    where: str  # "layer 6 of the run"
    pick: Callable[[np.ndarray], np.ndarray]  # (n, layers, D) -> (n, D)


class ViewResults(NamedTuple):
    """The results of one view.

    words: all given words, those of analogies too; vectors: (n, layers, D) of them;
    picked: (n, D). candidates: those of the `offered` ones that have a vector.
    baseline: the mean cosine of words of the vocabulary, (layers,). agreements: by
    layer; chosen: of the picked vectors.
    """

    view: View
    words: list[str]
    vectors: np.ndarray
    picked: np.ndarray
    offered: int
    candidates: list[str]
    nearest: list[Near]
    analogies: list[Near]
    around: list[str]  # neighbours that are not among the given words
    nearby: np.ndarray  # vectors of `around`, of length 1
    baseline: np.ndarray
    agreements: list[Agreement]
    chosen: list[Agreement]


def run_view(model: Model, layer: str, pool: str) -> View:
    """The view of the named layer of a run, with texts pooled as in states.of_texts.
    UsageError for a layer out of range."""
    pick = partial(states.select, model, text=layer)
    if layer == states.LAST_FOUR:
        where = "the last four layers of the run"
    else:
        where = f"layer {states.layer(model, layer)} of the run"
    return View(spaces.model_space(model, pool), where, pick)


def static_view(space: Space, layer: str) -> View:
    """The view of static vectors, whose one layer is "last". UsageError for another."""
    if layer != "last":
        raise UsageError(f"--layer={layer}: {space.name} has one vector a word")
    return View(space, f"the vectors of {space.name}", lambda vectors: vectors[:, 0])


def look(view: View, asked: Asked) -> ViewResults:
    """Look up the words, analogies and judged pairs in a view. UsageError for an
    unknown word, and where all candidates or all judged pairs are unknown."""
    space = view.space
    given = [*asked.words, *(word for three in asked.analogies for word in three)]
    given = list(dict.fromkeys(given))
    vectors = spaces.vectors(space, given)
    picked = view.pick(vectors)
    agreements, chosen = agree(view, asked.judged)
    offered = asked.candidates or space.vocabulary
    names, matrix = known(view, offered) if given else ([], picked[:0])
    nearest, analogies = _nearest(asked, dict(zip(given, picked)), names, matrix)
    rows = [row for one in nearest + analogies for row in one.rows[:AROUND]]
    rows = [row for row in dict.fromkeys(rows) if names[row] not in given]
    sample = cosines.spread(space.vocabulary, SAMPLE)
    return ViewResults(
        view=view,
        words=given,
        vectors=vectors,
        picked=picked,
        offered=len(offered),
        candidates=names,
        nearest=nearest,
        analogies=analogies,
        around=[names[row] for row in rows],
        nearby=matrix[rows],
        baseline=cosines.mean(space.look_up(sample)[1]),
        agreements=agreements,
        chosen=chosen,
    )


def known(view: View, words: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The words that have a vector, and their picked vectors (n, D) float32 of length
    1. UsageError where there is none."""
    vectors = stream(view, words)
    is_known = np.abs(vectors).max(axis=1) > 0
    if not is_known.any():
        raise UsageError(
            f"{view.space.name} knows none of the {len(words):,} candidates"
        )
    names = [word for word, hit in zip(words, is_known, strict=True) if hit]
    return names, vectors[is_known]


def stream(view: View, texts: Sequence[str]) -> np.ndarray:
    """Picked vectors (n, D) float32 of many texts, of length 1; zeros if unknown."""
    # The vocabulary of a run takes a minute, and is never in memory with all layers.
    blocks = tqdm.tqdm(range(0, len(texts), BLOCK), unit="block", disable=None)
    return np.concatenate(
        [
            cosines.unit(view.pick(view.space.look_up(texts[begin : begin + BLOCK])[1]))
            for begin in blocks
        ]
    ).astype(np.float32)


def agree(
    view: View, judged: Sequence[Judged]
) -> tuple[list[Agreement], list[Agreement]]:
    """The agreement with each file, in every layer and in the picked vectors."""
    asked = similarity.words(judged)
    is_known, vectors = view.space.look_up(asked)
    picked = view.pick(vectors)[:, None]
    names = [word for word, hit in zip(asked, is_known, strict=True) if hit]
    both = []
    for layers in (vectors, picked):
        index = dict(zip(names, layers[is_known], strict=True))
        both.append(
            [similarity.agreement(one, index, view.space.name) for one in judged]
        )
    return both[0], both[1]


def _nearest(
    asked: Asked, vectors: dict[str, np.ndarray], names: list[str], matrix: np.ndarray
) -> tuple[list[Near], list[Near]]:
    """The neighbours of each word and of each analogy, without the given words in any
    case."""

    def near(query: np.ndarray, without: Sequence[str]) -> Near:
        excluded = {word.casefold() for word in without}
        rows = {row for row, word in enumerate(names) if word.casefold() in excluded}
        return cosines.nearest(query, matrix, asked.top, rows)

    return [near(vectors[word], [word]) for word in asked.words], [
        near(cosines.analogy(*(vectors[word] for word in three)), three)
        for three in asked.analogies
    ]
