"""Runs from Hugging Face directories, and directories from runs."""

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from ml_collections import ConfigDict
from safetensors.numpy import save_file

from bert_jax import checkpoint, directory, files, huggingface, rundir, setup, tokenizer
from bert_jax import config as configs
from bert_jax.config import UsageError
from bert_jax.huggingface import Tensors
from bert_jax.models import network as networks
from bert_jax.models.encoder import EncoderConfig
from bert_jax.state import TrainState
from bert_jax.tokenizer import Tokenizer
from configs import base


def say(text: str) -> None:
    print(text, file=sys.stderr)


def import_model(source: Path, workdir: Path) -> int:
    """Make a run of one checkpoint, step 0, of a Hugging Face directory.

    Raises UsageError, before anything is written, for what cannot be read safely or
    has no place in our BERT.
    """
    theirs = directory.read_json(source, "config.json")
    fields = huggingface.model_fields(theirs)
    words = _read_tokenizer(source)
    tensors = directory.read_tensors(source)
    digest = _digest(tensors)
    params = huggingface.to_ours(tensors, theirs, say)
    config = _config(fields, params, words)
    classes = _check_shapes(config, params)
    _fit_vocabulary(params, config.model, words.vocab_size)
    labels = huggingface.labels_of(theirs, classes)

    rundir.create(workdir)
    with rundir.lease(workdir, "--workdir"):
        if rundir.is_run(workdir):
            raise UsageError(f"{workdir} is a run already: choose another --workdir")
        _save(params, workdir)
        facts = {"source": str(source), "labels": labels, "data": setup.NO_DATA}
        setup.begin(workdir, config, words, digest, facts)
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    say(f"{workdir}: {count:,} parameters in {', '.join(sorted(params))}")
    return 0


def export_run(workdir: Path, step: int | None, target: Path) -> int:
    """Write a run's step as a directory that `from_pretrained` reads.

    Raises UsageError for a model that their BERT cannot express, and for a directory
    that holds anything.
    """
    config = setup.read_config(workdir)
    huggingface.check_expressible(config.model)
    if config.objective.layers != "last":
        raise UsageError(
            f"the heads of their BERT read its last layer, and this run's those of "
            f"objective.layers={config.objective.layers}"
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is not empty: choose another --to")
    target = target.resolve()  # "." has no name, and a link cannot be replaced
    step = checkpoint.chosen(workdir, step)
    words = tokenizer.load(workdir / rundir.TOKENIZER, config.tokenizer.lowercase)
    config = setup.resolved(config, words.vocab_size)
    params = jax.device_get(checkpoint.restore_alone(workdir, step))
    name, tensors = huggingface.to_theirs(params)
    sized = networks.SIZED & params.keys()
    labels = rundir.read(workdir, rundir.RUN)["labels"] if sized else []
    regression = config.objective.kind == "regress"
    labels = ["LABEL_0"] if regression else labels  # as theirs calls a number

    _say_what_is_lost(name, params, config.objective.pair)

    beside = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        save_file(tensors, beside / directory.WEIGHTS, metadata={"format": "pt"})
        theirs = huggingface.their_config(config.model, name, labels, words.pad_id)
        theirs |= {"problem_type": "regression"} if regression else {}
        files.write_json(beside / "config.json", theirs)
        _write_tokenizer(beside, words, config.model.max_length)
        beside.replace(target)
    except (OSError, safetensors.SafetensorError) as error:
        raise UsageError(f"cannot write {target}: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    say(f"{target}: {name}, step {step} of {workdir}")
    return 0


def _say_what_is_lost(name: str, params: Mapping[str, Any], pair: str) -> None:
    """What their class means or holds otherwise."""
    wanted = huggingface.ARCHITECTURES[name]
    if "pooler" in params and "pooler" not in wanted:
        say(f"the pooler is left out: {name} has none")
    if "pooler" in wanted and "pooler" not in params:
        say(f"there is no pooler: {name} makes a random one (add_pooling_layer=False)")
    if "pair_head" in params and pair == "sop":
        say("the pair head tells the order of two sentences, not if the second is next")


def _digest(tensors: Tensors) -> str:
    """What the weights are, whatever the files were called."""
    digest = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]


def _read_tokenizer(source: Path) -> Tokenizer:
    """tokenizer.json, or vocab.txt with the rules of tokenizer_config.json."""
    if (source / "tokenizer.json").exists():
        path = directory.inside(source, "tokenizer.json")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {path}: {error}") from error
        return tokenizer.parse(text, str(path))
    path, lowercase = directory.inside(source, "vocab.txt"), True
    if (source / "tokenizer_config.json").exists():
        rules = directory.read_json(source, "tokenizer_config.json")
        lowercase = bool(rules.get("do_lower_case", True))
        for key, usual in (
            ("strip_accents", lowercase),
            ("tokenize_chinese_chars", True),
        ):
            if rules.get(key) not in (None, usual):
                raise UsageError(
                    f"tokenizer_config.json: {key} is {rules[key]} with do_lower_case "
                    f"{lowercase}: give a tokenizer.json, which can say so"
                )
    return tokenizer.load(path, lowercase)


def _write_tokenizer(target: Path, words: Tokenizer, max_length: int) -> None:
    rules = json.loads(words.to_str())["normalizer"]
    config = {
        "tokenizer_class": "BertTokenizer",
        "model_max_length": max_length,
        "do_lower_case": words.lowercase,
        "strip_accents": rules.get("strip_accents"),
        "tokenize_chinese_chars": rules.get("handle_chinese_chars", True),
        **{f"{piece.strip('[]').lower()}_token": piece for piece in tokenizer.SPECIALS},
    }
    words.save(target / "tokenizer.json")
    files.write_json(target / "tokenizer_config.json", config)
    vocabulary = "".join(f"{piece}\n" for piece in words.vocabulary)
    files.write_text(target / "vocab.txt", vocabulary)


def _fit_vocabulary(params: Any, model: ConfigDict, pieces: int) -> None:
    """Cut the rows of the token table that no piece has: some are padded to 64."""
    table = params["encoder"]["embeddings"]["token"]["embedding"]
    rows = len(table)
    if rows < pieces:
        raise UsageError(
            f"the vocabulary has {pieces} pieces but the token table {rows} rows"
        )
    if rows > pieces:
        say(f"{rows - pieces} rows of the token table have no piece: left out")
        params["encoder"]["embeddings"]["token"]["embedding"] = table[:pieces]
        if "mlm_head" in params:
            params["mlm_head"]["bias"] = params["mlm_head"]["bias"][:pieces]
    model.vocab_size = pieces


def _config(
    fields: dict[str, Any], params: Mapping[str, Any], words: Tokenizer
) -> ConfigDict:
    """A config of this model; its data and schedule were never ours to know."""
    config = base.get_config()
    config.model.update(fields)
    config.tokenizer.lowercase = words.lowercase
    paired = "pair_head" in params
    config.objective.pair = "nsp" if paired else "none"
    config.data.pairs = "nsp" if paired else "single"
    config.data.length = config.model.max_length
    configs.check(config)
    return config


def _check_shapes(config: ConfigDict, params: Mapping[str, Any]) -> int:
    """Refuse arrays of other shapes than the config's; how many classes there are."""
    network = networks.of_params(EncoderConfig(**config.model), params, networks.WHOLE)
    if different := checkpoint.differing(params, networks.shapes(network)):
        raise UsageError(f"config.json and the tensors disagree: {different[0]}")
    return network.classes


def _save(params: Any, workdir: Path) -> None:
    state = TrainState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.asarray, params), ())
    checkpoints = checkpoint.Checkpoints(workdir, 1, 0, False)
    try:
        checkpoints.save(0, state)
    finally:
        checkpoints.close()
