"""What a run takes over from the one that `init_from` names, before it has an identity.

The shape of the encoder and the vocabulary are the parent's: a config that starts from
a run need not repeat them, and cannot contradict them. Never imports jax.
"""

from collections.abc import Mapping
from pathlib import Path

from ml_collections import ConfigDict, FrozenConfigDict

from bert_jax.run import config as configs
from bert_jax.run import record, rundir
from bert_jax.run.config import UsageError
from configs import base

# What decides the shape and the meaning of an encoder's parameters.
INHERITED = (
    "tokenizer.lowercase",
    "tokenizer.strip_accents",
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

# What the state of an optimiser is made by: who goes on from it does not change these.
OPTIMISER = (
    "optim.name",
    "optim.beta1",
    "optim.beta2",
    "optim.bias_correction",
    "optim.freeze",
    "optim.layer_decay",
)


def load(spec: str, overrides: Mapping[str, str]) -> FrozenConfigDict:
    """`config.load`, with what the parent decides. Raises UsageError.

    A value that is neither the parent's nor that of configs/base.py was somebody's
    wish, and is refused; so is any that an override names.
    """
    config = configs.read(spec, overrides)
    if config.init_from:
        run, _ = rundir.source(config.init_from)
        inherit(config, record.read(run).config, overrides)
    return configs.frozen(config)


def with_vocabulary(config: FrozenConfigDict, workdir: Path | None) -> FrozenConfigDict:
    """The config with tokenizer.path, if it is not stated, that of the parent; of a run
    that has begun in `workdir`, its own copy."""
    if config.tokenizer.path or not config.init_from:
        return config
    begun = workdir is not None and rundir.is_run(workdir)
    holder = workdir if workdir and begun else rundir.source(config.init_from)[0]
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
                f"{key} is {ours[key]} but {rundir.source(config.init_from)[0]}, which "
                f"init_from names, has {theirs[key]}: leave it out"
            )
    config.update_from_flattened_dict({key: theirs[key] for key in INHERITED})


def check_lengthens(
    config: FrozenConfigDict, parent: FrozenConfigDict, source: Path, step: int
) -> None:
    """Refuse a run that cannot go on from the state of its parent at a step.

    Both configs are scheduled. Raises UsageError.
    """
    ours, theirs = configs.flatten(config), configs.flatten(parent)
    changed = [key for key in OPTIMISER if ours[key] != theirs[key]]
    if changed:
        told = "; ".join(f"{key}: {theirs[key]} -> {ours[key]}" for key in changed)
        raise UsageError(
            f"init_state=true takes the optimiser's state of {source}, which another "
            f"optimiser made: {told}"
        )
    if config.train.steps <= step:
        raise UsageError(
            f"{source} is at step {step} already and train.steps is "
            f"{config.train.steps}: init_state=true needs more steps than that"
        )
    before, warmup = parent.optim.warmup_steps, config.optim.warmup_steps
    if before <= step < warmup:
        raise UsageError(
            f"a warm-up of {warmup} steps would begin anew at step {step} of {source}, "
            f"which ended it at {before}: set optim.warmup_share=0 and "
            f"optim.warmup_steps={before}"
        )
