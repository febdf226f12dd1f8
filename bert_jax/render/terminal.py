"""Terminal rendering of a document's tables."""

from bert_jax.render.document import Grid

MOST = 40  # rows; the page has all


def table(grid: Grid) -> str:
    """Format a grid with aligned columns, two spaces apart."""
    rows = [grid.header, *grid.rows[:MOST]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            f"{cell:>{width}}" if side == "r" else f"{cell:{width}}"
            for cell, width, side in zip(row, widths, grid.sides, strict=True)
        ).rstrip()
        for row in rows
    ]
    more = len(grid.rows) - MOST
    return "\n".join([*lines, *([f"... and {more} more rows"] if more > 0 else [])])
