"""The code that every run of a sweep uses, copied once, so that later edits of the
checkout reach none of them."""

import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from ml_collections import FrozenConfigDict

from bert_jax.run import config as configs
from bert_jax.run import files, rundir
from bert_jax.run.config import UsageError

ROOT = Path(__file__).parents[2]
CODE = "code"
PARTS = ("launch.py", "bert_jax", "configs")
BASE = "configs/base.py"


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


def readable(folder: Path, config: FrozenConfigDict) -> str:
    """The config as a file for the copied code, which refuses keys that came after it.

    Raises UsageError if one of them asks for something.
    """
    known = configs.flatten(configs.read(str(folder / CODE / BASE), {}))
    kept = config.to_dict()
    for key, value in configs.flatten(config).items():
        if key in known:
            continue
        if value != configs.LATER.get(key):
            raise UsageError(
                f"{folder / CODE}, which every run of this sweep uses, is older than "
                f"{key}: leave that key out, or choose another --root"
            )
        section, _, name = key.rpartition(".")
        del (kept[section] if section else kept)[name]
    return json.dumps(kept, sort_keys=True, indent=1) + "\n"


def digest(folder: Path) -> str:
    """Of every file of the copy, names included, also of those that came later."""
    code = folder / CODE
    paths = sorted(path for path in code.rglob("*") if path.is_file())
    found = [path for path in paths if "__pycache__" not in path.parts]
    parts = [(str(path.relative_to(code)), path.read_bytes()) for path in found]
    return "2:" + files.digest(*itertools.chain(*parts), length=16)


def has_digest(folder: Path, known: str) -> bool:
    """Whether that is a digest of the copy, by the law of its version."""
    return known == (digest(folder) if known.startswith("2:") else _digest_1(folder))


def _digest_1(folder: Path) -> str:
    """What plans of version 1 wrote down."""
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
