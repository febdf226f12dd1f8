"""Document model of reports, independent of HTML and Markdown.

In every text, `ticks` mark code.
"""

from typing import NamedTuple

# Verdicts on an expectation.
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
    """A table. sides: "l" or "r" for each column. plain: the number of the baseline's
    row, -1 for none."""

    header: tuple[str, ...]
    sides: str
    rows: list[tuple[str, ...]]
    plain: int


class Items(NamedTuple):
    """A bulleted list."""

    lines: list[str]


class Figures(NamedTuple):
    """SVGs side by side, each with its caption."""

    figures: list[tuple[str, str]]


class Live(NamedTuple):
    """Interactive markup with a script, for HTML only."""

    markup: str


Block = str | Grid | Items | Figures | Live


class Section(NamedTuple):
    """A titled part of a document."""

    title: str
    blocks: list[Block]


class Document(NamedTuple):
    """A report. verdict: one word, or "" without expectations. picture: all figures in
    one. about: further text of the experiment file. facts: description of the runs."""

    name: str
    question: str
    verdict: str
    answer: str
    about: list[str]
    claim: str
    facts: list[str]
    picture: str
    sections: list[Section]
