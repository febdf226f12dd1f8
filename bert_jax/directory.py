"""A Hugging Face directory, read without trusting it.

Only safetensors are read: a pickled file can run any code when it is opened. No link
may lead out of the directory.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from bert_jax import huggingface
from bert_jax.config import UsageError
from bert_jax.huggingface import Tensors

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".npy", ".npz")
FLOATS = ("F64", "F32", "F16", "BF16")


def inside(source: Path, name: str) -> Path:
    """A file of the directory that does not lead out of it."""
    path = source / name
    if not path.exists():
        raise UsageError(f"{source} has no {name}")
    if not path.resolve().is_relative_to(source.resolve()):
        raise UsageError(
            f"{path} leads out of {source}, to {path.resolve()}: copy the file itself "
            "there (cp -L)"
        )
    return path


def read_json(source: Path, name: str) -> dict[str, Any]:
    if source.suffix in PICKLED and source.is_file():
        raise UsageError(_convert(source))
    if not source.is_dir():
        raise UsageError(f"--from={source} is no directory: name the one of {name}")
    path = inside(source, name)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path} is not a JSON object")
    return value


def _convert(path: Path) -> str:
    """What to say of a pickled file."""
    if path.suffix in (".npy", ".npz"):
        return (
            f"{path} may hold pickled objects and is not read: save {WEIGHTS} instead"
        )
    target = path.with_name(WEIGHTS)
    stem, sharded, _ = path.name.partition("-0")
    files = path.with_name(f"{stem}-*{path.suffix}") if sharded else path
    return (
        f"{path} is a pickle, which can run any code, and is not read. If you trust "
        'it, convert it where torch is installed: python -c "import glob, torch, '
        "safetensors.torch as s; s.save_file({k: v.clone() for f in "
        f"glob.glob('{files}') for k, v in torch.load(f, weights_only=True).items()}}, "
        f"'{target}')\""
    )


def read_tensors(source: Path) -> Tensors:
    """All tensors of the directory, of one file or of shards, in float32."""
    if (source / WEIGHTS).exists() or (source / WEIGHTS).is_symlink():
        return _read_safetensors(inside(source, WEIGHTS))
    if not (source / INDEX).exists():
        for path in sorted(source.iterdir()):
            if path.suffix in PICKLED:
                raise UsageError(_convert(path))
        raise UsageError(f"{source} has no {WEIGHTS}")
    shard_of = read_json(source, INDEX).get("weight_map")
    if not isinstance(shard_of, dict) or not all(
        isinstance(shard, str) for shard in shard_of.values()
    ):
        raise UsageError(f"{INDEX}: weight_map must give the file of each tensor")
    shards = {
        name: _read_safetensors(inside(source, name))
        for name in sorted(set(shard_of.values()))
    }
    for tensor, shard in shard_of.items():
        if tensor not in shards[shard]:
            raise UsageError(f"{source / shard} lacks {tensor}, which {INDEX} promises")
    return {tensor: shards[shard][tensor] for tensor, shard in shard_of.items()}


def _read_safetensors(path: Path) -> Tensors:
    """The library checks the header's size and that offsets neither gap nor overlap."""
    try:
        with safetensors.safe_open(path, "np") as file:
            stored = file.keys()
            names = [name for name in stored if not huggingface.is_buffer(name)]
            for name in names:
                if (kind := file.get_slice(name).get_dtype()) not in FLOATS:
                    raise UsageError(f"{path}: {name} is {kind}, not floating point")
            return {
                name: np.asarray(file.get_tensor(name), np.float32) for name in names
            }
    except (safetensors.SafetensorError, OSError) as error:
        raise UsageError(f"{path} is damaged: {error}") from error
