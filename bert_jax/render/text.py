"""Numbers, texts and columns for a terminal."""

from collections.abc import Iterable, Sequence

SHOWN = 60  # characters of a text


def percent(chance: float) -> str:
    """A probability: 12.3 %."""
    return f"{100 * chance:.1f} %"


def column(chance: float) -> str:
    """A probability, flush right."""
    return f"{percent(chance):>9}"


def shortened(*texts: str) -> str:
    """Texts on one line, each cut to `SHOWN` characters; empty ones are left out."""
    flat = [" ".join(text.split()) for text in texts if text]
    return " | ".join(x if len(x) <= SHOWN else x[: SHOWN - 3] + "..." for x in flat)


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines whose columns begin at the same place, two spaces apart."""
    filled = [list(row) for row in rows]
    wide = [max(map(len, column)) for column in zip(*filled, strict=True)]
    return [
        "  ".join(f"{cell:{size}}" for cell, size in zip(row, wide)).rstrip()
        for row in filled
    ]
