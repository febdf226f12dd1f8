"""Weights that must not be imported: nothing is run, and nothing is written."""

import json
import pickle
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

import launch
from bert_jax.huggingface import exchange
from bert_jax.run.config import UsageError
from tests.exchanging import WORDS, classifier, refuses, weights, write_directory

NAME = "model.safetensors"


@pytest.fixture
def source(tmp_path):
    """A directory of theirs, to be damaged."""
    return write_directory(tmp_path / "bert", weights())


class Canary:
    """A pickle that makes a file when it is opened."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_the_canary_sings_when_it_is_opened(tmp_path):
    pickle.loads(pickle.dumps(Canary(tmp_path / "sang")))
    assert (tmp_path / "sang").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pytorch_model.bin", "weights_only=True"),
        ("model.pt", "weights_only=True"),
        ("model.pth", "weights_only=True"),
        ("bert.ckpt", "weights_only=True"),
        ("weights.npy", "may hold pickled objects and is not read"),
    ],
)
@pytest.mark.parametrize("at", ["directory", "file"])
def test_a_pickle_is_named_and_never_opened(source, tmp_path, capsys, name, said, at):
    sang, path, workdir = tmp_path / "sang", source / name, tmp_path / "run"
    (source / NAME).unlink()
    if path.suffix == ".npy":
        np.save(path, np.array([Canary(sang)], object), allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps({"weight": Canary(sang)}))
    asked = path if at == "file" else source
    assert launch.main(["import", f"--from={asked}", f"--workdir={workdir}"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert str(path) in line
    assert said in line
    assert not sang.exists()
    assert not workdir.exists()


def test_a_pickle_under_the_name_of_safetensors_is_never_opened(source, tmp_path):
    (source / NAME).write_bytes(pickle.dumps(Canary(tmp_path / "sang")))
    refuses(source, f"{NAME} is damaged")
    assert not (tmp_path / "sang").exists()


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("pytorch_model.bin", "pytorch_model.bin"),
        ("pytorch_model-00001-of-00002.bin", "pytorch_model-*.bin"),
    ],
)
def test_the_command_that_converts_reads_the_pickles_and_writes_beside_them(
    source, name, files
):
    (source / NAME).rename(source / name)
    with pytest.raises(UsageError) as refused:
        exchange.import_model(source, source / "run")
    [code] = re.findall(r'python -c "(.*)"$', str(refused.value))
    compile(code, "command", "exec")
    assert f"glob.glob('{source / files}')" in code
    assert f"'{source / NAME}')" in code


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def file_of(header: object, data: int, length: int | None = None) -> bytes:
    """A safetensors file by hand: length of the header, header, that much data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    return struct.pack("<Q", size) + text + bytes(data)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\0",
        file_of({"a": entry([2], 0, 8)}, 7),
        file_of({"a": entry([2], 0, 8)}, 9),
        file_of({"a": entry([2], 0, 8)}, 8, length=10_000),
        file_of({"a": entry([2], 0, 8)}, 8, length=2**60),
        file_of({"a": entry([2], 0, 8)}, 8, length=2**64 - 1),
        file_of(b"no json at all", 8),
        file_of(b"\xff\xfe\xfd", 8),
        file_of(b"[" * 100_000, 8),
        file_of([1, 2], 8),
        file_of({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, 12),
        file_of({"a": entry([2], 0, 8), "b": entry([2], 0, 8)}, 8),
        file_of({"a": entry([2], 0, 8), "b": entry([2], 12, 20)}, 20),
        file_of({"a": entry([2], 800, 808)}, 8),
        file_of({"a": entry([2], 8, 0)}, 8),
        file_of({"a": entry([2], -8, 0)}, 8),
        file_of({"a": entry([2], 0, 8, dtype="F33")}, 8),
        file_of({"a": entry([3], 0, 8)}, 8),
        file_of({"a": entry([2**62, 2**62], 0, 8)}, 8),
        file_of({"a": {"dtype": "F32", "shape": [2]}}, 8),
    ],
    ids=[
        "empty",
        "shorter than a length",
        "one byte short",
        "one byte over",
        "header longer than the file",
        "header of 2**60",
        "header of 2**64 - 1",
        "header no JSON",
        "header no UTF-8",
        "header deeply nested",
        "header no object",
        "overlap",
        "two in one place",
        "gap",
        "beyond the file",
        "end before begin",
        "negative",
        "dtype unknown",
        "shape disagrees with offsets",
        "shape that overflows",
        "no offsets",
    ],
)
def test_a_file_made_wrong_is_named(source, content):
    (source / NAME).write_bytes(content)
    refuses(source, f"{NAME} is damaged: ")


@pytest.mark.parametrize("kept", [4, 100, 5000, -1])
def test_a_truncated_file_is_named(source, kept):
    (source / NAME).write_bytes((source / NAME).read_bytes()[:kept])
    refuses(source, f"{NAME} is damaged: ")


@pytest.mark.parametrize("kind", [np.int32, np.int8, np.bool_])
def test_a_tensor_of_integers_is_named(source, kind):
    name = "bert.pooler.dense.bias"
    write_directory(source, weights() | {name: np.zeros(16, kind)})
    refuses(source, f"{NAME}: {name} is .*, not floating point")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"intermediate_size": 48},
            r"encoder/block_00/mlp/down/kernel: \(32, 16\) -> ",
        ),
        ({"max_position_embeddings": 65}, r"position/embedding: \(64, 16\) -> \(65, "),
        ({"vocab_size": WORDS + 1}, "token/embedding"),
        ({"vocab_size": WORDS - 1}, "token/embedding"),
        ({"type_vocab_size": 1}, "type/embedding"),
        ({"num_hidden_layers": 3}, "the tensor bert.encoder.layer.2.* is missing"),
        ({"num_hidden_layers": 1}, r"bert.encoder.layer.1.* and 15 more: no tensor"),
        ({"num_hidden_layers": 10**9}, "num_layers must be at most 1,000"),
        ({"num_hidden_layers": 900}, "is missing"),
        ({"num_attention_heads": 3}, "num_heads"),
        ({"hidden_dropout_prob": float("nan")}, "config.json is not JSON"),
        ({"hidden_dropout_prob": 1.5}, "model.dropout"),
        ({"model_type": "roberta"}, "more: no tensor of a RoBERTa that is known"),
        ({"model_type": "xlnet"}, "model_type is 'xlnet'"),
    ],
    ids=str,
)
def test_a_config_that_the_tensors_do_not_have_is_refused(source, changes, said):
    write_directory(source, weights(), **changes)
    refuses(source, said)


@pytest.mark.parametrize(
    ("tensor", "shape"),
    [
        ("bert.pooler.dense.weight", (16, 17)),
        ("bert.pooler.dense.bias", (1, 16)),
        ("bert.embeddings.word_embeddings.weight", ()),
        ("cls.predictions.bias", (WORDS + 1,)),
        ("cls.seq_relationship.bias", (3,)),
    ],
)
def test_a_tensor_of_a_wrong_shape_is_refused(source, tensor, shape):
    write_directory(source, weights() | {tensor: np.zeros(shape, np.float32)})
    refuses(source, "disagree|has shape")


def test_a_bias_longer_than_a_padded_table_is_refused(source):
    padded = weights()
    table, bias = "bert.embeddings.word_embeddings.weight", "cls.predictions.bias"
    padded[table] = np.pad(padded[table], ((0, 3), (0, 0)))
    padded[bias] = np.pad(padded[bias], (0, 5))
    write_directory(source, padded, vocab_size=WORDS + 3)
    refuses(source, "mlm_head/bias")


def test_a_choice_of_several_numbers_is_refused(source):
    write_directory(source, classifier(3), architectures=["BertForMultipleChoice"])
    refuses(source, r"choice_head/bias: \(3,\) -> \(1,\)")


@pytest.mark.parametrize(
    ("weight_map", "said"),
    [
        ({"a": "../x.safetensors"}, "x.safetensors leads out of"),
        ({"a": "/etc/hostname"}, "leads out of|has no /etc/hostname"),
        ({"a": "lost.safetensors"}, "has no lost.safetensors"),
        ({"bert.lost": "whole.safetensors"}, "whole.safetensors lacks bert.lost"),
        ({"a": 5}, "index.json: weight_map"),
        (["a"], "index.json: weight_map"),
        (None, "index.json: weight_map"),
    ],
    ids=str,
)
def test_an_index_that_does_not_hold_is_refused(source, weight_map, said):
    shutil.copy(source / NAME, source.parent / "x.safetensors")
    (source / NAME).rename(source / "whole.safetensors")
    index = {} if weight_map is None else {"weight_map": weight_map}
    (source / f"{NAME}.index.json").write_text(json.dumps(index))
    refuses(source, said)
