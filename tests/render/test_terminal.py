"""Tables as a terminal shows them."""

from bert_jax.render import terminal
from bert_jax.render.document import Grid


def test_columns_are_aligned_as_the_grid_says():
    grid = Grid(("word", "n"), "lr", [("a", "1"), ("longer", "100")], -1)
    assert terminal.table(grid) == "word      n\na         1\nlonger  100"


def test_long_tables_are_cut_and_say_so():
    grid = Grid(("n",), "l", [(str(i),) for i in range(45)], -1)
    lines = terminal.table(grid).splitlines()
    assert len(lines) == 1 + terminal.MOST + 1
    assert lines[-1] == "... and 5 more rows"
