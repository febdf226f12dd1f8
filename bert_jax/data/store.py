"""A prepared corpus: memory-mapped tokens, their offsets, vocabulary and audit.

Found again by a key of everything that its content depends on. Pairs, length and
masking are not among those, so that arms share one store.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bert_jax import files
from bert_jax import tokenizer as tokenizers
from bert_jax.config import UsageError
from bert_jax.data import corpus
from bert_jax.data.build import build
from bert_jax.data.workers import dtype

FORMAT = 1
MANIFEST = "manifest.json"


class Split(NamedTuple):
    """Memory maps; offsets count tokens, and each list of them ends with their sum."""

    tokens: np.ndarray  # (tokens,) uint16, or uint32 for a large vocabulary
    sentences: np.ndarray  # (sentences + 1,) int64
    documents: np.ndarray  # (documents + 1,) int64
    counts: np.ndarray  # (V,) int64: how often each token occurs


class Store(NamedTuple):
    directory: Path
    manifest: dict
    tokenizer: tokenizers.Tokenizer
    fingerprint: str  # of the content
    train: Split
    valid: Split


def prepare(config, progress: Callable[[str], None] = print) -> Store:
    """The store of a config: found in the cache, or else built and put there."""
    cache = Path(config.data.cache)
    directory = cache / key(config)
    if (directory / MANIFEST).exists():
        progress(f"store: {directory}, prepared before")
        return open(directory)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _clear(cache)
        wait = partial(
            progress, "waiting for another process that prepares the same store"
        )
        with files.lock(directory.with_suffix(".lock"), wait):
            if not (directory / MANIFEST).exists():
                _build(config, directory, progress)
    except OSError as error:
        raise UsageError(f"cannot prepare {directory}: {error}") from error
    progress(f"store: {directory}")
    return open(directory)


def open(directory: str | Path) -> Store:
    """Checks that every file is there in its size; the arrays are read on demand."""
    directory = Path(directory)
    manifest = _manifest(directory)
    for name, file in manifest["files"].items():
        size = (directory / name).stat().st_size if (directory / name).exists() else -1
        if size != file["bytes"]:
            state = (
                "is missing" if size < 0 else f"has {size} bytes, not {file['bytes']}"
            )
            raise UsageError(f"{directory / name} {state}: {_mend(directory)}")
    text = (directory / "tokenizer.json").read_text(encoding="utf-8")
    tokenizer = tokenizers.parse(text, str(directory / "tokenizer.json"))
    if tokenizer.fingerprint != manifest["tokenizer"]:
        raise UsageError(
            f"{directory}/tokenizer.json is not the one that the tokens were made with: "
            f"{_mend(directory)}"
        )
    train, valid = (_split(directory, n, tokenizer) for n in ("train", "valid"))
    return Store(directory, manifest, tokenizer, _fingerprint(manifest), train, valid)


def key(config) -> str:
    """The name of the directory: a hash of what decides the content."""
    settings = config.tokenizer
    content = {
        "format": FORMAT,
        "corpus": corpus.identity(config.data),
        "valid_share": config.data.valid_share,
        "vocabulary": (
            tokenizers.load(settings.path, settings.lowercase).fingerprint
            if settings.path
            else [settings.vocab_size, settings.lowercase]
        ),
    }
    text = json.dumps(content, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _build(config, directory: Path, progress: Callable[[str], None]) -> None:
    """Beside its place, then renamed into it: what is there is whole."""
    building = directory.with_suffix(".building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        manifest = {"format": FORMAT} | build(config, building, progress)
        if key(config) != directory.name:
            raise UsageError("the corpus changed while it was being prepared")
        (building / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        building.rename(directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _clear(cache: Path) -> None:
    """Removes what killed prepares have left."""
    for building in cache.glob("*.building"):
        lock = building.with_suffix(".lock")
        with contextlib.suppress(files.Locked), files.lock(lock):  # alive if locked
            shutil.rmtree(building, ignore_errors=True)


def _manifest(directory: Path) -> dict:
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{directory} holds no prepared corpus ({error})") from error
    if manifest.get("format") != FORMAT:
        raise UsageError(
            f"{directory} has store format {manifest.get('format')}, not {FORMAT}: "
            f"{_mend(directory)}"
        )
    return manifest


def _mend(directory: Path) -> str:
    return f"remove {directory} and run `launch.py prepare` again"


def _split(directory: Path, name: str, tokenizer: tokenizers.Tokenizer) -> Split:
    types = {"tokens": dtype(tokenizer.vocab_size)}
    maps = [
        np.memmap(directory / f"{name}_{kind}.bin", types.get(kind, np.int64), "r")
        for kind in Split._fields
    ]
    return Split(*maps)


def _fingerprint(manifest: dict) -> str:
    sums = [file["sha256"] for _, file in sorted(manifest["files"].items())]
    return hashlib.blake2b("".join(sums).encode(), digest_size=6).hexdigest()
