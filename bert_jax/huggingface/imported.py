"""The config and the parameters of a model that is imported."""

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from bert_jax.huggingface import bert_tokenizer, families, google, hub, names, old_names
from bert_jax.huggingface import card as cards
from bert_jax.huggingface import files as directory
from bert_jax.huggingface.family.base import Tensors
from bert_jax.huggingface.keys import Say
from bert_jax.models import network as networks
from bert_jax.models.layers import EncoderConfig
from bert_jax.run import config as configs
from bert_jax.run.config import UsageError
from bert_jax.train import checkpoint
from configs import base

# Keys of how the run is used, which a person may choose.
USE = ("data.length", "task.stride", "task.max_question", "task.max_answer")
USE += ("task.no_answer",)


class Imported(NamedTuple):
    """The content of a directory of Hugging Face, or of a release of Google.

    card: its config.json. digest: of the weights, whatever their files are called.
    """

    card: Mapping[str, Any]
    config: ConfigDict
    params: Any
    words: bert_tokenizer.Read
    labels: list[str]
    classes: int
    digest: str


def read(source: Path, overrides: Mapping[str, str], say: Say) -> Imported:
    """Read all of it; `overrides` say how the run is used. Raises UsageError."""
    source = hub.resolve(str(source))
    if google.found(source):
        card, tensors = google.read(source, say)
    else:
        card, tensors = directory.read_json(source, families.NAME), None
    settings = cards.settings(card, say)
    words = bert_tokenizer.read(google.assets(source), say)
    if tensors is None:
        directory.check_others(source, say)
        is_buffer = partial(old_names.is_buffer, family=families.of_card(card))
        tensors = directory.read_tensors(source, is_buffer)
    config = _shape(settings)
    params = names.to_ours(tensors, card, config, say)
    config = _config(config, params, words, overrides, say)
    classes = _check_shapes(config, params)
    _fit_vocabulary(params, config.model, words.tokenizer.vocab_size, say)
    cards.check_problem(card, classes)
    labels = cards.labels_of(card, classes, say)
    digest = _digest(tensors)
    return Imported(card, config, params, words, labels, classes, digest)


def _digest(tensors: Tensors) -> str:
    """Digest of the weights, independent of file names."""
    digest = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]


def _fit_vocabulary(params: Any, model: ConfigDict, count: int, say: Say) -> None:
    """Cut the rows of the token table that no token has: some are padded to 64."""
    table = params["encoder"]["embeddings"]["token"]["embedding"]
    rows = len(table)
    if rows < count:
        raise UsageError(
            f"the vocabulary has {count} tokens but the token table {rows} rows"
        )
    if rows > count:
        say(f"{rows - count} rows of the token table have no token: left out")
        params["encoder"]["embeddings"]["token"]["embedding"] = table[:count]
        if "mlm_head" in params:
            params["mlm_head"]["bias"] = params["mlm_head"]["bias"][:count]
    model.vocab_size = count


def _shape(settings: Mapping[str, Any]) -> ConfigDict:
    """A checked config with these dotted keys."""
    config = base.get_config()
    config.update_from_flattened_dict(settings)
    config.objective.pair, config.data.pairs = "none", "single"
    config.data.length = min(config.data.length, config.model.max_length)
    configs.check(config)
    return config


def _config(
    config: ConfigDict,
    params: Mapping[str, Any],
    read: bert_tokenizer.Read,
    overrides: Mapping[str, str],
    say: Say,
) -> ConfigDict:
    """The config with its use; its data and schedule were never ours to know."""
    words = read.tokenizer
    config.tokenizer.lowercase = words.lowercase
    config.tokenizer.strip_accents = read.strip_accents
    paired = "pair_head" in params
    config.objective.pair = "nsp" if paired else "none"
    config.data.pairs = "nsp" if paired else "single"
    positions = config.model.max_length
    config.data.length = min(read.length or positions, positions)
    if others := sorted(overrides.keys() - USE):
        raise UsageError(f"--config.{others[0]}: an import takes {', '.join(USE)}")
    config = configs.overridden(config, overrides)
    if "span_head" in params:
        room = config.data.length - read.tokenizer.special_count(True)
        _fit_windows(config, overrides, room, say)
    configs.check(config)
    return config


def _fit_windows(
    config: ConfigDict, overrides: Mapping[str, str], room: int, say: Say
) -> None:
    """Short rows: half of one for a question, half of the rest shared by windows."""
    task = config.task
    before = task.max_question, task.stride
    if "task.max_question" not in overrides:
        task.max_question = min(task.max_question, room // 2)
    if "task.stride" not in overrides:
        task.stride = min(task.stride, (room - task.max_question) // 2)
    if (task.max_question, task.stride) != before:
        say(
            f"rows of {config.data.length} tokens: task.max_question is "
            f"{task.max_question} and task.stride {task.stride} "
            "(import --config.task.stride=N sets another)"
        )


def _check_shapes(config: ConfigDict, params: Mapping[str, Any]) -> int:
    """Refuse arrays of other shapes than the config's; how many classes there are."""
    network = networks.of_params(
        EncoderConfig(**config.model), params, networks.Readout.of(config.objective)
    )
    if different := checkpoint.differing(params, networks.shapes(network)):
        raise UsageError(f"config.json and the tensors disagree: {different[0]}")
    return network.classes
