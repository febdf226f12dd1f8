"""Terminal formatting of numbers, texts and columns."""

from collections.abc import Iterable, Sequence

SHOWN = 60  # characters of a text


def percent(chance: float) -> str:
    """Format a probability: 12.3 %."""
    return f"{100 * chance:.1f} %"


def column(chance: float) -> str:
    """Format a probability, flush right."""
    return f"{percent(chance):>9}"


def shortened(*texts: str) -> str:
    """Join texts on one line, each cut to `SHOWN` characters; empty ones are
    dropped."""
    flat = [" ".join(text.split()) for text in texts if text]
    return " | ".join(x if len(x) <= SHOWN else x[: SHOWN - 3] + "..." for x in flat)


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Format rows as lines with aligned columns, two spaces apart."""
    filled = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*filled, strict=True)]
    return [
        "  ".join(f"{cell:{size}}" for cell, size in zip(row, widths)).rstrip()
        for row in filled
    ]
