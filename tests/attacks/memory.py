"""600 MB without a line end or a blank line: the memory that reading it takes.

  .venv/bin/python -m tests.attacks.memory

Prints what is said and the megabytes beside those of the modules.
"""

import tempfile
from pathlib import Path

from tests.data import test_memory
from tests.data.test_memory import growth, read_corpus, read_table, write


def main() -> None:
    test_memory.LINE = 600
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = write(folder / "a.csv", b"text,label\n", b"word ")
        line = write(folder / "a.txt", b"One.\n", b"word ")
        packed = write(folder / "a.txt.gz", b"One.\n", b"word ")
        lines = write(folder / "b.txt.gz", b"", b"A line of a text that goes on.\n")
        bodies = [read_table(table), read_corpus(line), read_corpus(packed)]
        bodies += [read_corpus(lines, kind) for kind in ("file", "blank_line")]
        for body in bodies:
            print(*growth(body), flush=True)


if __name__ == "__main__":
    main()
