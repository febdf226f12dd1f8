"""Store of a prepared corpus: memory-mapped tokens, offsets, vocabulary and audit.

The cache key hashes all that its content depends on. Pairs, length and masking are not
part of it, so all arms share one store.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np

from bert_jax.data import corpus
from bert_jax.data import tokenizer as tokenizers
from bert_jax.data.build import build
from bert_jax.data.workers import dtype
from bert_jax.run import files
from bert_jax.run.config import UsageError

FORMAT = 1
MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"


class ListedFile(TypedDict):
    bytes: int
    sha256: str


class StoreManifest(TypedDict):
    format: int
    tokenizer: str  # its fingerprint
    audit: dict
    files: dict[str, ListedFile]


class Split(NamedTuple):
    """Memory maps of a split. Offsets count tokens; each list ends with the total."""

    tokens: np.ndarray  # (tokens,) uint16, or uint32 for a large vocabulary
    sentences: np.ndarray  # (sentences + 1,) int64
    documents: np.ndarray  # (documents + 1,) int64
    counts: np.ndarray  # (V,) int64: how often each token occurs


PARTS = [f"{name}_{kind}.bin" for name in ("train", "valid") for kind in Split._fields]


class Store(NamedTuple):
    """An open store."""

    directory: Path
    manifest: StoreManifest
    tokenizer: tokenizers.Tokenizer
    fingerprint: str  # of the content
    train: Split
    valid: Split

    def has_fingerprint(self, known: str) -> bool:
        """Whether `known` is a fingerprint of this store, in its version."""
        return known in (self.fingerprint, _fingerprint_1(self.manifest))


def prepare(config, progress: Callable[[str], None] = print) -> Store:
    """Return the store of a config from the cache; build it first if it is missing."""
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
    """Open the store in a directory; its arrays are read on demand.

    Verifies every file against the manifest, once a process. Raises UsageError for a
    damaged store.
    """
    directory = Path(directory)
    manifest = _manifest(directory)
    _verify(directory, manifest)
    text = files.read_text(directory / TOKENIZER)
    tokenizer = tokenizers.parse(text, str(directory / TOKENIZER))
    if not tokenizer.has_fingerprint(manifest["tokenizer"]):
        raise UsageError(
            f"{directory}/tokenizer.json is not the one that the tokens were made with: "
            f"{_remedy(directory)}"
        )
    train, valid = (_split(directory, n, tokenizer) for n in ("train", "valid"))
    mark = _fingerprint(manifest, tokenizer)
    return Store(directory, manifest, tokenizer, mark, train, valid)


def key(config) -> str:
    """The directory name of a config's store: a hash of all inputs, which are read."""
    settings = config.tokenizer
    content = {
        "law": 2,  # version 1 identified files by names, sizes and times
        "format": FORMAT,
        "corpus": corpus.identity(config.data),
        "valid_share": config.data.valid_share,
        "vocabulary": (
            tokenizers.load(
                settings.path, settings.lowercase, settings.strip_accents
            ).fingerprint
            if settings.path
            else [
                settings.vocab_size,
                settings.lowercase,
                *([settings.strip_accents] if settings.strip_accents != "auto" else []),
                *([settings.model] if settings.model != "wordpiece" else []),
            ]
        ),
    }
    return files.digest(json.dumps(content, sort_keys=True), length=16)


def _build(config, directory: Path, progress: Callable[[str], None]) -> None:
    with files.atomic_directory(directory) as building:
        manifest = {"format": FORMAT} | build(config, building, progress)
        if key(config) != directory.name:
            raise UsageError("the corpus changed while it was being prepared")
        files.write_json(building / MANIFEST, files.checked(manifest))


def _clear(cache: Path) -> None:
    """Remove the leftovers of killed prepares, also those of older versions
    (*.building)."""
    for building in [*cache.glob(".*.tmp"), *cache.glob("*.building")]:
        lock = cache / f"{building.stem.removeprefix('.')}.lock"
        with contextlib.suppress(files.Locked), files.lock(lock):  # alive if locked
            shutil.rmtree(building, ignore_errors=True)


def _manifest(directory: Path) -> StoreManifest:
    path = directory / MANIFEST
    try:
        manifest = files.read_json(path, StoreManifest)
    except UsageError as error:
        hint = f": {_remedy(directory)}" if path.exists() else ""
        raise UsageError(
            f"{directory} holds no prepared corpus ({error}){hint}"
        ) from error
    if manifest["format"] != FORMAT:
        raise UsageError(
            f"{directory} has store format {manifest['format']}, not {FORMAT}: "
            f"{_remedy(directory)}"
        )
    return manifest


def _verify(directory: Path, manifest: StoreManifest) -> None:
    """Refuse a store with a missing, unlisted or changed file."""
    for name in (*PARTS, TOKENIZER):
        if name not in manifest["files"]:
            raise UsageError(
                f"{directory / MANIFEST} does not list {name}: {_remedy(directory)}"
            )
    with ThreadPoolExecutor() as threads:
        for problem in threads.map(
            lambda item: _problem(directory / item[0], item[1]),
            manifest["files"].items(),
        ):
            if problem:
                raise UsageError(f"{problem}: {_remedy(directory)}")


def _problem(path: Path, listed: ListedFile) -> str:
    """Describe the problem of a file, "" if there is none."""
    try:
        if (size := path.stat().st_size) != listed["bytes"]:
            return f"{path} has {size} bytes, not {listed['bytes']}"
        if files.content_digest(path) != listed["sha256"]:
            return f"{path} is damaged: its SHA-256 is not the one in {MANIFEST}"
    except FileNotFoundError:
        return f"{path} is missing"
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    return ""


def _remedy(directory: Path) -> str:
    return f"remove {directory} and run `launch.py prepare` again"


def _split(directory: Path, name: str, tokenizer: tokenizers.Tokenizer) -> Split:
    types = {"tokens": dtype(tokenizer.vocab_size)}
    paths = {kind: directory / f"{name}_{kind}.bin" for kind in Split._fields}
    for kind, path in paths.items():
        size = np.dtype(types.get(kind, np.int64)).itemsize
        if not path.stat().st_size or path.stat().st_size % size:
            raise UsageError(f"{path} holds no whole numbers: {_remedy(directory)}")
    split = Split(
        *(np.memmap(paths[k], types.get(k, np.int64), "r") for k in Split._fields)
    )
    if problem := _inconsistency(split, tokenizer.vocab_size):
        raise UsageError(f"{directory}/{name}_*.bin: {problem}: {_remedy(directory)}")
    return split


def _inconsistency(split: Split, vocab_size: int) -> str:
    """Describe the inconsistency of a split, "" if there is none."""
    for kind in ("sentences", "documents"):
        offsets = getattr(split, kind)
        if offsets[0] or offsets[-1] != len(split.tokens):
            return f"the {kind} do not span the {len(split.tokens):,} tokens"
        if (np.diff(offsets) <= 0).any():
            return f"the {kind} are not in order"
    starts = np.searchsorted(split.sentences, split.documents)
    if (split.sentences[starts] != split.documents).any():
        return "a document starts inside a sentence"
    if len(split.counts) != vocab_size or (split.counts < 0).any():
        return f"the counts are not those of {vocab_size:,} tokens"
    if split.counts.sum() != len(split.tokens):
        return "the counts do not add up to the tokens"
    return ""


def _fingerprint(manifest: StoreManifest, tokenizer: tokenizers.Tokenizer) -> str:
    listed = manifest["files"]
    parts = [f"{name} {listed[name]['sha256']}" for name in PARTS]
    return "2:" + files.digest(*parts, tokenizer.fingerprint, length=12)


def _fingerprint_1(manifest: StoreManifest) -> str:
    """Fingerprint as runs of version 1 recorded it."""
    listed = manifest["files"]
    sums = [listed[name]["sha256"] for name in sorted((*PARTS, TOKENIZER))]
    return hashlib.blake2b("".join(sums).encode(), digest_size=6).hexdigest()
