"""Text that has lost its line ends or blank lines is named in bounded memory.

tests/attacks/memory.py reads larger ones.
"""

import gzip
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.running import ROOT

MEGABYTE = 2**20
LINE = 150  # megabytes
ROOM = 130  # megabytes beside those of the modules

# What getrusage says of a process that was started includes its parent's memory.
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs /proc"
)


def growth(body: str) -> tuple[str, float]:
    """What a process of its own says, and the megabytes that its memory grows by."""
    code = f"""
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from bert_jax.run.config import UsageError
        from bert_jax.data import corpus
        from bert_jax.tasks.formats import tables
        from configs import base

        def peak():
            status = Path("/proc/self/status").read_text()
            return int(status.partition("VmHWM:")[2].split()[0])

        before = peak()
        try:
            BODY
        except UsageError as error:
            print(error)
        print((peak() - before) / 1024)
    """
    code = textwrap.dedent(code).replace("BODY", body)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    message, _, size = done.stdout.strip().rpartition("\n")
    return message, float(size)


def read_corpus(path, documents="file") -> str:
    return (
        f"data = base.get_config().data; data.update(corpus='files', files={str(path)!r}"
        f", documents={documents!r}); [None for _ in corpus.documents(data)]"
    )


def read_table(path) -> str:
    return (
        f"[None for _ in tables.table(Path({str(path)!r}), 'utf-8', ',', True, True, "
        "tables.Columns('text', '', 'label'))]"
    )


def write(path, start: bytes, line: bytes):
    content = start + line * (LINE * MEGABYTE // len(line))
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_one_huge_line_of_a_corpus_is_bounded(tmp_path, name):
    """FAULTS 44: named with its line number before it is read."""
    path = write(tmp_path / name, b"One.\n", b"word ")
    message, size = growth(read_corpus(path))
    assert f"{name}, line 2: longer than 10,000,000 characters" in message
    assert size < ROOM


@pytest.mark.parametrize("start", [b"", b'"'], ids=["plain", "quoted"])
def test_one_huge_line_of_a_table_is_bounded(tmp_path, start):
    """FAULTS 44: 600 MB without a line end took 2.3 GB."""
    path = write(tmp_path / "a.csv", b"text,label\n" + start, b"word ")
    message, size = growth(read_table(path))
    assert "a.csv, line 2: longer than 10,000,000 characters" in message
    assert size < ROOM


def test_a_quote_that_is_never_closed_is_bounded(tmp_path):
    """FAULTS 44: the rest of the file was one row, held in memory."""
    path = write(tmp_path / "a.csv", b'text,label\n"', b"a\n")
    message, size = growth(read_table(path))
    assert "a.csv, line 2: a quote opens here that is never closed" in message
    assert size < 2 * ROOM


@pytest.mark.parametrize("line", [b"a\n", b"A line of a text that goes on and on.\n"])
def test_a_text_without_blank_lines_is_bounded(tmp_path, line):
    """FAULTS 43: 1.2 MB of .gz took 5.3 GB."""
    path = write(tmp_path / "a.txt.gz", b"", line)
    message, size = growth(read_corpus(path, "blank_line"))
    assert "characters or 2,000,000 lines; say --config.data.documents=auto" in message
    assert size < 2 * ROOM
