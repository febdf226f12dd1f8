"""What the files of a checkpoint are, by size and SHA-256, so that damage is found.

Orbax calls no fsync, and its checksums do not cover the values of arrays: without this a
flipped bit loads silently.
"""

import hashlib
import json
import os
from pathlib import Path

from bert_jax import files

FILE = "manifest.json"


def fault(directory: Path) -> str:
    """What is wrong with one checkpoint; "" when it verifies."""
    try:
        listed = json.loads((directory / FILE).read_text())["files"]
    except FileNotFoundError:
        return "its save never finished"
    except (ValueError, KeyError, OSError):
        return f"{FILE} is damaged"
    for name, facts in listed.items():
        path = directory / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != facts["size"]:
            size = path.stat().st_size
            return f"{name} has {size} bytes instead of {facts['size']}"
        if _sha256(path) != facts["sha256"]:
            return f"{name} does not match its sha256"
    return ""


def write(directory: Path) -> None:
    """Flush all files to the disk, then write what they are."""
    listed = {}
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        facts = {"size": path.stat().st_size, "sha256": _sha256(path)}
        listed[str(path.relative_to(directory))] = facts
    for folder in [p for p in directory.rglob("*") if p.is_dir()] + [directory]:
        files.sync_directory(folder)
    files.write_json(directory / FILE, {"files": listed})
    files.sync_directory(directory.parent)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
