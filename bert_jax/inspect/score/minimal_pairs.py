"""Minimal pairs: whether the model gives the acceptable sentence the higher likelihood.

Pairs come as in BLiMP (Warstadt et al. 2020): JSON lines with sentence_good and
sentence_bad, which differ in one phenomenon, and its name.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from bert_jax.inspect.draw.finding import Finding, Part, Picture, Pictures
from bert_jax.render.document import Grid
from bert_jax.render.drawing import FAINT, GREY, INK, RULE
from bert_jax.run.config import UsageError
from bert_jax.tasks.formats import tables
from bert_jax.tasks.metrics import wilson

GOOD, BAD = "sentence_good", "sentence_bad"
UTF8 = "utf-8"
NAMES = ("phenomenon", "linguistics_term", "UID")
ALL = "all"
WRONG = 20  # pairs that the page shows
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
DASHED = (0, (4, 3))
LONGEST = 34  # characters of a name in a figure
MINIMAL = (
    "Of a minimal pair the model is right where the good sentence as a whole has the "
    "higher score (Warstadt et al. 2020); a tie is wrong. A preference for the "
    "likelier words, or for the shorter sentence, looks the same as grammar in a pair "
    "that is not balanced."
)


class Pair(NamedTuple):
    where: str  # "FILE, line N"
    good: str
    bad: str
    phenomenon: str


class Preference(NamedTuple):
    """Preferences for one phenomenon: of `pairs` the model prefers the good sentence in
    `right`. `ties` are counted as wrong. interval: of the accuracy, 95 % (Wilson 1927).
    """

    phenomenon: str
    pairs: int
    right: int
    ties: int
    interval: tuple[float, float]

    @property
    def accuracy(self) -> float:
        return self.right / self.pairs


def read(path: Path, by: str) -> list[Pair]:
    """Read the pairs of a file of JSON lines.

    The phenomenon stands under the key `by`, or if that is "" under the first of NAMES
    that is present; else it is the name of the file. UsageError, with file and line,
    for any other line.
    """
    return [
        _pair(where, value, by, path) for where, value in tables.objects(path, UTF8)
    ]


def _pair(where: str, value: dict, by: str, path: Path) -> Pair:
    good, bad = (_text(where, value, key) for key in (GOOD, BAD))
    key = by or next((name for name in NAMES if name in value), "")
    phenomenon = _text(where, value, key) if key else path.stem
    if phenomenon == ALL:
        raise UsageError(f"{where}: a phenomenon or file named {ALL!r}: rename it")
    return Pair(where, good, bad, phenomenon)


def _text(where: str, value: dict, key: str) -> str:
    text = tables.text_of(where, value, key)
    if not text.strip():
        raise UsageError(f"{where}: nothing in {key!r}")
    return text


def preferences(
    phenomena: Sequence[str], good: np.ndarray, bad: np.ndarray
) -> list[Preference]:
    """The preference for each phenomenon, in alphabetical order, then for ALL if there
    are several, from the scores of good and bad sentences, (n,) each."""
    names, groups = np.unique(np.asarray(phenomena), return_inverse=True)
    per_phenomenon = [
        _preference(str(name), good[groups == i], bad[groups == i])
        for i, name in enumerate(names)
    ]
    return [
        *per_phenomenon,
        *([_preference(ALL, good, bad)] if len(per_phenomenon) > 1 else []),
    ]


def _preference(name: str, good: np.ndarray, bad: np.ndarray) -> Preference:
    right, ties = int(np.sum(good > bad)), int(np.sum(good == bad))
    return Preference(name, len(good), right, ties, wilson(right, len(good)))


def share(accuracy: float) -> str:
    return f"{100 * accuracy:.1f} %"


def ends(interval: tuple[float, float]) -> str:
    """Format an interval in percent."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def table(preferences: Sequence[Preference]) -> Grid:
    rows = [
        (
            each.phenomenon,
            f"{each.pairs:,}",
            f"{each.right:,}",
            share(each.accuracy),
            ends(each.interval),
            f"{each.ties:,}",
        )
        for each in preferences
    ]
    header = ("phenomenon", "pairs", "right", "accuracy", "95 % interval, %", "ties")
    return Grid(header, "lrrrrr", rows, -1)


def wrong(pairs: Sequence[Pair], good: np.ndarray, bad: np.ndarray) -> Grid:
    """The pairs that the model prefers wrongly or not at all, largest gaps first."""
    order = np.argsort(good - bad, kind="stable")
    rows = [
        (pairs[i].good, pairs[i].bad, f"−{bad[i] - good[i]:.2f}", pairs[i].phenomenon)
        for i in order[:WRONG]
        if good[i] <= bad[i]
    ]
    return Grid(("good", "bad", "good − bad", "phenomenon"), "llrl", rows, -1)


def pictures(
    phenomena: Sequence[str],
    good: np.ndarray,
    bad: np.ndarray,
    preferences: Sequence[Preference],
) -> list[Picture]:
    """Plots of the accuracies with intervals, and of the margins of the good sentence.

    A row for each phenomenon, the most accurate on top, `all` at the bottom.
    """
    order = sorted(
        preferences, key=lambda each: (each.phenomenon == ALL, -each.accuracy)
    )
    names = np.asarray(phenomena)
    selections = [
        (names == each.phenomenon) | (each.phenomenon == ALL) for each in order
    ]

    def shares(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        panel.axvline(50, color=GREY, lw=0.8, ls=DASHED)
        for row, each in enumerate(order):
            low, high = 100 * np.array(each.interval)
            colour = INK if low > 50 or high < 50 else GREY
            panel.plot([low, high], [row, row], lw=2, color=colour)
            mark = "D" if each.phenomenon == ALL else "o"
            panel.plot(100 * each.accuracy, row, mark, ms=5, color=colour)
        _rows(panel, order)
        panel.set_xlim(-2, 102)
        panel.set_xticks(range(0, 101, 25))
        panel.set_xlabel("accuracy, % (dashed: chance)")

    def margins(canvas: FigureBase) -> None:
        panel = canvas.subplots()
        panel.axvline(0, color=GREY, lw=0.8, ls=DASHED)
        for row, selection in enumerate(selections):
            ends = np.quantile((good - bad)[selection], QUANTILES)
            panel.plot(ends[[0, 4]], [row, row], lw=1, color=FAINT)
            panel.plot(ends[[1, 3]], [row, row], lw=3, color=INK)
            panel.plot(ends[2], row, "o", ms=5, color=INK, mfc="white")
        _rows(panel, order)
        panel.set_xlabel("good − bad, nats")

    height = 0.9 + 0.24 * len(order)
    return [
        Picture(
            "accuracy",
            shares,
            4.8,
            height,
            "How often the good sentence is the likelier, with 95 % intervals; grey "
            "where chance, 50 %, lies within",
        ),
        Picture(
            "margins",
            margins,
            4.8,
            height,
            "By how much: the median of the pairs, the middle half and, thin, the "
            "middle nine tenths",
        ),
    ]


def _rows(panel: Axes, preferences: Sequence[Preference]) -> None:
    """Label the rows of a plot at the left, the first on top."""
    names = [_cut(each.phenomenon.replace("_", " ")) for each in preferences]
    panel.set_yticks(range(len(preferences)), names)
    panel.set_ylim(len(preferences) - 0.4, -0.6)
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    if preferences[-1].phenomenon == ALL:
        panel.axhline(len(preferences) - 1.5, color=RULE, lw=0.8)


def answer(preferences: Sequence[Preference]) -> str:
    overall = preferences[-1]
    text = (
        f"The run prefers the good sentence in {overall.right:,} of "
        f"{overall.pairs:,} minimal pairs: {share(overall.accuracy)} "
        f"(95 % interval {ends(overall.interval)}), where chance is 50 %."
    )
    if overall.ties:
        text += (
            " Pairs of equal scores, as of the same tokens, which count as wrong: "
            f"{overall.ties:,}."
        )
    if len(preferences) == 1:
        return text
    best, worst = (
        chosen(preferences[:-1], key=lambda each: each.accuracy)
        for chosen in (max, min)
    )
    return (
        f"{text} Best is {best.phenomenon} ({share(best.accuracy)}), worst "
        f"{worst.phenomenon} ({share(worst.accuracy)})."
    )


def finding(pairs: Sequence[Pair], good: np.ndarray, bad: np.ndarray) -> Finding:
    """The finding from the scores of the good sentences, (n,), and of the bad ones,
    (n,)."""
    phenomena = [pair.phenomenon for pair in pairs]
    results = preferences(phenomena, good, bad)
    drawn = Pictures(pictures(phenomena, good, bad, results))
    parts = [Part("Minimal pairs", [drawn, table(results)])]
    mistakes = wrong(pairs, good, bad)
    if mistakes.rows:
        count = int(np.sum(good <= bad))
        more = f", the clearest {WRONG} of {count:,}" if count > WRONG else ""
        parts.append(Part(f"Preferred wrongly{more}", [mistakes]))
    return Finding(
        "Which of two sentences does the run prefer?",
        answer(results),
        [MINIMAL],
        [f"minimal pairs: {len(pairs):,}"],
        parts,
        {
            "pair_good": good,
            "pair_bad": bad,
            "pair_phenomenon": np.array(phenomena),
        },
        {f"accuracy/{each.phenomenon}": each.accuracy for each in results}
        | {f"accuracy/{ALL}": results[-1].accuracy},
    )


def readable_finding(
    pairs: Sequence[Pair], good: np.ndarray, bad: np.ndarray, unread: np.ndarray
) -> Finding:
    """The `finding` of the pairs of which every token has a score.

    The others, with `unread` tokens that have none, are shown and counted separately: a
    sentence of unknown tokens would beat any other, as they cost it nothing. UsageError
    if no pair is left.
    """
    complete = [i for i, count in enumerate(unread.tolist()) if not count]
    incomplete = [i for i, count in enumerate(unread.tolist()) if count]
    if not complete:
        raise UsageError(
            f"of none of the {len(pairs):,} pairs does the run read every token, as of "
            f"{pairs[0].where}: tokens are unknown, or beyond its positions"
        )
    scored = finding([pairs[i] for i in complete], good[complete], bad[complete])
    if not incomplete:
        return scored
    rows = [
        (pairs[i].good, pairs[i].bad, str(unread[i]), pairs[i].phenomenon)
        for i in incomplete[:WRONG]
    ]
    grid = Grid(("good", "bad", "unread", "phenomenon"), "llrl", rows, -1)
    note = (
        f"Pairs of which the run does not read every token, shown apart and not "
        f"counted: {len(incomplete):,} of {len(pairs):,}."
    )
    named = np.array([pair.phenomenon for pair in pairs])
    every = {"pair_good": good, "pair_bad": bad, "pair_phenomenon": named}
    return scored._replace(
        answer=f"{scored.answer} {note}",
        facts=[*scored.facts, f"minimal pairs not counted: {len(incomplete):,}"],
        parts=[
            *scored.parts,
            Part("Pairs with unread tokens, not counted", [note, grid]),
        ],
        arrays=scored.arrays | every | {"pair_unread": unread},
    )


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
