"""A Hugging Face directory, read without trusting it.

Only safetensors are read: a pickled file can run any code when it is opened. No link
may lead out of the directory, or of the folder of a hub cache that it lies in.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from bert_jax.huggingface.family.base import Tensors
from bert_jax.run import files
from bert_jax.run.config import UsageError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".npy", ".npz")
FLOATS = ("F64", "F32", "F16", "BF16")


# Files that say something of a model's outputs which is not read: what, by their name.
REFUSED = {
    r"adapter_(config\.json|model\..*)": "an adapter, which changes the weights: merge it",
}
NOTES = {
    r"(modules|sentence_bert_config|config_sentence_transformers)\.json": "how sentence-"
    "transformers pools and cuts: predict --vectors is the mean of all tokens",
    r".*\.py": "code of its own, which is not run",
}
# Other files without effect: texts for people, other formats, and leftovers of training.
SILENT = r"""(?ix) \..* | license.* | notice.* | readme.* | .*\.(md|txt|png|jpg|svg|pdf)
    | (pytorch_|tf_|flax_|rust_)?model[\w.-]*
    \.(h5|msgpack|ot|onnx|index\.json|safetensors)
    | generation_config\.json | trainer_state\.json | [\w-]*results[\w-]*\.json
    | vocab\.json | chat_template\.jinja | runs | onnx | openvino | coreml
    | (bert|albert|electra)_config\.json | checkpoint-\d+ | checkpoint | saved_model\.pb | tfhub_module\.pb | variables | assets
    | .*\.(index|meta|pbtxt|data-\d{5}-of-\d{5})"""
READ = {
    "config.json",
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
}


def inside(source: Path, name: str) -> Path:
    """A file of the directory that does not lead out of it."""
    path = source / name
    if not path.exists():
        raise UsageError(f"{source} has no {name}")
    if not path.resolve().is_relative_to(_bounds(source)):
        raise UsageError(
            f"{path} leads out of {source}, to {path.resolve()}: copy the file itself "
            "there (cp -L)"
        )
    return path


def _bounds(source: Path) -> Path:
    """The folder that links must not leave: the directory, or, of a snapshot in a hub
    cache, that of its model, which holds the snapshots' files under blobs/."""
    place = source.resolve()
    snapshots, model = place.parent, place.parent.parent
    cached = snapshots.name == "snapshots" and (model / "blobs").is_dir()
    return model if cached and model.name.startswith("models--") else place


def read_json(source: Path, name: str) -> dict[str, Any]:
    if source.suffix in PICKLED and source.is_file():
        raise UsageError(_convert(source))
    if not source.is_dir():
        raise UsageError(f"--from={source} is no directory: name the one of {name}")
    return files.read_json(inside(source, name))


def read_optional(source: Path, name: str) -> dict[str, Any]:
    """`read_json`, or an empty object of a file that is not there."""
    path = source / name
    return read_json(source, name) if path.exists() or path.is_symlink() else {}


def check_others(source: Path, say: Callable[[str], None]) -> None:
    """Refuse, or tell of, files of the directory that nothing here reads."""
    unknown = []
    for name in sorted(path.name for path in source.iterdir()):
        if reason := _matching(REFUSED, name):
            raise UsageError(f"{source / name} is {reason}")
        if reason := _matching(NOTES, name):
            say(f"{name} is not read: {reason}")
        elif not (name in READ or name.endswith(PICKLED) or re.fullmatch(SILENT, name)):
            unknown.append(name)
    if unknown:
        say(f"files that are not known here are not read: {', '.join(unknown)}")


def _matching(patterns: Mapping[str, str], name: str) -> str:
    return next((note for p, note in patterns.items() if re.fullmatch(p, name)), "")


def _convert(path: Path) -> str:
    """Message that a pickled file must be converted."""
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


def read_tensors(source: Path, is_buffer: Callable[[str], bool]) -> Tensors:
    """Read the tensors of a directory but buffers, from one file or shards, as
    float32."""
    if (source / WEIGHTS).exists() or (source / WEIGHTS).is_symlink():
        return _read_safetensors(inside(source, WEIGHTS), is_buffer)
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
        name: _read_safetensors(inside(source, name), is_buffer)
        for name in sorted(set(shard_of.values()))
    }
    wanted = {t: s for t, s in shard_of.items() if not is_buffer(t)}
    for tensor, shard in wanted.items():
        if tensor not in shards[shard]:
            raise UsageError(f"{source / shard} lacks {tensor}, which {INDEX} promises")
    for shard, tensors in shards.items():
        if more := tensors.keys() - wanted.keys():
            raise UsageError(
                f"{source / shard} holds {min(more)}, of which {INDEX} is silent"
            )
    return {tensor: shards[shard][tensor] for tensor, shard in wanted.items()}


def _read_safetensors(path: Path, is_buffer: Callable[[str], bool]) -> Tensors:
    """The library checks the header's size and that offsets neither gap nor overlap."""
    try:
        with safetensors.safe_open(path, "np") as file:
            stored = file.keys()
            names = [name for name in stored if not is_buffer(name)]
            for name in names:
                if (kind := file.get_slice(name).get_dtype()) not in FLOATS:
                    raise UsageError(f"{path}: {name} is {kind}, not floating point")
            return {name: finite(file.get_tensor(name), name) for name in names}
    except (safetensors.SafetensorError, OSError) as error:
        raise UsageError(f"{path} is damaged: {error}") from error


def finite(array: np.ndarray, name: str) -> np.ndarray:
    """The array in float32. Raises UsageError for a number that is none there."""
    with np.errstate(over="ignore"):
        single = np.asarray(array, np.float32)
    if not np.isfinite(single).all():
        place = np.argwhere(~np.isfinite(single))[0].tolist()
        raise UsageError(
            f"the tensor {name} holds a number that is not finite, at {place}"
        )
    return single
