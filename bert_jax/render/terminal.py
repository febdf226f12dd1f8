"""Tables of a document for a terminal."""

from bert_jax.render.document import Grid

MOST = 40  # rows; the page has the others


def table(grid: Grid) -> str:
    """Columns aligned as the grid says, two spaces apart."""
    rows = [grid.header, *grid.rows[:MOST]]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            f"{cell:>{room}}" if side == "r" else f"{cell:{room}}"
            for cell, room, side in zip(row, wide, grid.sides, strict=True)
        ).rstrip()
        for row in rows
    ]
    more = len(grid.rows) - MOST
    return "\n".join([*lines, *([f"... and {more} more rows"] if more > 0 else [])])
