"""What a run takes over from the one that `init_from` names, before it has an identity.

The shape of the encoder and the vocabulary are the parent's: a config that starts from
a run need not repeat them, and cannot contradict them. Never imports jax.
"""

from collections.abc import Mapping
from pathlib import Path

from ml_collections import ConfigDict, FrozenConfigDict

from bert_jax import config as configs
from bert_jax import rundir
from bert_jax.config import UsageError
from configs import base

# What decides the shape and the meaning of an encoder's parameters.
INHERITED = (
    "tokenizer.lowercase",
    "model.vocab_size",
    "model.num_layers",
    "model.model_dim",
    "model.num_heads",
    "model.mlp_dim",
    "model.max_length",
    "model.num_types",
    "model.norm",
    "model.norm_epsilon",
    "model.positions",
    "model.attention",
    "model.activation",
)


def load(spec: str, overrides: Mapping[str, str]) -> FrozenConfigDict:
    """`config.load`, with what the parent decides. Raises UsageError.

    A value that is neither the parent's nor that of configs/base.py was somebody's
    wish, and is refused; so is any that an override names.
    """
    config = configs.read(spec, overrides)
    if config.init_from:
        run, _ = source(config.init_from)
        text = rundir.read_text(run, rundir.CONFIG)
        inherit(config, configs.from_json(text), overrides)
    return configs.frozen(config)


def source(init_from: str) -> tuple[Path, int | None]:
    """`RUN` or `RUN/checkpoints/STEP` -> the run and the step, None for no certain one."""
    path = Path(init_from)
    if path.name.isdigit() and path.parent.name == rundir.CHECKPOINTS:
        return path.parent.parent, int(path.name)
    return path, None


def with_vocabulary(config: FrozenConfigDict, workdir: Path | None) -> FrozenConfigDict:
    """The config with tokenizer.path, if it is not stated, that of the parent; of a run
    that has begun in `workdir`, its own copy."""
    if config.tokenizer.path or not config.init_from:
        return config
    begun = workdir is not None and rundir.is_run(workdir)
    holder = workdir if workdir and begun else source(config.init_from)[0]
    full = ConfigDict(config.to_dict())
    full.tokenizer.path = str(holder / rundir.TOKENIZER)
    return FrozenConfigDict(full)


def inherit(
    config: ConfigDict,
    parent: ConfigDict | FrozenConfigDict,
    overrides: Mapping[str, object],
) -> None:
    """Gives the config what a parent of that config decides. Raises UsageError."""
    theirs = configs.flatten(parent)
    ours, usual = configs.flatten(config), configs.flatten(base.get_config())
    for key in INHERITED:
        wished = key in overrides or ours[key] != usual[key]
        if wished and ours[key] != theirs[key]:
            raise UsageError(
                f"{key} is {ours[key]} but {source(config.init_from)[0]}, which "
                f"init_from names, has {theirs[key]}: leave it out"
            )
    config.update_from_flattened_dict({key: theirs[key] for key in INHERITED})
