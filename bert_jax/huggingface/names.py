"""Names and arrays of Hugging Face's models and ours, each way by a family's tables.

Arrays only: `exchange` reads and writes the files. A tensor that the tables do not
know, and a group of them that is incomplete, are errors: nothing is dropped unsaid.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from bert_jax.huggingface import families, old_names
from bert_jax.huggingface.family.base import Family, Rows, TensorName, Tensors
from bert_jax.huggingface.keys import Say
from bert_jax.models import network as networks
from bert_jax.models.layers import EncoderConfig
from bert_jax.models.network import Network, Readout
from bert_jax.run.config import UsageError

# Their names for what a classifier's numbers mean, and our kinds of task.
PROBLEMS = {
    "single_label_classification": "classify",
    "multi_label_classification": "multilabel",
    "regression": "regress",
}


def to_ours(
    tensors: Tensors, card: Mapping[str, Any], config: Any, say: Say
) -> dict[str, Any]:
    """Parameters, float32 and nested by path, from Hugging Face tensors.

    `card` is their config.json and `config` our config of it; what had to be mended is
    told to `say`, a line each. Raises UsageError for tensors that are missing, unknown
    or misshapen.
    """
    family = families.of_card(card)
    tensors = old_names.bare(tensors, family, say)
    tensors = old_names.modern(tensors, family, say)
    old_names.untie(tensors, card, family, say)
    heads = _heads(tensors, card, family)
    layers = min(config.model.num_layers, _layers_in(tensors, family) + 1)
    rows = _spelt((*family.encoder, *_flat(heads)), layers)
    paths = _paths(config, layers, tuple(heads))
    if homeless := [path for path in paths if path not in rows]:
        raise UsageError(
            f"{families.NAME}: a {family.name} has no tensor of {homeless[0]}"
        )
    params = {
        path: _array(rows[path], tensors, family, card)
        for path in paths
        if rows[path].theirs
    }
    if unknown := sorted(tensors.keys() - {rows[path].theirs for path in paths}):
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise UsageError(
            f"{unknown[0]}{more}: no tensor of a {family.name} that is known here"
        )
    if "pooler" in family.classes[family.base] and "pooler" not in heads:
        say("there is no pooler: the run has none")
    for path in paths:
        if path not in params:  # a bias that their class does not have
            kernel = params[path.removesuffix("bias") + "kernel"]
            params[path] = np.zeros(kernel.shape[-1], np.float32)
    return traverse_util.unflatten_dict(params, sep="/")


def to_theirs(
    params: Mapping[str, Any], family: Family, heads: Iterable[str], pad_id: int
) -> tuple[str, Tensors]:
    """Our parameters -> the class of a family that has these heads, and its tensors.

    A tied decoder is not written twice, as they do not write it either. A pooler is
    left out where their class has none.
    """
    name = class_of(family, set(heads))
    groups = family.classes[name]
    kept = {"encoder"} | groups.keys() & params.keys()
    flat = traverse_util.flatten_dict({key: params[key] for key in kept}, sep="/")
    blocks = sum(key.startswith("block_") for key in params["encoder"])
    rows, parts = _spelt((*family.encoder, *_flat(groups)), blocks), {}
    for path, leaf in flat.items():
        if path not in rows:
            raise UsageError(f"their {family.name} has no place for {path}")
        row, array = rows[path], np.asarray(leaf)
        if not row.theirs and array.any():
            raise UsageError(f"their {name} has no place for {path}, which is not zero")
        if row.theirs:
            parts.setdefault(row.theirs, {})[row.part[0]] = (row, array)
    short = family.prefix if name == family.base else ""
    return name, {
        theirs.removeprefix(short): _joined(each, family, pad_id)
        for theirs, each in parts.items()
    }


def class_of(family: Family, heads: set[str]) -> str:
    """The class of theirs that has these heads, and a pooler if there must be one."""
    for name, groups in family.classes.items():
        bare = name == family.base and not heads
        if bare or set(groups) in (heads, heads - {"pooler"}):
            return name
    raise UsageError(
        f"Hugging Face has no {family.name} with just {', '.join(sorted(heads))} on top"
    )


def _layers_in(tensors: Tensors, family: Family) -> int:
    """Count the layers that there are tensors of, where each has its own."""
    found = set()
    for row in family.encoder:
        before, numbered, after = row.theirs.partition("{layer}")
        if numbered:
            inside = (name for name in tensors if name.startswith(before))
            found |= {name.removeprefix(before).removesuffix(after) for name in inside}
    return sum(number.isdecimal() for number in found)


def _paths(config: Any, layers: int, heads: tuple[str, ...]) -> list[str]:
    """The paths of the parameters of a config of these layers and heads."""
    model = config.model.to_dict() | {"num_layers": layers}
    encoder, features = EncoderConfig(**model), Readout.of(config.objective)
    shapes = networks.shapes(Network(encoder, heads, 1, features))
    return list(traverse_util.flatten_dict(shapes, sep="/"))


def _flat(heads: Mapping[str, Rows]) -> list[TensorName]:
    return [row for rows in heads.values() for row in rows]


def _spelt(rows: Iterable[TensorName], layers: int) -> dict[str, TensorName]:
    """Rows by our path, every layer spelt out."""
    spelt = [
        row._replace(ours=row.ours.format(layer=n), theirs=row.theirs.format(layer=n))
        for row in rows
        for n in (range(layers) if "{layer" in row.ours else range(1))
    ]
    return {row.ours: row for row in spelt}


def _array(
    row: TensorName, tensors: Tensors, family: Family, card: Mapping[str, Any]
) -> Any:
    """The array of a row, as ours."""
    if row.theirs not in tensors:
        raise UsageError(f"the tensor {row.theirs} is missing")
    array = tensors[row.theirs]
    if array.ndim != (1 if row.ours.endswith(("bias", "scale")) else 2):
        raise UsageError(f"the tensor {row.theirs} has shape {array.shape}")
    array = array.T if row.transposed else array
    number, count = row.part
    if array.shape[-1] % count:
        raise UsageError(
            f"the tensor {row.theirs} has shape {array.shape}: {count} parts side by side "
            "do not divide it"
        )
    array = np.split(array, count, axis=-1)[number]
    if family.offset and row.ours.endswith("position/embedding"):
        array = array[families.padding(card) + 1 :]
    return np.ascontiguousarray(array, np.float32)


def _joined(
    parts: Mapping[int, tuple[TensorName, np.ndarray]], family: Family, pad_id: int
) -> np.ndarray:
    """The tensor of theirs that these arrays of ours are parts of."""
    row = parts[0][0]
    array = np.concatenate([parts[i][1] for i in range(row.part[1])], axis=-1)
    if family.offset and row.ours.endswith("position/embedding"):
        array = np.pad(array, ((pad_id + 1, 0), (0, 0)))
    return np.ascontiguousarray(array.T if row.transposed else array)


def _heads(
    tensors: Tensors, card: Mapping[str, Any], family: Family
) -> dict[str, Rows]:
    """The heads of which there is any tensor, each with its rows.

    The class that config.json names decides between heads whose tensors it calls alike.
    """
    named = card.get("architectures")
    first = str(named[0]) if isinstance(named, list) and named else ""
    sure = _named_heads(first, family)
    found: dict[str, Rows] = {}
    taken: set[str] = set()
    for groups in (sure, *family.classes.values()):
        for head, rows in groups.items():
            theirs = {row.theirs for row in rows} & tensors.keys()
            if theirs and head not in found and not theirs & taken:
                found[head] = rows
                taken |= theirs
    for head, rows in found.items():
        shared = {row.theirs for row in rows} & tensors.keys()
        if head not in sure and _is_shared(shared, head, family):
            _refuse_unnamed(family, named, min(shared))
    return found


def _named_heads(name: str, family: Family) -> Mapping[str, Rows]:
    """The heads of a class, which may bear the name of a like family: the one of
    CamembertForMaskedLM is that of RobertaForMaskedLM."""
    for known, groups in family.classes.items():
        if name.endswith(known.removeprefix(family.stem)):
            return groups
    return {}


def _is_shared(theirs: set[str], head: str, family: Family) -> bool:
    """Whether another head of the family has tensors of these names."""
    return any(
        other != head and theirs & {row.theirs for row in rows}
        for groups in family.classes.values()
        for other, rows in groups.items()
    )


def _refuse_unnamed(family: Family, named: Any, tensor: str) -> None:
    classes = [
        f'["{name}"]'
        for name, groups in family.classes.items()
        if any(row.theirs == tensor for rows in groups.values() for row in rows)
    ]
    raise UsageError(
        f"config.json: architectures is {named}, which does not say what its "
        f"tensor {tensor} belongs to: write {', '.join(classes[:-1])} or {classes[-1]}"
    )
