"""The code that every run of a sweep uses, copied once, so that later edits of the
checkout reach none of them."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from bert_jax import files, rundir

ROOT = Path(__file__).parents[2]
CODE = "code"
PARTS = ("launch.py", "bert_jax", "configs")


def take(folder: Path) -> dict[str, str]:
    """Copies the code into a sweep's folder; its commit and its digest."""
    beside = folder / f".{CODE}.tmp"
    shutil.rmtree(beside, ignore_errors=True)
    shutil.rmtree(folder / CODE, ignore_errors=True)
    for path in _files(ROOT):
        to = beside / path.relative_to(ROOT)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
    commit = rundir.commit()
    files.write_text(beside / rundir.COMMIT, commit + "\n")
    beside.rename(folder / CODE)
    return {"commit": commit, "digest": digest(folder)}


def digest(folder: Path) -> str:
    """Of every file of the copy, names included."""
    code = folder / CODE
    found = hashlib.sha256()
    for path in _files(code):
        text = path.read_bytes()
        found.update(f"{path.relative_to(code)}\0{len(text)}\0".encode() + text)
    return found.hexdigest()[:16]


def _files(root: Path) -> Iterator[Path]:
    """Not what Python compiles of them, which it does as it runs."""
    for part in PARTS:
        path = root / part
        found = [path] if path.is_file() else sorted(path.rglob("*.py"))
        yield from (each for each in found if "__pycache__" not in each.parts)
