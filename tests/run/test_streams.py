"""Streams that are closed, full or left by their reader, in processes of their own."""

import subprocess
import sys

import pytest

from bert_jax.run import exits

WORK = """
import sys
from bert_jax.run import streams

def work():
    print("a line " * 2000)
    print("a warning", file=sys.stderr)
    open(sys.argv[1], "w").write("done")
    print("the end")
    return 75

sys.exit(streams.run_tolerantly("name", sys.argv[2] == "prints", work))
"""
FULL = "standard output cannot be written: No space left on device"


def run(path, kind: str, shell: str) -> tuple[int, str]:
    """Its exit code and what it said on standard error."""
    command = f"{sys.executable} -c '{WORK}' {path} {kind} {shell}"
    done = subprocess.run(
        ["bash", "-c", command + "; exit ${PIPESTATUS[0]}"],
        capture_output=True,
        check=False,
        text=True,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("shell", ["| head -0", "> /dev/full", ">&-", ">&- 2>&- <&-"])
def test_work_outlives_what_it_prints_to(shell, tmp_path):
    """FAULTS 57"""
    code, message = run(tmp_path / "made", "works", shell)
    assert code == 75
    assert (tmp_path / "made").read_text() == "done"
    assert "Traceback" not in message
    assert message.count(FULL) == ("full" in shell)


@pytest.mark.parametrize(
    ("shell", "code", "message"),
    [
        ("| head -0", exits.DONE, ""),
        ("> /dev/full", exits.USAGE, f"name: {FULL}\n"),
        (">&-", exits.USAGE, "name: standard output is closed, and there is nothing"),
        ("> /dev/full 2>&1", exits.USAGE, ""),
    ],
)
def test_what_only_prints_ends_in_a_line(shell, code, message, tmp_path):
    """FAULTS 57"""
    found = run(tmp_path / "made", "prints", shell)
    assert found[0] == code
    assert found[1].startswith(message)
    assert found[1].count("\n") == bool(message)
    assert not (tmp_path / "made").exists()


def test_closed_streams_keep_their_descriptors(tmp_path):
    path = tmp_path / "made"
    assert run(path, "works", ">&- 2>&-")[0] == 75
    assert path.read_text() == "done"
