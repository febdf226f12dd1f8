"""Inheritance of a run from the run that `init_from` names.

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

# Keys that determine the shape and meaning of an encoder's parameters.
INHERITED = (
    "tokenizer.lowercase",
    "tokenizer.strip_accents",
    "model.vocab_size",
    "model.num_layers",
    "model.model_dim",
    "model.embed_dim",
    "model.num_heads",
    "model.mlp_dim",
    "model.max_length",
    "model.num_types",
    "model.norm",
    "model.norm_epsilon",
    "model.bias",
    "model.share",
    "model.positions",
    "model.rotary_base",
    "model.attention",
    "model.window",
    "model.activation",
    "objective.head",
    "objective.pooler",
)

# Keys that determine an optimiser's state: a run that continues from it must keep them.
OPTIMISER = (
    "optim.name",
    "optim.beta1",
    "optim.beta2",
    "optim.bias_correction",
    "optim.freeze",
    "optim.layer_decay",
)


def load(spec: str, overrides: Mapping[str, str]) -> FrozenConfigDict:
    """Load a config as `config.load`, with the keys of its parent. Raises UsageError.

    A value that differs from both the parent's and that of configs/base.py is refused;
    so is an override that differs from the parent's.
    """
    config = configs.read(spec, overrides)
    if config.init_from:
        run, _ = rundir.source(config.init_from)
        inherit(config, record.read(run).config, overrides)
    return configs.frozen(config)


def with_vocabulary(config: FrozenConfigDict, workdir: Path | None) -> FrozenConfigDict:
    """The config with tokenizer.path set to the parent's unless stated; for a run that
    has begun in `workdir`, to its own copy."""
    if config.tokenizer.path or not config.init_from:
        return config
    begun = workdir is not None and rundir.is_run(workdir)
    owner = workdir if workdir and begun else rundir.source(config.init_from)[0]
    full = ConfigDict(config.to_dict())
    full.tokenizer.path = str(owner / rundir.TOKENIZER)
    return FrozenConfigDict(full)


def inherit(
    config: ConfigDict,
    parent: ConfigDict | FrozenConfigDict,
    overrides: Mapping[str, object],
) -> None:
    """Set the keys that the parent determines. Raises UsageError for contradictions."""
    theirs = configs.flatten(parent)
    ours, defaults = configs.flatten(config), configs.flatten(base.get_config())
    for key in INHERITED:
        explicit = key in overrides or ours[key] != defaults[key]
        if explicit and ours[key] != theirs[key]:
            raise UsageError(
                f"{key} is {ours[key]} but {rundir.source(config.init_from)[0]}, which "
                f"init_from names, has {theirs[key]}: leave it out"
            )
    config.update_from_flattened_dict({key: theirs[key] for key in INHERITED})


def check_lengthens(
    config: FrozenConfigDict, parent: FrozenConfigDict, source: Path, step: int
) -> None:
    """Refuse a run that cannot continue from its parent's state at a step.

    Both configs are scheduled. Raises UsageError.
    """
    ours, theirs = configs.flatten(config), configs.flatten(parent)
    changed = [key for key in OPTIMISER if ours[key] != theirs[key]]
    if changed:
        changes = "; ".join(f"{key}: {theirs[key]} -> {ours[key]}" for key in changed)
        raise UsageError(
            f"init_state=true takes the optimiser's state of {source}, which another "
            f"optimiser made: {changes}"
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
