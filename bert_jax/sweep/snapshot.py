"""Copy of the code that all runs of a sweep use, unaffected by later edits."""

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
    """Copy the code into a sweep's folder; return its commit and digest."""
    staging = folder / f".{CODE}.tmp"
    shutil.rmtree(staging, ignore_errors=True)
    shutil.rmtree(folder / CODE, ignore_errors=True)
    for path in _files(ROOT):
        to = staging / path.relative_to(ROOT)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
    commit = rundir.commit()
    files.write_text(staging / rundir.COMMIT, commit + "\n")
    staging.rename(folder / CODE)
    return {"commit": commit, "digest": digest(folder)}


def config_text(folder: Path, config: FrozenConfigDict) -> str:
    """The config as JSON for the copied code, without keys that the code does not know.

    Raises UsageError if such a key is not at its default.
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
    """Digest of all files of the copy and their names, including added files."""
    code = folder / CODE
    paths = sorted(path for path in code.rglob("*") if path.is_file())
    sources = [path for path in paths if "__pycache__" not in path.parts]
    parts = [(str(path.relative_to(code)), path.read_bytes()) for path in sources]
    return "2:" + files.digest(*itertools.chain(*parts), length=16)


def has_digest(folder: Path, known: str) -> bool:
    """Whether `known` is the digest of the copy, in its version of the digest."""
    return known == (digest(folder) if known.startswith("2:") else _digest_1(folder))


def _digest_1(folder: Path) -> str:
    """Digest of the copy as plans of version 1 have it."""
    code = folder / CODE
    hasher = hashlib.sha256()
    for path in _files(code):
        text = path.read_bytes()
        hasher.update(f"{path.relative_to(code)}\0{len(text)}\0".encode() + text)
    return hasher.hexdigest()[:16]


def _files(root: Path) -> Iterator[Path]:
    """The source files under a root, without compiled Python files."""
    for part in PARTS:
        path = root / part
        paths = [path] if path.is_file() else sorted(path.rglob("*.py"))
        yield from (file for file in paths if "__pycache__" not in file.parts)
