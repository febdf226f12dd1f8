"""Command-line options: verbs, overrides, and messages for mistyped ones."""

import difflib
import unicodedata
from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bert_jax.run.config import UsageError, flatten
from configs import base

OVERRIDE = "--config."
EXAMPLE = "example: python launch.py "
Overrides = Mapping[str, str]
Action = Callable[[Namespace, Overrides], int]
Option = Callable[[Any], Any]  # adds an option to a parser or a group
# Unicode categories: controls, surrogates, line ends.
UNPRINTED = {"Cc", "Cs", "Zl", "Zp"}


def path(text: str) -> Path:
    """Parse the value of an option that names a file or folder.

    Raises UsageError for control characters, line ends and surrogates, which batch
    scripts, manifests and messages would misread.
    """
    full = str(Path(text).absolute())
    if bad := [c for c in full if unicodedata.category(c) in UNPRINTED]:
        raise UsageError(
            f"{full!r} holds {bad[0]!r}, which no path here may: choose another name"
        )
    return Path(text)


class Verb(NamedTuple):
    """A verb of the command line: a function whose docstring is the help.

    takes_overrides: prefixes of keys that --config.KEY=VALUE may change.
    """

    name: str
    action: Action
    example: str
    takes_overrides: tuple[str, ...]
    options: tuple[Option, ...]

    def add_to(self, subparsers: Any) -> None:
        text = " ".join(str(self.action.__doc__).split())
        parser = subparsers.add_parser(
            self.name,
            allow_abbrev=False,
            help=text[0].lower() + text[1:].removesuffix("."),
            description=text,
            epilog=f"{EXAMPLE}{self.name} {self.example}",
        )
        parser.set_defaults(fail=parser.error)
        for option in self.options:
            option(parser)

    def refuses(self, overrides: Sequence[str]) -> str:
        """The message for overrides without a value or of other keys, else ""."""
        for override in overrides:
            key, equals, _ = override.partition("=")
            if not equals:
                return f"--config.{key} needs a value: --config.{key}=VALUE"
            if not self.takes_overrides:
                more = "its config is that of the run, or of the experiment file"
                return f"{self.name} takes no overrides: {more}"
            if not key.startswith(self.takes_overrides):
                return f"{self.name} changes {' and '.join(self.takes_overrides)} alone"
        return ""


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split arguments into overrides, --config.KEY=VALUE or --config.KEY VALUE, and
    others."""
    overrides, others = [], []
    rest = deque(arguments)
    while rest:
        argument = rest.popleft()
        if not argument.startswith(OVERRIDE):
            others.append(argument)
        elif "=" in argument or not rest or rest[0].startswith("--"):
            overrides.append(argument.removeprefix(OVERRIDE))
        else:
            overrides.append(f"{argument.removeprefix(OVERRIDE)}={rest.popleft()}")
    return overrides, others


def unknown(arguments: Sequence[str], args: Namespace) -> str:
    """The message for the first unknown argument; `args` are the known ones.

    It suggests a similar option or key of the config.
    """
    if not arguments:
        return ""
    argument = arguments[0]
    option, equals, value = argument.partition("=")
    if not option.startswith("--"):
        return f"{argument!r} is one too many: quote a text of several words"
    name = option.removeprefix("--")
    keys = list(flatten(base.get_config()))
    exact = [key for key in keys if name in (key, key.rpartition(".")[2])]
    names = [name for name in vars(args) if name not in ("verb", "kind", "fail")]
    if "config" not in args and exact and not any(n.startswith(name) for n in names):
        more = f"{exact[0]} is a key of the config, which {args.verb} does not change"
        return f"there is no {argument}: {more}"
    others = [f"config.{key}" for key in keys] if "config" in args else []
    candidates = [f"config.{key}" for key in exact] if "config" in args else []
    candidates += [known for known in names if known.startswith(name)]
    candidates += difflib.get_close_matches(name, [*names, *others], cutoff=0.7)
    if not candidates:
        return f"there is no {argument}: launch.py {args.verb} --help lists all options"
    return f"there is no {argument}: did you mean --{candidates[0]}{equals}{value}?"


def option(*names: str, **settings: Any) -> Option:
    """An argument of a verb, with settings of argparse."""
    return lambda verb: verb.add_argument(*names, **settings)


def flag(name: str, text: str) -> Option:
    return option(name, action="store_true", help=text)


def number(name: str, kind: type, default: float, text: str) -> Option:
    return option(name, type=kind, default=default, help=f"{text} ({default})")


def count(name: str, default: int, text: str) -> Option:
    return option(name, type=int, default=default, metavar="K", help=text)


def folder(name: str, text: str, required: bool) -> Option:
    return option(name, type=path, metavar="DIR", required=required, help=text)


def one_of(**flags: str) -> Option:
    """Mutually exclusive flags, each with its help."""

    def add_to(verb: ArgumentParser) -> None:
        group = verb.add_mutually_exclusive_group()
        for name, text in flags.items():
            flag(f"--{name.replace('_', '-')}", text)(group)

    return add_to
