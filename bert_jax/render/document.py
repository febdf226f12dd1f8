"""What a report is made of, before it is a page, Markdown or anything else.

In every text `ticks` hold what is written as code.
"""

from typing import NamedTuple

# What became of an expectation.
VERDICTS = (
    CONFIRMED,
    CONTRADICTED,
    UNDECIDED,
    TOO_SHORT,
    NOT_COMPARABLE,
    ROWS_UNKNOWN,
) = (
    "confirmed",
    "contradicted",
    "undecided",
    "too short to say",
    "not comparable",
    "rows unknown",
)


class Grid(NamedTuple):
    """A table. sides: "l" or "r" of each column. plain: the number of the row that
    the others are compared with, -1 for none."""

    header: tuple[str, ...]
    sides: str
    rows: list[tuple[str, ...]]
    plain: int


class Items(NamedTuple):
    lines: list[str]


class Figures(NamedTuple):
    """SVGs side by side, each with what it shows."""

    figures: list[tuple[str, str]]


class Live(NamedTuple):
    """Markup of a page alone, with a script of its own: what one can point at."""

    markup: str


Block = str | Grid | Items | Figures | Live


class Section(NamedTuple):
    title: str
    blocks: list[Block]


class Document(NamedTuple):
    """verdict: one word, or "" where nothing was expected. picture: all figures in one.
    about: what the experiment file says besides. facts: what was run."""

    name: str
    question: str
    verdict: str
    answer: str
    about: list[str]
    claim: str
    facts: list[str]
    picture: str
    sections: list[Section]
