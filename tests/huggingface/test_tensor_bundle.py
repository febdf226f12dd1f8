"""The reader of TensorFlow's checkpoints: what it reads and what it refuses."""

import os
import re

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_jax.huggingface import sorted_table, tensor_bundle
from bert_jax.huggingface.crc32c import BLOCK, crc32c
from bert_jax.huggingface.sorted_table import TableError
from bert_jax.run.config import UsageError
from tests import bundling
from tests.bundling import entry, header

PREFIX = "bert_model.ckpt"
INDEX, DATA = f"{PREFIX}.index", f"{PREFIX}.data-00000-of-00001"
DRAWN = np.random.default_rng(0)
ARRAYS = {
    f"bert/layer_{number}/kernel": DRAWN.standard_normal((3, number + 1)).astype("f4")
    for number in range(12)
}
ONE = np.arange(6, dtype="f4").reshape(2, 3)


def read(folder, prefix=PREFIX):
    bundle = tensor_bundle.index(folder, prefix)
    return tensor_bundle.read(bundle, bundle.entries)


def is_equal(found, arrays) -> bool:
    return found.keys() == arrays.keys() and all(
        array.dtype == found[name].dtype
        and array.shape == found[name].shape
        and array.tobytes() == found[name].tobytes()
        for name, array in arrays.items()
    )


def lying(folder, content, **changes):
    """A checkpoint of one tensor `w`, of which the index says something else."""
    pairs = {b"": header(), b"w": entry(ONE, **changes)}
    (folder / INDEX).write_bytes(bundling.table(pairs))
    (folder / DATA).write_bytes(content)
    return folder


def refuses(folder, reason: str, prefix=PREFIX):
    with pytest.raises(UsageError, match=re.escape(reason)) as refused:
        read(folder, prefix)
    assert "\n" not in str(refused.value)


def bitwise(content: bytes) -> int:
    state = 0xFFFFFFFF
    for byte in content:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def test_the_checksum_is_that_of_its_standard():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"") == 0


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 4097, BLOCK - 1, BLOCK, BLOCK + 7])
def test_the_checksum_of_any_size_is_the_bitwise_one(size):
    content = DRAWN.bytes(size)
    assert crc32c(content) == bitwise(content)


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("shards", [1, 3])
def test_tensors_are_read_bit_for_bit(tmp_path, kind, shards):
    arrays = ARRAYS | {
        "half": np.float16([[1.5, -2]]),
        "brain": np.asarray([1, -3], ml_dtypes.bfloat16),
        "double": np.float64([0.1]),
        "zeros": np.zeros((40, 5), "f4"),
        "scalar": np.float32(7)[()].reshape(()),
    }
    bundling.write(tmp_path, arrays, shards=shards, kind=kind)
    assert is_equal(read(tmp_path), arrays)


def test_integers_are_named_and_not_read(tmp_path):
    bundling.write(tmp_path, {"global_step": np.int64([3]), "w": ONE})
    bundle = tensor_bundle.index(tmp_path, PREFIX)
    assert set(bundle.entries) == {"global_step", "w"}
    assert is_equal(tensor_bundle.read(bundle, ["w"]), {"w": ONE})
    refuses(tmp_path, "global_step is of TensorFlow's type 9")


@pytest.mark.parametrize("kind", [0, 1])
def test_no_flipped_bit_changes_a_tensor(tmp_path, kind):
    """Each bit of a small checkpoint: refused, or the tensors are as they were."""
    arrays = {"w": ONE, "x/y": ONE[:1] * 2}
    bundling.write(tmp_path, arrays, kind=kind)
    refused = 0
    for name in (INDEX, DATA):
        content = (tmp_path / name).read_bytes()
        for bit in range(8 * len(content)):
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            (tmp_path / name).write_bytes(flipped)
            try:
                assert is_equal(read(tmp_path), arrays)
            except UsageError as error:
                assert "\n" not in str(error)
                refused += 1
        (tmp_path / name).write_bytes(content)
    assert refused > 1000
    assert is_equal(read(tmp_path), arrays)


@pytest.mark.parametrize("name", [INDEX, DATA])
def test_no_truncated_file_is_read(tmp_path, name):
    bundling.write(tmp_path, {"w": ONE})
    content = (tmp_path / name).read_bytes()
    for size in range(len(content)):
        (tmp_path / name).write_bytes(content[:size])
        refuses(tmp_path, name)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_block_with_a_right_checksum_is_refused_or_read(content):
    """Whoever writes a checksum can write a right one: the parsers stand alone."""
    for parse in (sorted_table.unpacked, lambda b: list(sorted_table.fields(b))):
        try:
            parse(content)
        except TableError:
            pass
    block = bundling.stored(content)
    handle = bundling.varint(0) + bundling.varint(len(content))
    try:
        list(sorted_table.entries(bundling.closed(block, [(b"z", handle)])))
    except TableError:
        pass


LIES = {
    "shape (4, 3)": ({"shape": (4, 3)}, "w has 24 bytes, and its shape is (4, 3)"),
    "huge axes": ({"shape": (1 << 62, 1 << 62)}, "and its shape is"),
    "an axis of 0": ({"shape": (0, 1 << 62), "size": 0}, "and its shape is"),
    "many axes": ({"shape": (1,) * 9}, "too many axes"),
    "size": ({"size": 1 << 40}, "w lies beyond its end"),
    "negative size": ({"size": (1 << 64) - 24}, "w lies beyond its end"),
    "offset": ({"offset": 4}, "w lies beyond its end"),
    "shard": ({"shard": 1}, "w lies in data file 1 of 1"),
    "negative shard": (
        {"shard": (1 << 64) - 1},
        f"w lies in data file {(1 << 64) - 1}",
    ),
    "checksum": ({"checksum": 7}, "the checksum of w is wrong"),
    "strings": ({"kind": 7}, "w is of TensorFlow's type 7"),
    "unknown type": ({"kind": 999}, "w is of TensorFlow's type 999"),
    "slices": ({"more": [(7, b"")]}, "w is saved in slices"),
    "a text for a size": ({"more": [(5, b"aa")]}, "fields of other types"),
}


@pytest.mark.parametrize("changes, reason", LIES.values(), ids=LIES)
def test_an_index_that_lies_is_refused(tmp_path, changes, reason):
    refuses(lying(tmp_path, ONE.tobytes(), **changes), reason)


def test_tensors_may_not_overlap(tmp_path):
    pairs = {b"": header(), b"a": entry(ONE), b"b": entry(ONE, 20)}
    (tmp_path / INDEX).write_bytes(bundling.table(pairs))
    (tmp_path / DATA).write_bytes(bytes(100))
    refuses(tmp_path, "b lies beyond its end or in another tensor")


@pytest.mark.parametrize(
    "head",
    [header(0), header(100_000), header(order=1), header(least=2), b"", b"\x0b"],
)
def test_headers_of_other_kinds_are_refused(tmp_path, head):
    (tmp_path / INDEX).write_bytes(bundling.table({b"": head, b"w": entry(ONE)}))
    (tmp_path / DATA).write_bytes(ONE.tobytes())
    refuses(tmp_path, "is damaged")


@pytest.mark.parametrize(
    "pairs, reason",
    [
        ([(b"w", entry(ONE))], "no header"),
        ([(b"", header())], "names no tensor"),
        ([(b"", header()), (b"", header())], "not in order"),
        ([(b"", header()), (b"b", entry(ONE)), (b"a", entry(ONE))], "not in order"),
        ([(b"", header()), (b"a\nb", entry(ONE))], "names of no text"),
        ([(b"", header()), (b"\xff", entry(ONE))], "is damaged"),
        ([(b"", header()), (b"a" * 5000, entry(ONE))], "longer than a name can be"),
    ],
)
def test_indexes_with_odd_keys_are_refused(tmp_path, pairs, reason):
    block = bundling.stored(bundling.pairs_block(pairs, shares=False))
    handle = bundling.varint(0) + bundling.varint(len(block) - 5)
    (tmp_path / INDEX).write_bytes(bundling.closed(block, [(b"z", handle)]))
    (tmp_path / DATA).write_bytes(ONE.tobytes())
    refuses(tmp_path, reason)


def test_blocks_named_twice_are_refused(tmp_path):
    block = bundling.stored(bundling.pairs_block([]) * 1)
    handle = bundling.varint(0) + bundling.varint(len(block) - 5)
    table = bundling.closed(block, [(b"a", handle), (b"b", handle)])
    (tmp_path / INDEX).write_bytes(table)
    refuses(tmp_path, "its blocks overlap")


def test_handles_beyond_the_end_are_refused(tmp_path):
    handle = bundling.varint(1 << 62) + bundling.varint(1 << 62)
    (tmp_path / INDEX).write_bytes(bundling.closed(b"", [(b"a", handle)]))
    refuses(tmp_path, "lies beyond its end")


@pytest.mark.parametrize(
    "packed, reason",
    [
        (bundling.varint(1 << 40) + b"\0a", "unpacks to"),
        (bundling.varint(1 << 24) + b"\0a", "not of the size"),
        (bundling.varint(4) + b"\0a" + b"\xfe\1\0" * 1000, "not of the size"),
        (bundling.varint(8) + b"\0a" + b"\x1e\2\0", "before its beginning"),
        (bundling.varint(8) + b"\0a" + b"\x1e\0\0", "before its beginning"),
        (bundling.varint(8) + b"\xfc\xff\xff\xff\xffa", "longer than the rest"),
        (b"\x80" * 20, "too long"),
    ],
)
def test_what_snappy_never_packs_is_refused(packed, reason):
    with pytest.raises(TableError, match=reason):
        sorted_table.unpacked(packed)


def test_snappy_copies_of_each_kind_are_unpacked():
    packed = bundling.varint(3 + 5 + 4 + 2 + 61) + b"\x08abc" + b"\x05\x03"
    packed += b"\x0e\x08\x00" + b"\x07\x01\x00\x00\x00" + b"\xf0\x3c" + b"z" * 61
    assert sorted_table.unpacked(packed) == b"abcabcababca" + b"aa" + b"z" * 61


def test_no_link_leads_out_of_the_directory(tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "model"
    bundling.write(outside, {"w": ONE})
    folder.mkdir()
    for linked, copied in ((INDEX, DATA), (DATA, INDEX)):
        (folder / linked).symlink_to(outside / linked)
        (folder / copied).write_bytes((outside / copied).read_bytes())
        refuses(folder, "leads out of")
        (folder / linked).unlink()
        (folder / copied).unlink()


def test_what_is_no_file_is_refused(tmp_path):
    bundling.write(tmp_path, {"w": ONE})
    (tmp_path / DATA).unlink()
    refuses(tmp_path, f"has no {DATA}")
    os.mkfifo(tmp_path / DATA)
    refuses(tmp_path, "is no file")
    (tmp_path / INDEX).unlink()
    (tmp_path / INDEX).mkdir()
    refuses(tmp_path, "is no file")
