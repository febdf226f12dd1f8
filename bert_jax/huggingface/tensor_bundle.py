"""TensorFlow's checkpoints (V2: an index and data files), read without TensorFlow.

Nothing in the files is trusted: each tensor's place must lie in its file and overlap no
other, its size must be that of its shape, and its checksum must be right.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

from bert_jax.huggingface import sorted_table
from bert_jax.huggingface.crc32c import crc32c, masked
from bert_jax.huggingface.files import inside
from bert_jax.huggingface.sorted_table import TableError, fields
from bert_jax.run.config import UsageError

LARGEST_INDEX = 1 << 24  # bytes; that of a BERT has some 10,000
MOST_TENSORS = 100_000
MOST_AXES = 8
HEADER = b""  # the key of the header
# Types of floating point by their number in TensorFlow's types.proto.
FLOATS: Mapping[int, np.dtype] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    14: np.dtype(ml_dtypes.bfloat16),
    19: np.dtype("<f2"),
}
SAVE = "save it as one tensor of floating point"


class Entry(NamedTuple):
    """A tensor in an index: kind is its type's number, checksum is masked."""

    kind: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int
    sliced: bool


class Bundle(NamedTuple):
    """A checkpoint's index: `prefix` is the name of its files in the folder `source`."""

    source: Path
    prefix: str
    shards: int
    entries: Mapping[str, Entry]


def index(source: Path, prefix: str) -> Bundle:
    """Read the index of a checkpoint. Raises UsageError for one that is damaged."""
    path = inside(source, f"{prefix}.index")
    if not path.is_file():
        raise UsageError(f"{path} is no file")
    if (size := path.stat().st_size) > LARGEST_INDEX:
        raise UsageError(f"{path} has {size:,} bytes, too many for an index")
    found: dict[str, Entry] = {}
    shards = 0
    try:
        for key, value in sorted_table.entries(path.read_bytes()):
            if key == HEADER:
                shards = _shards(value)
            elif not shards or len(found) == MOST_TENSORS:
                raise TableError("it has no header, or too many tensors")
            elif not key.decode("utf-8", "replace").isprintable():
                raise TableError("it has tensors saved in slices, or names of no text")
            else:
                found[key.decode()] = _entry(value)
    except (TableError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path} is damaged: {error}") from None
    if not found:
        raise UsageError(f"{path} names no tensor")
    bundle = Bundle(source, prefix, shards, found)
    _check_places(bundle)
    return bundle


def read(bundle: Bundle, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Read tensors of floating point, as they are. Raises UsageError for others."""
    return {name: _tensor(bundle, name) for name in names}


def _shards(header: bytes) -> int:
    """The number of data files by a header."""
    values = dict(fields(header))
    version = values.get(3, b"")
    least = dict(fields(version)).get(2, 0) if isinstance(version, bytes) else -1
    if values.get(2, 0) != 0 or least not in (0, 1):
        raise TableError("its header is of another version or byte order")
    shards = values.get(1, 0)
    if not isinstance(shards, int) or not 0 < shards < 100_000:
        raise TableError(f"its header names {shards!r} data files")
    return shards


def _entry(message: bytes) -> Entry:
    found: dict[int, int | bytes] = dict(fields(message))
    shape = found.pop(2, b"")
    sliced = 7 in found
    found.pop(7, None)
    kind, shard, offset, size, checksum = (found.get(n, 0) for n in (1, 3, 4, 5, 6))
    if not isinstance(shape, bytes) or any(
        isinstance(n, bytes) for n in found.values()
    ):
        raise TableError("an entry has fields of other types")
    return Entry(
        int(kind),
        _shape(shape),
        int(shard),
        int(offset),
        int(size),
        int(checksum),
        sliced,
    )


def _shape(message: bytes) -> tuple[int, ...]:
    axes = []
    for number, value in fields(message):
        if number != 2 or not isinstance(value, bytes) or len(axes) == MOST_AXES:
            raise TableError("a shape is unknown, or has too many axes")
        size = dict(fields(value)).get(1, 0)
        if not isinstance(size, int):
            raise TableError("a shape has an axis that is no number")
        axes.append(size)
    return tuple(axes)


def _check_places(bundle: Bundle) -> None:
    """Refuse tensors that lie beyond their file or in one another."""
    places = sorted(
        (entry.shard, entry.offset, entry.offset + entry.size, name)
        for name, entry in bundle.entries.items()
    )
    last, end, size = -1, 0, 0
    for shard, offset, stop, name in places:
        if shard >= bundle.shards:
            raise UsageError(
                f"{bundle.source / bundle.prefix}.index is damaged: {name} lies in data "
                f"file {shard} of {bundle.shards}"
            )
        if shard != last:
            last, end = shard, 0
            size = _data(bundle, shard).stat().st_size
        if stop > size or (offset < end and stop > offset):
            raise UsageError(
                f"{_data(bundle, shard)}: {name} lies beyond its end or in another tensor"
            )
        end = max(end, stop)


def _data(bundle: Bundle, shard: int) -> Path:
    name = f"{bundle.prefix}.data-{shard:05d}-of-{bundle.shards:05d}"
    path = inside(bundle.source, name)
    if not path.is_file():
        raise UsageError(f"{path} is no file")
    return path


def _tensor(bundle: Bundle, name: str) -> np.ndarray:
    entry, path = bundle.entries[name], _data(bundle, bundle.entries[name].shard)
    if entry.sliced or entry.kind not in FLOATS:
        what = (
            "saved in slices" if entry.sliced else f"of TensorFlow's type {entry.kind}"
        )
        raise UsageError(f"{path}: {name} is {what}: {SAVE}")
    dtype = FLOATS[entry.kind]
    if not entry.size or math.prod(entry.shape) * dtype.itemsize != entry.size:
        raise UsageError(
            f"{path}: {name} has {entry.size:,} bytes, and its shape is {entry.shape}"
        )
    with path.open("rb") as file:
        file.seek(entry.offset)
        content = file.read(entry.size)
    if len(content) < entry.size or masked(crc32c(content)) != entry.checksum:
        raise UsageError(f"{path} is damaged: the checksum of {name} is wrong")
    return np.frombuffer(content, dtype).reshape(entry.shape)
