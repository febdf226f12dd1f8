"""A small writer of TensorFlow's checkpoints, for tests of their reader."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import ml_dtypes
import numpy as np

from bert_jax.huggingface.crc32c import crc32c, masked

KINDS = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "float16": 19}
MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def message(fields: Iterable[tuple[int, int | bytes]]) -> bytes:
    """A protocol buffer; the field 6 is a fixed32, as an entry's checksum is."""
    out = b""
    for number, value in fields:
        if isinstance(value, bytes):
            out += varint(number << 3 | 2) + varint(len(value)) + value
        elif number == 6:
            out += varint(number << 3 | 5) + value.to_bytes(4, "little")
        else:
            out += varint(number << 3) + varint(value)
    return out


def header(shards: int = 1, order: int = 0, least: int = 0) -> bytes:
    return message([(1, shards), (2, order), (3, message([(1, 1), (2, least)]))])


def entry(array: np.ndarray, offset: int = 0, shard: int = 0, **changes) -> bytes:
    """An entry of the index; `changes` are lies in it."""
    bfloat = array.dtype == ml_dtypes.bfloat16
    axes = changes.get("shape", array.shape)
    fields: list[tuple[int, int | bytes]] = [
        (1, changes.get("kind", 14 if bfloat else KINDS[array.dtype.name])),
        (2, b"".join(message([(2, message([(1, axis)]))]) for axis in axes)),
        (3, shard),
        (4, offset),
        (5, changes.get("size", array.nbytes)),
        (6, changes.get("checksum", masked(crc32c(array.tobytes())))),
    ]
    return message([*fields, *changes.get("more", [])])


def pairs_block(pairs: Iterable[tuple[bytes, bytes]], shares: bool = True) -> bytes:
    """A block of keys and values, with one restart at its beginning."""
    out, last = b"", b""
    for key, value in pairs:
        common = next(
            (i for i, (a, b) in enumerate(zip(key, last)) if a != b),
            min(len(key), len(last)),
        )
        common = common if shares else 0
        out += varint(common) + varint(len(key) - common) + varint(len(value))
        out += key[common:] + value
        last = key
    return out + bytes(4) + (1).to_bytes(4, "little")


def literal(content: bytes) -> bytes:
    """The bytes as snappy has them, packed by copies where a byte repeats."""
    out, at = varint(len(content)), 0
    while at < len(content):
        run = 1
        while run < 64 and content[at : at + run + 1] == content[at : at + 1] * (
            run + 1
        ):
            run += 1
        out += b"\0" + content[at : at + 1]
        if run > 4:
            out += bytes([(run - 2) << 2 | 2]) + (1).to_bytes(2, "little")
            at += run
        else:
            at += 1
    return out


def stored(block: bytes, kind: int = 0) -> bytes:
    """A block with its type and checksum; the kind 1 is snappy's."""
    content = (literal(block) if kind == 1 else block) + bytes([kind])
    return content + masked(crc32c(content)).to_bytes(4, "little")


def table(pairs: Mapping[bytes, bytes], kind: int = 0, per_block: int = 5) -> bytes:
    items, out, handles = list(pairs.items()), b"", []
    for start in range(0, len(items), per_block):
        part = items[start : start + per_block]
        block = stored(pairs_block(part), kind)
        handles.append((part[-1][0], varint(len(out)) + varint(len(block) - 5)))
        out += block
    return closed(out, handles, kind)


def closed(blocks: bytes, handles: list[tuple[bytes, bytes]], kind: int = 0) -> bytes:
    """A table of these blocks: the rest of it after them."""
    meta, named = stored(pairs_block([])), stored(pairs_block(handles), kind)
    footer = varint(len(blocks)) + varint(len(meta) - 5)
    footer += varint(len(blocks) + len(meta)) + varint(len(named) - 5)
    return blocks + meta + named + footer.ljust(40, b"\0") + MAGIC


def write(
    folder: Path,
    arrays: Mapping[str, np.ndarray],
    prefix: str = "bert_model.ckpt",
    shards: int = 1,
    kind: int = 0,
) -> Path:
    """A checkpoint of these arrays, laid in turn into the data files."""
    path = folder / prefix
    path.parent.mkdir(parents=True, exist_ok=True)
    data, pairs = [b""] * shards, {b"": header(shards)}
    for number, name in enumerate(sorted(arrays)):
        shard = number % shards
        pairs[name.encode()] = entry(arrays[name], len(data[shard]), shard)
        data[shard] += arrays[name].tobytes()
    path.with_name(f"{path.name}.index").write_bytes(table(pairs, kind))
    for shard, content in enumerate(data):
        name = f"{path.name}.data-{shard:05d}-of-{shards:05d}"
        path.with_name(name).write_bytes(content)
    return folder


def release(folder: Path, arrays: Mapping[str, np.ndarray], config: str = "", **card):
    """A folder as Google's: a checkpoint, and a config if it has a name."""
    write(folder, arrays)
    if config:
        (folder / config).write_text(json.dumps(card))
    return folder
