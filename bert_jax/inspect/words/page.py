"""The page of words: its question, answer, notes, tables and figures."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.figure import FigureBase

from bert_jax.inspect.draw import projection
from bert_jax.inspect.draw.finding import Part, Picture, Pictures
from bert_jax.inspect.measure import cosines
from bert_jax.inspect.measure.cosines import Near
from bert_jax.inspect.measure.similarity import Agreement
from bert_jax.inspect.measure.space import STATIC, tokens
from bert_jax.inspect.words.views import Asked, ViewResults
from bert_jax.render.document import Grid
from bert_jax.render.drawing import COLOURS, Draw

NONE = "–"  # where there is no number
BESIDE = 4  # lists in one table
PAIRS = 15  # pairs of words whose cosines are shown by layer
MENTIONED = 2  # words, analogies and files in the answer
LITTLE = 1_000_000  # words of a text below which word2vec learns little
NOTHING = 10_000  # words below which it learns nothing

ALONE = (
    "The vector of a word of the run is that of the word by itself, `[CLS]` word "
    "`[SEP]`: the mean over its tokens where the tokenizer splits it. A run is trained "
    "on sentences and never on single words, so these vectors are worse than the mean "
    "over many sentences with the word (Bommasani et al. 2020). They say what the run "
    "makes of the bare word, of all its senses at once."
)
CONE = (
    "The vectors of a run crowd in a narrow cone (Ethayarajh 2019, section 4.1): any "
    "two words may have a high cosine. A cosine says something only beside the mean "
    "over other words, which the tables show in grey. What is near is also what is "
    "spelt or inflected alike, and what occurs in the same places: antonyms too."
)
STATICS = (
    "Static vectors have one vector a word, whatever its senses and its sentence. A "
    "word that they never met has none."
)
LEFT_OUT = (
    "An analogy is answered by 3CosAdd: the word whose vector has the largest cosine "
    "to B − A + C (Mikolov, Yih & Zweig 2013; Levy & Goldberg 2014, equation 1). The "
    "three words given are left out; else B or C itself would mostly be the answer, so "
    "a right answer may show no more than that it is near B and C (Linzen 2016)."
)
JUDGES = (
    "Spearman's correlation compares the order of the cosines with the order of human "
    "scores; it knows no anisotropy. Judges do not agree with each other entirely, and "
    "files ask different things: in SimLex-999 coast and shore are alike, clothes and "
    "closet are not; WordSim-353 and MEN count what belongs together."
)


def question(asked: Asked) -> str:
    if asked.words:
        return f"Which words are near {_and(asked.words)}?"
    if asked.analogies:
        a, b, c = asked.analogies[0]
        return f"What is to {c} as {b} is to {a}?"
    return "Do cosines of words agree with human judgement?"


def answer(results: ViewResults, asked: Asked, learnt: str) -> str:
    """The first words, analogies and files, and the note on the text of word2vec."""
    claims = [
        f"nearest to {word} is {_best(results, near)}"
        for word, near in zip(asked.words[:MENTIONED], results.nearest, strict=False)
    ]
    claims += [
        f"{a} is to {b} as {c} to {_best(results, near)}"
        for (a, b, c), near in zip(
            asked.analogies[:MENTIONED], results.analogies, strict=False
        )
    ]
    text = f"In {results.view.where} {'; '.join(claims)}." if claims else ""
    if agreed := [
        f"{_number(one.r[0])} with {one.name} ({_interval(one)})"
        for one in results.chosen[:MENTIONED]
    ]:
        whose = "" if claims else f" of {results.view.where}"
        text += f" Spearman's correlation{whose} is {_and(agreed)}."
    return f"{text} {learnt}".strip()


def learnt(kind: str, texts: Sequence[str], corpus: str) -> str:
    """A note on the corpus of static vectors, with a warning if it is small."""
    count, filled = sum(len(tokens(text)) for text in texts), sum(map(bool, texts))
    sentences = "sentence" if filled == 1 else "sentences"
    name = "FastText" if kind == "fasttext" else f"Word2vec ({kind})"
    text = f"{name} read {count:,} words in the {filled:,} {sentences} of "
    text += f"{Path(corpus).name}"
    if count < NOTHING:
        return f"{text}: so few teach it nothing, and no claim is made of its vectors."
    if count < LITTLE:
        return f"{text}: {name.partition(' ')[0].lower()} is made for a thousand times as many."
    return f"{text}."


def about(asked: Asked, run: bool, static: bool) -> list[str]:
    notes = [ALONE] * run + [STATICS] * static + [CONE] * run
    return notes + [LEFT_OUT] * bool(asked.analogies) + [JUDGES] * bool(asked.judged)


def facts(
    results: Sequence[ViewResults], asked: Asked, split: Sequence[str]
) -> list[str]:
    notes = []
    for result in results:
        what = "given candidates" if asked.candidates else "words of the vocabulary"
        lost = result.offered - len(result.candidates)
        unknown = f", {lost:,} more not known" if lost else ""
        text = (
            f"nearest are looked for among {len(result.candidates):,} {what}{unknown}"
        )
        notes.append(
            f"{result.view.where}: {text}" if result.words else result.view.where
        )
    if results[0].view.space.layers != [STATIC]:
        named = ", ".join(f"`{word}`" for word in split[:8])
        more = ", …" if len(split) > 8 else ""
        are = "1 word is" if len(split) == 1 else f"{len(split):,} words are"
        among = f"{are} split into tokens: {named}{more}"
        notes.append(among if split else "no word is split into tokens")
    return notes


def parts(results: ViewResults, asked: Asked) -> list[Part]:
    """The sections of one view."""
    sections, where = [], results.view.where
    if asked.words:
        sections.append(
            Part(
                f"Nearest words, {where}", _lists(asked.words, results, results.nearest)
            )
        )
    if asked.analogies:
        titles = [f"{a} : {b} = {c} : ?" for a, b, c in asked.analogies]
        sections.append(
            Part(f"Analogies, {where}", _lists(titles, results, results.analogies))
        )
    if results.words:
        sections.append(Part(f"Map, {where}", [Pictures([_map(results)])]))
        sections.append(Part(f"Cosines, {where}", _cosines(results)))
    if results.chosen:
        sections.append(Part(f"Human judgement, {where}", _judgement(results)))
    return sections


def _lists(titles: Sequence[str], results: ViewResults, lists: Sequence[Near]) -> list:
    """Tables of the lists side by side; below each, in grey, the mean over all
    candidates."""
    grids = []
    for begin in range(0, len(lists), BESIDE):
        shown = lists[begin : begin + BESIDE]
        longest = max(len(near.rows) for near in shown)
        rows = [
            (
                str(rank + 1),
                *(cell for near in shown for cell in _cell(results, near, rank)),
            )
            for rank in range(longest)
        ]
        means = (
            cell for near in shown for cell in ("other words, mean", _number(near.mean))
        )
        header = (
            "",
            *(text for title in titles[begin:][:BESIDE] for text in (title, "")),
        )
        grids.append(
            Grid(header, "l" + "lr" * len(shown), [*rows, ("", *means)], longest)
        )
    return grids


def _cell(results: ViewResults, near: Near, rank: int) -> tuple[str, str]:
    if rank >= len(near.rows):
        return "", ""
    return results.candidates[near.rows[rank]], _number(near.cosines[rank])


def _map(results: ViewResults) -> Picture:
    vectors = np.concatenate([cosines.unit(results.picked), results.nearby])
    points, shares = projection.pca(vectors)
    labels = [*results.words, *results.around]
    return Picture(
        f"map_{_file(results)}",
        projection.chart(points, shares, labels, len(results.words), len(labels)),
        7.2,
        5.2,
        "The words given (dark) and those nearest to them, vectors of length 1 on the "
        "two directions in which these words differ most. What is far on the map is "
        "far; what is near on it may differ in the directions that it leaves out. A "
        "label that would cover another is left out.",
    )


def _cosines(results: ViewResults) -> list:
    table, names = cosines.table(results.picked), results.words
    rows = [(name, *map(_number, row)) for name, row in zip(names, table, strict=True)]
    blocks: list = [Grid(("", *names), "l" + "r" * len(names), rows, -1)]
    layers = results.view.space.layers
    pairs = [(a, b) for b in range(len(names)) for a in range(b)][:PAIRS]
    if len(layers) > 1 and pairs:
        by_layer = cosines.unit(results.vectors.astype(np.float64))
        rows = [
            (
                f"{names[a]}, {names[b]}",
                *map(_number, (by_layer[a] * by_layer[b]).sum(-1)),
            )
            for a, b in pairs
        ]
        grid = _layer_table("cosine by layer", results, rows)
        return [*blocks, grid]
    mean = _number(results.baseline[0])
    text = f"Two words of the vocabulary have a cosine of {mean} on average."
    return [*blocks, text]


def _layer_table(title: str, results: ViewResults, rows: list) -> Grid:
    """A table by layer; its last row, in grey, is the mean cosine of any two words."""
    layers = results.view.space.layers
    any_two = ("any two words, mean cosine", *map(_number, results.baseline))
    header, sides = (title, *layers), "l" + "r" * len(layers)
    return Grid(header, sides, [*rows, any_two], len(rows))


def _judgement(results: ViewResults) -> list:
    rows = [
        (
            one.name,
            f"{one.pairs:,}",
            f"{one.known:,}",
            _number(one.r[0]),
            _interval(one),
        )
        for one in results.chosen
    ]
    header = ("file", "pairs", "known", "Spearman", "95 % interval")
    blocks: list = [Grid(header, "lrrrr", rows, -1)]
    if len(results.view.space.layers) > 1:
        rows = [(one.name, *map(_number, one.r)) for one in results.agreements]
        blocks.append(Pictures([_agreement(results)]))
        blocks.append(_layer_table("Spearman by layer", results, rows))
    return blocks


def _agreement(results: ViewResults) -> Picture:
    return Picture(
        f"judgement_{_file(results)}",
        curves(results.view.space.layers, results.agreements),
        6.4,
        3.6,
        "Spearman's correlation of human scores with the cosines in each layer, and "
        "its 95 % interval.",
    )


def curves(layers: Sequence[str], agreements: Sequence[Agreement]) -> Draw:
    """Plot the agreement with each file over the layers, with intervals and labels."""

    def draw(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        places = np.arange(len(layers))
        ends = apart([float(agreement.r[-1]) for agreement in agreements])
        for number, (agreement, end) in enumerate(zip(agreements, ends, strict=True)):
            colour = COLOURS[number % len(COLOURS)]
            panel.fill_between(
                places, agreement.low, agreement.high, color=colour, alpha=0.1, lw=0
            )
            panel.plot(places, agreement.r, "o-", ms=3, lw=1.2, color=colour)
            panel.annotate(
                agreement.name,
                (places[-1], end),
                (7, 0),
                textcoords="offset points",
                va="center",
                color=colour,
                annotation_clip=False,
            )
        panel.set_xticks(places, layers)
        panel.set_xlabel("layer")
        panel.set_ylabel("Spearman")

    return draw


def apart(values: Sequence[float]) -> list[float]:
    """Heights of labels at the ends of curves, shifted up until no two overlap."""
    span = max(max(values) - min(values), 0.4)
    placed = np.array(values)
    order = np.argsort(placed, kind="stable")
    for below, above in pairwise(order):
        placed[above] = max(placed[above], placed[below] + 0.11 * span)
    return placed.tolist()


def _best(results: ViewResults, near: Near) -> str:
    word, cosine = _cell(results, near, 0)
    return f"{word} ({cosine})" if word else "none"


def _interval(agreement: Agreement) -> str:
    return f"{_number(agreement.low[0])} to {_number(agreement.high[0])}"


def _number(value: float) -> str:
    return f"{round(float(value), 2) + 0.0:.2f}".replace("-", "−")  # no minus of 0


def _file(results: ViewResults) -> str:
    return STATIC if results.view.space.layers == [STATIC] else "run"


def _and(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
