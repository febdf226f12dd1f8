"""The nearest texts of a file to a query text, by cosine."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bert_jax.inspect.draw import projection
from bert_jax.inspect.draw.finding import Finding, Part, Picture, Pictures
from bert_jax.inspect.measure import cosines
from bert_jax.inspect.measure import space as spaces
from bert_jax.inspect.measure.cosines import Near
from bert_jax.inspect.words import views
from bert_jax.inspect.words.views import View
from bert_jax.predict.model import Model
from bert_jax.render.document import Grid
from bert_jax.run.config import UsageError
from bert_jax.tasks.records import lines

DRAWN = 2000  # texts on the map, evenly sampled from the file
LONG = 160  # characters of a text in a table
ABOUT = (
    "The vector of a text is the mean of the vectors of its tokens (`--pool`). A model "
    "that was trained to fill masks never learnt to put texts of one meaning near each "
    "other: its nearest texts may share words, length and form before they share "
    "meaning. Models are trained for that too (Reimers & Gurevych 2019)."
)
CONE = (
    "Vectors of a run crowd in a narrow cone (Ethayarajh 2019, section 4.1): read a "
    "cosine against the mean over all texts of the file, the grey row."
)
POOLS = {
    "mean": "the mean of its tokens, [CLS] and [SEP] included",
    "pieces": "the mean of its tokens, without [CLS] and [SEP]",
    "first": "that of [CLS]",
}


class SentenceRequest(NamedTuple):
    """A request for the nearest texts. texts: the non-blank lines of the file; numbers:
    their line numbers, from 1."""

    queries: list[str]
    texts: list[str]
    numbers: list[int]
    file: str
    top: int
    layer: str
    pool: str


class SentenceNeighbours(NamedTuple):
    """The nearest texts of each query. queries: (q, D) float32 of length 1; vectors:
    those of the texts, (n, D)."""

    queries: np.ndarray
    vectors: np.ndarray
    nearest: list[Near]


def request(args: argparse.Namespace, overrides: Mapping[str, str]) -> SentenceRequest:
    """Read the request and its file. UsageError for an empty query or file."""
    if args.top < 1:
        raise UsageError(f"--top={args.top}: show one text or more")
    for text in args.texts:
        if not text.strip():
            raise UsageError("a text to look for is empty")
    numbered = enumerate(lines(Path(args.file), "utf-8"), 1)
    filled = [(number, line.strip()) for number, line in numbered if line.strip()]
    if not filled:
        raise UsageError(f"{args.file} holds no text")
    numbers, texts = map(list, zip(*filled, strict=True))
    name = Path(args.file).name
    return SentenceRequest(
        args.texts, texts, numbers, name, args.top, args.layer, args.pool
    )


def find(model: Model | None, request: SentenceRequest) -> Finding:
    """Find the nearest texts to each query. UsageError for a query without known
    tokens."""
    assert model is not None  # options.check has made sure
    view = views.run_view(model, request.layer, request.pool)
    neighbours = look(view, request.queries, request.texts, request.top)
    best = [float(near.cosines[0]) for near in neighbours.nearest]
    return Finding(
        question=_question(request),
        answer=_answer(request, neighbours),
        about=[ABOUT, CONE],
        facts=[
            f"{len(request.texts):,} texts of {request.file}",
            f"{view.where}; the vector of a text is {POOLS[request.pool]}",
        ],
        parts=[
            *(
                Part(f"Near to “{_cut(query)}”", [_grid(request, near)])
                for query, near in zip(request.queries, neighbours.nearest, strict=True)
            ),
            Part("Map", [Pictures([_map(request, neighbours)])]),
        ],
        arrays={
            "vectors": neighbours.vectors,
            "lines": np.array(request.numbers),
            "queries": neighbours.queries,
            "nearest": np.array(
                [
                    [request.numbers[row] for row in near.rows]
                    for near in neighbours.nearest
                ]
            ),
            "cosines": np.array([near.cosines for near in neighbours.nearest]),
        },
        scores={
            f"cosine/best of text {number}": cosine
            for number, cosine in enumerate(best, 1)
        },
    )


def look(
    view: View, queries: Sequence[str], texts: Sequence[str], top: int
) -> SentenceNeighbours:
    """Search the `top` texts with the largest cosine to each query.

    A text of unknown characters alone has a zero vector, and so a cosine of 0.
    UsageError for such a query.
    """
    query_vectors = cosines.unit(view.pick(spaces.vectors(view.space, queries)))
    vectors = views.stream(view, texts)
    nearest = [cosines.nearest(query, vectors, top, ()) for query in query_vectors]
    return SentenceNeighbours(query_vectors.astype(np.float32), vectors, nearest)


def _question(request: SentenceRequest) -> str:
    if len(request.queries) > 1:
        return f"Which texts of {request.file} are near to these?"
    return f"Which texts of {request.file} are near to “{_cut(request.queries[0])}”?"


def _answer(request: SentenceRequest, neighbours: SentenceNeighbours) -> str:
    near, query = neighbours.nearest[0], request.queries[0]
    row = near.rows[0]
    return (
        f"Nearest to “{_cut(query)}” is line {request.numbers[row]}, "
        f"“{_cut(request.texts[row])}”, with a cosine of {_number(near.cosines[0])}; "
        f"the mean over the {len(request.texts):,} texts is {_number(near.mean)}."
    )


def _grid(request: SentenceRequest, near: Near) -> Grid:
    rows = [
        (_number(cosine), str(request.numbers[row]), _cut(request.texts[row]))
        for row, cosine in zip(near.rows, near.cosines, strict=True)
    ]
    rows.append((_number(near.mean), "", "mean over all texts"))
    return Grid(("cosine", "line", "text"), "rrl", rows, len(rows) - 1)


def _map(request: SentenceRequest, neighbours: SentenceNeighbours) -> Picture:
    """The map of the queries, their neighbours and a readable sample of the other
    texts."""
    near = [int(row) for one in neighbours.nearest for row in one.rows]
    sample = range(0, len(request.texts), -(-len(request.texts) // DRAWN))
    rows = list(dict.fromkeys([*near, *sample]))
    points, shares = projection.pca(
        np.concatenate([neighbours.queries, neighbours.vectors[rows]])
    )
    labels = [*request.queries, *(request.texts[row] for row in rows)]
    count = len(request.queries)
    share = "all" if len(sample) == len(request.texts) else f"{len(sample):,}"
    return Picture(
        "map",
        projection.chart(points, shares, labels, count, count + len(set(near))),
        7.2,
        5.4,
        f"The texts looked for (dark) and {share} texts of the file, vectors of length "
        "1 on the two directions in which they differ most. Labels stand where there "
        "is room, those of the nearest texts first; what is near on the map may "
        "differ in all other directions.",
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONG else text[: LONG - 1].rstrip() + "…"


def _number(value: float) -> str:
    return f"{round(float(value), 3) + 0.0:.3f}".replace("-", "−")
