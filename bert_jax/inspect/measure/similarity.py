"""Word similarity: human judgements and their correlation with cosines of vectors."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bert_jax.inspect.measure.cosines import unit
from bert_jax.inspect.measure.space import Space
from bert_jax.run.config import UsageError
from bert_jax.tasks import metrics
from bert_jax.tasks.records import lines


class Judged(NamedTuple):
    """Pairs of words and their human similarity scores; higher is more similar."""

    name: str
    pairs: list[tuple[str, str]]
    scores: np.ndarray  # (n,) float64


class Agreement(NamedTuple):
    """Spearman's correlation r between human scores and cosines, over the known pairs.

    r, low, high: (layers,), the correlation and its 95 % interval in each layer. pairs:
    of the file. known: pairs of which both words have a vector.
    """

    name: str
    pairs: int
    known: int
    r: np.ndarray
    low: np.ndarray
    high: np.ndarray


def read(path: str | Path) -> Judged:
    """Read a file of lines WORD WORD SCORE, with tabs or spaces between; blank lines
    are skipped. UsageError, with file and line, for another line."""
    path, pairs, scores = Path(path), [], []
    for number, line in enumerate(lines(path, "utf-8"), 1):
        if line.strip():
            fields = line.strip().split("\t") if "\t" in line else line.split()
            pair, score = _entry(f"{path}, line {number}", fields)
            pairs.append(pair)
            scores.append(score)
    if not pairs:
        raise UsageError(f"{path} holds no pair of words")
    return Judged(path.stem, pairs, np.array(scores))


def _entry(where: str, fields: list[str]) -> tuple[tuple[str, str], float]:
    fields = [field.strip() for field in fields]
    if len(fields) != 3 or not all(fields):
        raise UsageError(f"{where}: wanted WORD WORD SCORE")
    try:
        score = float(fields[2])
    except ValueError:
        score = math.nan
    if not math.isfinite(score) or "_" in fields[2]:
        raise UsageError(f"{where}: the score {fields[2]!r} is no number")
    return (fields[0], fields[1]), score


def words(judged: Sequence[Judged]) -> list[str]:
    """The distinct words of all pairs."""
    every = (word for each in judged for pair in each.pairs for word in pair)
    return list(dict.fromkeys(every))


def space_agreements(judged: Sequence[Judged], space: Space) -> list[Agreement]:
    """The agreement of each file in every layer of a space. UsageError as in
    `agreement`."""
    asked = words(judged)
    known, vectors = space.look_up(asked)
    by_word = {word: vector for word, hit, vector in zip(asked, known, vectors) if hit}
    return [agreement(each, by_word, space.name) for each in judged]


def agreement(judged: Judged, vectors: dict[str, np.ndarray], name: str) -> Agreement:
    """The agreement of one file with vectors (layers, D) of its known words.

    Pairs with an unknown word are left out. UsageError, which cites `name`, if fewer
    than two pairs are left.
    """
    known = [all(word in vectors for word in pair) for pair in judged.pairs]
    count = sum(known)
    if count < 2:
        raise UsageError(
            f"{name} knows both words of {count} of the {len(known):,} pairs of "
            f"{judged.name}: too few for a correlation"
        )
    pairs = [pair for pair, hit in zip(judged.pairs, known, strict=True) if hit]
    left, right = (
        unit(np.array([vectors[pair[side]] for pair in pairs], np.float64))
        for side in (0, 1)
    )
    cosines = np.einsum("nld,nld->ln", left, right)
    scores = judged.scores[known]
    r = np.array([metrics.spearman(scores, layer) for layer in cosines])
    return Agreement(judged.name, len(known), count, r, *interval(r, count))


def interval(r: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of Spearman's correlation over `count` pairs.

    Fisher's z with the error sqrt((1 + r^2 / 2) / (n - 3)) (Bonett & Wright 2000); all
    of [-1, 1] for three pairs or fewer.
    """
    r = np.asarray(r, np.float64)
    if count < 4:
        return np.full_like(r, -1), np.full_like(r, 1)
    half = metrics.Z95 * np.sqrt((1 + r**2 / 2) / (count - 3))
    with np.errstate(divide="ignore"):
        z = np.arctanh(np.clip(r, -1, 1))  # infinite at 1, whose interval is [1, 1]
    return np.tanh(z - half), np.tanh(z + half)
