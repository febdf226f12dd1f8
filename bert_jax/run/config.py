"""Config files: checks, overrides, canonical form and fingerprint.

`configs/base.py` lists every key with its type; no other module supplies a default.
"""

import difflib
import hashlib
import importlib.util
import inspect
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict, FrozenConfigDict

from bert_jax.run import consistency, files, rules
from bert_jax.run.exits import UsageError
from configs import base

Config = Any  # a ConfigDict, whose attributes have no static types

# Keys of a run's execution, which are not part of its identity.
EXECUTION = (
    "data.cache",
    "data.prefetch",
    "data.tfds_dir",
    "eval.length",
    "eval.rows",
    "parallel.mesh",
    "parallel.placement",
    "train.keep_every",
    "train.keep_last",
    "train.keep_powers",
    "train.log_every",
    "train.save_every",
    "train.watchdog",
)

# Keys added in later versions, with the value of the former behaviour. A key with that
# value is not part of a run's identity; an older config gets that value.
LATER = {
    "eval.length": 0,
    "eval.rows": "",
    "init_state": False,
    "model.bias": "all",
    "model.embed_dim": 0,
    "model.rotary_base": 10_000.0,
    "model.share": "none",
    "model.window": 0,
    "objective.head": "transform",
    "objective.pooler": "tanh",
    "tokenizer.model": "wordpiece",
    "tokenizer.strip_accents": "auto",
    "train.on_nonfinite": "stop",
    "train.watchdog": 0.0,
}


def load(spec: str, overrides: Mapping[str, str]) -> FrozenConfigDict:
    """Load the checked, frozen config of `FILE.py[:ARG]` or of a run's `config.json`.

    Overrides map dotted keys to text, which is parsed by the type of the key. Raises
    UsageError for anything misspelt, mistyped or inconsistent.
    """
    return frozen(read(spec, overrides))


def read(spec: str, overrides: Mapping[str, str]) -> ConfigDict:
    """Read the config as `load` does, without checking it for consistency."""
    path, _, argument = spec.partition(":")
    if not Path(path).is_file():
        raise UsageError(f"config file {path} does not exist")
    if path.endswith(".json"):
        config = from_json(files.read_text(Path(path)))
    else:
        config = _call(path, argument)
    return overridden(config, overrides)


def overridden(config: ConfigDict, overrides: Mapping[str, str]) -> ConfigDict:
    """A locked copy with these dotted keys parsed from text."""
    copy = ConfigDict(config.to_dict()).lock()
    copy.update_from_flattened_dict(
        {key: _parse(copy, key, text) for key, text in overrides.items()}
    )
    return copy


def changed(config: ConfigDict, changes: Mapping[str, object]) -> ConfigDict:
    """A copy with new values of these dotted keys, each of the type of its key (an
    integer is accepted for a float). Raises UsageError naming every mistake."""
    known, problems, values = flatten(config), [], {}
    for key, value in changes.items():
        if key not in known:
            problems.append(_unknown(key, known))
            continue
        wanted = type(known[key])
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            problems.append(f"{key} must be of type {wanted.__name__}, not {value!r}")
        values[key] = value
    if problems:
        raise UsageError("\n".join(problems))
    copy = ConfigDict(config.to_dict()).lock()
    copy.update_from_flattened_dict(values)
    return copy


def frozen(config: ConfigDict) -> FrozenConfigDict:
    """Check the config and freeze it."""
    check(config)
    return FrozenConfigDict(config)


def from_json(text: str) -> ConfigDict:
    """Parse a config that `canonical` wrote, perhaps in an older version."""
    written = files.parse_json(text, dict, "this config.json")
    written.pop(files.CHECK, None)
    try:
        return completed(written)
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"this config.json cannot be read: {error}") from error


def completed(written: Mapping) -> ConfigDict:
    """Complete a stored config, perhaps of an older version.

    Missing keys get their value of `LATER`, which keeps the former behaviour, whatever
    configs/base.py has.
    """
    defaults = base.get_config()
    defaults.update_from_flattened_dict(LATER)
    return ConfigDict(_merged(defaults.to_dict(), written))


def _merged(defaults: Mapping, written: Mapping) -> dict:
    return {**defaults} | {
        key: _merged(defaults[key], value)
        if isinstance(value, Mapping) and isinstance(defaults.get(key), Mapping)
        else value
        for key, value in written.items()
    }


def _call(path: str, argument: str) -> ConfigDict:
    module_spec = importlib.util.spec_from_file_location("config_file", path)
    if module_spec is None or module_spec.loader is None:
        raise UsageError(f"config file {path} is not a Python file (*.py)")
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
        takes_argument = bool(inspect.signature(module.get_config).parameters)
        if argument and not takes_argument:
            raise UsageError(f"{path} takes no argument, but was given {argument!r}")
        return module.get_config(*[argument] if argument else [])
    except UsageError:
        raise
    except Exception as error:  # a user's file may raise anything
        message = str(error).splitlines()[0] if str(error) else ""
        raise UsageError(f"{path}: {type(error).__name__}: {message}") from error


def _parse(config: ConfigDict, key: str, text: str) -> object:
    old = flatten(config).get(key)
    if old is None:
        raise UsageError(_unknown(key, flatten(config)))
    readers = {bool: {"true": True, "false": False}.__getitem__, int: int, float: float}
    try:
        reader = readers.get(type(old), str)
        return reader(text.lower() if isinstance(old, bool) else text)
    except (KeyError, ValueError) as error:
        kind = (
            "true or false"
            if isinstance(old, bool)
            else f"of type {type(old).__name__}"
        )
        raise UsageError(f"{key} must be {kind}, not {text!r}") from error


def _unknown(key: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; configs/base.py lists them all"
    return f"there is no config key {key}{hint}"


def flatten(config: ConfigDict | FrozenConfigDict | Mapping) -> dict[str, object]:
    """Flatten a config to dotted keys, in order."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict | FrozenConfigDict | dict):
            flat |= {f"{key}.{name}": leaf for name, leaf in flatten(value).items()}
        else:
            flat[key] = value
    return flat


def check(config: ConfigDict | FrozenConfigDict) -> None:
    """Check a config. Raises UsageError naming every mistake, one a line."""
    known = flatten(base.get_config())
    flat = flatten(config)
    problems = [_unknown(key, known) for key in flat if key not in known]
    problems += rules.schema_problems(flat, known)
    problems = problems or [
        *rules.values_problems(flat),
        *consistency.config_problems(config),
    ]
    if problems:
        raise UsageError("\n".join(problems))


def canonical(config: ConfigDict | FrozenConfigDict) -> str:
    """Canonical JSON with its `check`: sorted keys, shortest round-trip floats, one
    trailing newline."""
    checked = files.checked(config.to_dict())
    return json.dumps(checked, sort_keys=True, indent=1) + "\n"


def fingerprint(config: ConfigDict | FrozenConfigDict, parent: str) -> str:
    """The run id: 12 hexadecimal digits that identify what the run computes.

    `parent` is the id of the run that `init_from` names (and its step), "" for none.
    """
    identity = without_execution(config) | {"init_from": parent}
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# Keys in which lanes of one step may differ, with a placeholder value for each.
LANES = {"seed": 0, "optim.learning_rate": 1.0}


def shape(config: FrozenConfigDict) -> dict:
    """The keys that runs must share to be lanes of one compiled step."""
    shared = ConfigDict(config.to_dict())
    shared.update_from_flattened_dict(LANES)
    return without_execution(shared.to_dict())


def without_execution(nested: ConfigDict | Mapping) -> dict[str, object]:
    """The flat config without keys of execution and without keys of `LATER` at their
    former value."""
    return {
        key: value
        for key, value in flatten(nested).items()
        if key not in EXECUTION and not (key in LATER and value == LATER[key])
    }


def scheduled(config: FrozenConfigDict, num_examples: int) -> FrozenConfigDict:
    """The config with all schedules converted to numbers of steps.

    The last step of k epochs is the first at which each example was seen k times.
    """
    full = ConfigDict(config.to_dict())
    train, epoch = full.train, math.ceil(num_examples / full.train.batch)
    if train.epochs:
        train.steps = math.ceil(train.epochs * num_examples / train.batch)
    if full.optim.warmup_share:
        full.optim.warmup_steps = round(full.optim.warmup_share * train.steps)
    train.save_every = train.save_every or epoch
    full.eval.every = full.eval.every or epoch
    return FrozenConfigDict(full)


def check_warmup(config: FrozenConfigDict) -> None:
    """Refuse a config whose warm-up is longer than training. Raises UsageError."""
    warmup, steps = config.optim.warmup_steps, config.train.steps
    if warmup > steps and not config.optim.warmup_share:
        raise UsageError(
            f"optim.warmup_steps {warmup} is above the {steps} steps that "
            f"train.epochs={config.train.epochs:g} makes of these data: set "
            "optim.warmup_steps=0 with optim.warmup_share=0.1, or train longer"
        )


def stream(seed: int, *names: str) -> int:
    """A 64-bit seed of a named random stream: a hash, never `seed + 1`."""
    text = "/".join([str(seed), *names])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def smoke(config: ConfigDict | FrozenConfigDict) -> FrozenConfigDict:
    """Shrink a config so that a test can run it in seconds.

    Kinds and choices stay; sizes and step counts become tiny.
    """
    small = ConfigDict(config.to_dict())
    small.tokenizer.vocab_size = 256 if small.tokenizer.model == "wordpiece" else 512
    small.model.update(
        vocab_size=0, num_layers=2, model_dim=16, num_heads=2, mlp_dim=32, max_length=64
    )
    small.data.length = 32
    small.optim.update(warmup_steps=2, warmup_share=0.0)
    small.train.update(steps=6, epochs=0.0, batch=8, log_every=1, save_every=3)
    small.train.accumulate = min(small.train.accumulate, 2)
    small.eval.update(every=3, batch=8, max_examples=16)
    small.eval.length = min(small.eval.length, small.data.length)
    check(small)
    return FrozenConfigDict(small)
