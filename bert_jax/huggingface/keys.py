"""The keys of a JSON object of Hugging Face: each is used, refused by name, or told."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bert_jax.run.config import UsageError

Say = Callable[[str], None]
SHOWN = 60  # characters of a value that a message shows
ABSENT = (None, {}, [], "")  # values that say as much as no key


class Only(NamedTuple):
    """The values of a key that mean what is done here, and what else can be done."""

    values: tuple[Any, ...]
    mend: str = ""


class Keys(NamedTuple):
    """used: what a function reads. only: what must have one of these values. idle: what
    changes no output."""

    used: frozenset[str]
    only: Mapping[str, Only]
    idle: frozenset[str]


CODE = Only((), "it names code of its own, which is not run here")


def check(keys: Keys, given: Mapping[str, Any], name: str, say: Say) -> None:
    """Refuse a key with a value that is not known here, and tell of unknown keys."""
    for key, only in keys.only.items():
        value = given.get(key)
        if value not in ABSENT and not any(
            is_equal(value, allowed) for allowed in only.values
        ):
            refuse(name, key, value, only.values, only.mend)
    if unknown := sorted(given.keys() - keys.used - keys.only.keys() - keys.idle):
        named = ", ".join(map(repr, unknown))
        say(f"{name}: keys that are not known here are left out: {named}")


def refuse(
    name: str, key: str, value: Any, known: tuple[Any, ...], mend: str = ""
) -> None:
    """Raise the UsageError of a value that is not known here."""
    shown = repr(value)
    shown = shown if len(shown) <= SHOWN else shown[:SHOWN] + "..."
    wanted = f"only {' | '.join(map(repr, known))} is known here" if known else ""
    raise UsageError(
        f"{name}: {key} is {shown}; {': '.join(filter(None, (wanted, mend)))}"
    )


def is_equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: True is no 1, and "1" no 1."""
    return type(one) is type(other) and one == other


def kept(keys: Keys, given: Mapping[str, Any]) -> dict[str, Any]:
    """The known keys, as an export writes them back."""
    known = keys.used | keys.only.keys() | keys.idle
    return {key: value for key, value in given.items() if key in known}


def integer(
    name: str, given: Mapping[str, Any], key: str, silent: int | None, least: int = 1
) -> int:
    """The whole number of a key; `silent` where it is not given. Raises UsageError."""
    value = given.get(key, silent)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name}: {key} must be a number, not {value!r}")
    if value < least:
        raise UsageError(f"{name}: {key} must be at least {least}, not {value}")
    return value


def number(name: str, given: Mapping[str, Any], key: str, silent: float) -> float:
    """The number of a key, whole or not; `silent` where it is not given."""
    value = given.get(key, silent)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{name}: {key} must be a number, not {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise UsageError(f"{name}: {key} is a number that is too large") from None
