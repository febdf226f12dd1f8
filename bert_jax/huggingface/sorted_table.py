"""Sorted tables of LevelDB and the protocol buffers in them, read without trust.

A table is blocks of keys and values, an index block that names them, and a footer that
names the index block. Any length, offset or number in it may be wrong on purpose: what
is read is bounded by the size of the table, and every fault is a `TableError`.
"""

from collections.abc import Iterator

from bert_jax.huggingface.crc32c import crc32c, masked

FOOTER, TRAILER = 48, 5  # bytes: two handles and a magic number; a type and a checksum
MAGIC = 0xDB4775248B80FB57
PLAIN, SNAPPY = 0, 1  # types of a block
LONGEST_KEY = 4096
LARGEST_BLOCK = 1 << 24  # bytes of a block when unpacked; TensorFlow's have 256 KiB
LITERAL, COPIES = 0, {1: 1, 2: 2, 3: 4}  # snappy: kinds, bytes of a copy's offset
MOST_DIGITS = 10  # bytes of a varint
VARINT, BYTES, FIXED = 0, 2, {1: 8, 5: 4}  # wire types of protocol buffers


class TableError(Exception):
    """A table that is damaged or is none, with the reason."""


def entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys, in strictly rising order, and values of a table."""
    if len(table) < FOOTER or int.from_bytes(table[-8:], "little") != MAGIC:
        raise TableError("it does not end as an index of TensorFlow does")
    footer, last, end = table[-FOOTER:], None, 0
    _, at = _handle(footer, 0)
    (offset, size), _ = _handle(footer, at)
    for _, handle in _pairs(_block(table, offset, size)):
        (offset, size), _ = _handle(handle, 0)
        if offset < end:
            raise TableError("its blocks overlap")
        end = offset + size
        for key, value in _pairs(_block(table, offset, size)):
            if last is not None and key <= last:
                raise TableError(f"its keys are not in order, at {_shown(key)}")
            yield key, value
            last = key


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The numbers and values of a protocol buffer's fields, as they come."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        wire = tag & 7
        if wire == VARINT:
            value, at = varint(message, at)
        elif wire == BYTES:
            size, at = varint(message, at)
            value, at = _part(message, at, size)
        elif wire in FIXED:
            part, at = _part(message, at, FIXED[wire])
            value = int.from_bytes(part, "little")
        else:
            raise TableError(f"a message has a field of the wire type {wire}")
        yield tag >> 3, value


def varint(content: bytes, at: int) -> tuple[int, int]:
    """An unsigned number of 64 bits at most, and where the next thing begins."""
    value = 0
    for place, byte in enumerate(content[at : at + MOST_DIGITS]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80 and value < 1 << 64:
            return value, at + place + 1
    raise TableError("a number in it is cut off or too long")


def _handle(content: bytes, at: int) -> tuple[tuple[int, int], int]:
    """The offset and the size of a block."""
    offset, at = varint(content, at)
    size, at = varint(content, at)
    return (offset, size), at


def _part(content: bytes, at: int, size: int) -> tuple[bytes, int]:
    if size > len(content) - at:
        raise TableError("something in it is longer than the rest")
    return content[at : at + size], at + size


def _block(table: bytes, offset: int, size: int) -> bytes:
    if offset + size + TRAILER > len(table) - FOOTER:
        raise TableError("a block lies beyond its end")
    content, trailer = table[offset : offset + size + 1], offset + size + 1
    if masked(crc32c(content)) != int.from_bytes(
        table[trailer : trailer + 4], "little"
    ):
        raise TableError(f"the checksum of the block at {offset} is wrong")
    if content[-1] not in (PLAIN, SNAPPY):
        raise TableError(f"the block at {offset} is packed in the way {content[-1]}")
    return unpacked(content[:-1]) if content[-1] == SNAPPY else content[:-1]


def _pairs(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a block; a key names what it shares with the last one."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if len(block) < 4 or end < 0:
        raise TableError("a block is shorter than it says")
    block, at, key = block[:end], 0, b""
    while at < end:
        shared, at = varint(block, at)
        fresh, at = varint(block, at)
        size, at = varint(block, at)
        if shared > len(key) or shared + fresh > LONGEST_KEY:
            raise TableError("a key is longer than a name can be")
        rest, at = _part(block, at, fresh)
        value, at = _part(block, at, size)
        key = key[:shared] + rest
        yield key, value


def unpacked(packed: bytes) -> bytes:
    """Bytes that snappy packed: literals, and copies of what stands before."""
    size, at = varint(packed, 0)
    if size > LARGEST_BLOCK:
        raise TableError(f"a block says that it unpacks to {size:,} bytes")
    out = bytearray()
    while at < len(packed):
        tag = packed[at]
        kind, length, at = tag & 3, (tag >> 2) + 1, at + 1
        if kind == LITERAL:
            if length > 60:
                digits, at = _part(packed, at, length - 60)
                length = int.from_bytes(digits, "little") + 1
            literal, at = _part(packed, at, length)
            out += literal
        else:
            digits, at = _part(packed, at, COPIES[kind])
            offset = int.from_bytes(digits, "little")
            if COPIES[kind] == 1:
                length, offset = (tag >> 2 & 7) + 4, tag >> 5 << 8 | offset
            out += _copied(out, offset, length)
        if len(out) > size:
            break
    if len(out) != size:
        raise TableError("a packed block is not of the size that it says")
    return bytes(out)


def _copied(out: bytearray, offset: int, length: int) -> bytes:
    """The bytes that begin `offset` bytes before the end, which may run on into itself."""
    if not 0 < offset <= len(out):
        raise TableError("a packed block copies from before its beginning")
    start = len(out) - offset
    return (bytes(out[start : start + length]) * -(-length // offset))[:length]


def _shown(key: bytes) -> str:
    return repr(key[:80].decode("utf-8", "replace"))
