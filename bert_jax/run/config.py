"""A config file, checked and frozen; its overrides, canonical form and fingerprint.

`configs/base.py` lists every key with its type; nothing here or elsewhere in the
library supplies a default.
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

Config = Any  # a ConfigDict: its attributes have no static types

# Keys that say how a run is executed, not what it computes: left out of its identity.
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

# Keys that came later, each with the value that does what was done before it: with that
# value a key stays out of a run's identity, and an older config takes it.
LATER = {
    "eval.length": 0,
    "eval.rows": "",
    "init_state": False,
    "tokenizer.strip_accents": "auto",
    "train.on_nonfinite": "stop",
    "train.watchdog": 0.0,
}


def load(spec: str, overrides: Mapping[str, str]) -> FrozenConfigDict:
    """The checked, frozen config of `FILE.py[:ARG]` or of a run's `config.json`.

    Overrides map dotted keys to text, which is read by the type of the key.
    Raises UsageError for anything misspelt, mistyped or inconsistent.
    """
    return frozen(read(spec, overrides))


def read(spec: str, overrides: Mapping[str, str]) -> ConfigDict:
    """The config of `load`, not yet checked: its values may contradict each other."""
    path, _, argument = spec.partition(":")
    if not Path(path).is_file():
        raise UsageError(f"config file {path} does not exist")
    if path.endswith(".json"):
        config = from_json(files.read_text(Path(path)))
    else:
        config = _call(path, argument)
    return overridden(config, overrides)


def overridden(config: ConfigDict, overrides: Mapping[str, str]) -> ConfigDict:
    """A locked copy with these dotted keys read from text."""
    copy = ConfigDict(config.to_dict()).lock()
    copy.update_from_flattened_dict(
        {key: _parse(copy, key, text) for key, text in overrides.items()}
    )
    return copy


def changed(config: ConfigDict, changes: Mapping[str, object]) -> ConfigDict:
    """A copy with other values of these dotted keys, each of the type of its key (a
    whole number will do for a float). Raises UsageError naming every mistake."""
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
    """The config, checked, and from now on as it is."""
    check(config)
    return FrozenConfigDict(config)


def from_json(text: str) -> ConfigDict:
    """The config that `canonical` wrote, perhaps before a key of today existed."""
    written = files.parse_json(text, dict, "this config.json")
    written.pop(files.CHECK, None)
    try:
        return completed(written)
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"this config.json cannot be read: {error}") from error


def completed(written: Mapping) -> ConfigDict:
    """A config that was written, perhaps before a key of today existed.

    Such a key takes its value of `LATER`, which does what was done before it, whatever
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
    found = importlib.util.spec_from_file_location("config_file", path)
    if found is None or found.loader is None:
        raise UsageError(f"config file {path} is not a Python file (*.py)")
    module = importlib.util.module_from_spec(found)
    try:
        found.loader.exec_module(module)
        takes_argument = bool(inspect.signature(module.get_config).parameters)
        if argument and not takes_argument:
            raise UsageError(f"{path} takes no argument, but was given {argument!r}")
        return module.get_config(*[argument] if argument else [])
    except UsageError:
        raise
    except Exception as error:  # whatever a person's file may raise
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
    """Dotted keys to values, in order."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict | FrozenConfigDict | dict):
            flat |= {f"{key}.{name}": leaf for name, leaf in flatten(value).items()}
        else:
            flat[key] = value
    return flat


def check(config: ConfigDict | FrozenConfigDict) -> None:
    """Raise UsageError naming every mistake of the config, one a line."""
    known = flatten(base.get_config())
    flat = flatten(config)
    problems = [_unknown(key, known) for key in flat if key not in known]
    problems += rules.of_schema(flat, known)
    problems = problems or [*rules.of_values(flat), *consistency.of_config(config)]
    if problems:
        raise UsageError("\n".join(problems))


def canonical(config: ConfigDict | FrozenConfigDict) -> str:
    """Canonical JSON with its `check`: sorted keys, shortest round-trip floats, one
    trailing newline."""
    checked = files.checked(config.to_dict())
    return json.dumps(checked, sort_keys=True, indent=1) + "\n"


def fingerprint(config: ConfigDict | FrozenConfigDict, parent: str) -> str:
    """The run id: 12 hexadecimal digits of all that decides what the run computes.

    `parent` is the id of the run that `init_from` names (and its step), "" for none.
    """
    identity = without_execution(config) | {"init_from": parent}
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# What runs may differ in that are lanes of one step, with a value for each that says so.
LANES = {"seed": 0, "optim.learning_rate": 1.0}


def shape(config: FrozenConfigDict) -> dict:
    """What runs must have in common to be lanes of one compiled step."""
    same = ConfigDict(config.to_dict())
    same.update_from_flattened_dict(LANES)
    return without_execution(same.to_dict())


def without_execution(nested: ConfigDict | Mapping) -> dict[str, object]:
    """The flat config without the keys that only say how a run is executed, and
    without those of `LATER` that do what was done before them."""
    return {
        key: value
        for key, value in flatten(nested).items()
        if key not in EXECUTION and not (key in LATER and value == LATER[key])
    }


def scheduled(config: FrozenConfigDict, num_examples: int) -> FrozenConfigDict:
    """The config with every count of steps as a number of steps.

    The last step of k epochs is the first that has seen each example k times.
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
    """Refuse a config of known steps that end before its warm-up does, as a share of
    them cannot."""
    warmup, steps = config.optim.warmup_steps, config.train.steps
    if warmup > steps and not config.optim.warmup_share:
        raise UsageError(
            f"optim.warmup_steps {warmup} is above the {steps} steps that "
            f"train.epochs={config.train.epochs:g} makes of these data: set "
            "optim.warmup_steps=0 with optim.warmup_share=0.1, or train longer"
        )


def stream(seed: int, *names: str) -> int:
    """A 64-bit seed for the random stream of that name: a hash, never `seed + 1`."""
    text = "/".join([str(seed), *names])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def smoke(config: ConfigDict | FrozenConfigDict) -> FrozenConfigDict:
    """The same config shrunk until a test can run all of it in seconds.

    What kind of thing is done stays; sizes and step counts become tiny.
    """
    small = ConfigDict(config.to_dict())
    small.tokenizer.vocab_size = 256
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
