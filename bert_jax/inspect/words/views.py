"""Words in one space of vectors: what is nearest, and what agrees with judgement."""

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

BLOCK = 1024  # words looked up at once: all their layers are held only so long
SAMPLE = 1000  # words of the vocabulary whose mean cosine is told
AROUND = 6  # neighbours of each word that are on the map


class Asked(NamedTuple):
    """candidates: () for the vocabulary."""

    words: Sequence[str]
    analogies: Sequence[tuple[str, str, str]]
    judged: Sequence[Judged]
    top: int
    candidates: Sequence[str]


class View(NamedTuple):
    """A space, and the one vector of a word that is taken from its layers."""

    space: Space
    where: str  # "layer 6 of the run"
    pick: Callable[[np.ndarray], np.ndarray]  # (n, layers, D) -> (n, D)


class Seen(NamedTuple):
    """What is found in one view.

    words: all that were given, those of analogies too; vectors: theirs, (n, layers, D);
    picked: (n, D). candidates: those that have a vector, of `offered`. baseline: the
    mean cosine of words of the vocabulary, (layers,). agreements: by layer; chosen: of
    the vectors that are picked.
    """

    view: View
    words: list[str]
    vectors: np.ndarray
    picked: np.ndarray
    offered: int
    candidates: list[str]
    nearest: list[Near]
    analogies: list[Near]
    around: list[str]  # words that are nearest to one, and not among those given
    nearby: np.ndarray  # their vectors, of length 1
    baseline: np.ndarray
    agreements: list[Agreement]
    chosen: list[Agreement]


def of_run(model: Model, layer: str, pool: str) -> View:
    """Texts pooled as states.of_texts says ("pieces" of a word by itself), in the layer
    so named. UsageError where there is none."""
    pick = partial(states.select, model, text=layer)
    if layer == states.LAST_FOUR:
        where = "the last four layers of the run"
    else:
        where = f"layer {states.layer(model, layer)} of the run"
    return View(spaces.of_model(model, pool), where, pick)


def of_static(space: Space, layer: str) -> View:
    """Static vectors have one layer, the "last". UsageError for another."""
    if layer != "last":
        raise UsageError(f"--layer={layer}: {space.name} has one vector a word")
    return View(space, f"the vectors of {space.name}", lambda found: found[:, 0])


def look(view: View, asked: Asked) -> Seen:
    """All that is asked of one view. UsageError for an unknown word, for candidates and
    judged pairs of which none is known."""
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
    return Seen(
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
    """Those words that have a vector, and the vectors that are picked, (n, D) float32 of
    length 1. UsageError where there is none."""
    found = stream(view, words)
    sees = np.abs(found).max(axis=1) > 0
    if not sees.any():
        raise UsageError(
            f"{view.space.name} knows none of the {len(words):,} candidates"
        )
    return [word for word, one in zip(words, sees, strict=True) if one], found[sees]


def stream(view: View, texts: Sequence[str]) -> np.ndarray:
    """(n, D) float32: the vectors of many texts, of length 1 or zeros where unknown."""
    # A run takes a minute for its vocabulary, and never holds all layers of it.
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
    """With each file: in every layer, and in the vectors that are picked."""
    asked = similarity.words(judged)
    sees, vectors = view.space.look_up(asked)
    picked = view.pick(vectors)[:, None]
    names = [word for word, one in zip(asked, sees, strict=True) if one]
    both = []
    for own in (vectors, picked):
        index = dict(zip(names, own[sees], strict=True))
        both.append(
            [similarity.agreement(one, index, view.space.name) for one in judged]
        )
    return both[0], both[1]


def _nearest(
    asked: Asked, vectors: dict[str, np.ndarray], names: list[str], matrix: np.ndarray
) -> tuple[list[Near], list[Near]]:
    """Of each word and of each analogy. In no spelling is a word its own neighbour."""

    def near(query: np.ndarray, without: Sequence[str]) -> Near:
        own = {word.casefold() for word in without}
        rows = {row for row, word in enumerate(names) if word.casefold() in own}
        return cosines.nearest(query, matrix, asked.top, rows)

    return [near(vectors[word], [word]) for word in asked.words], [
        near(cosines.analogy(*(vectors[word] for word in three)), three)
        for three in asked.analogies
    ]
