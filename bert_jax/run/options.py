"""Options of the command line: verbs, overrides, and mistyped ones."""

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
Option = Callable[[Any], Any]  # adds itself to a parser or a group of its options
UNPRINTED = {"Cc", "Cs", "Zl", "Zp"}  # of Unicode: controls, no text, ends of lines


def path(text: str) -> Path:
    """The value of an option that names a file or folder.

    Raises UsageError for one with a control character, a line's end or what is no text:
    batch scripts, manifests and messages, into which paths go, would read as others.
    """
    whole = str(Path(text).absolute())
    if bad := [c for c in whole if unicodedata.category(c) in UNPRINTED]:
        raise UsageError(
            f"{whole!r} holds {bad[0]!r}, which no path here may: choose another name"
        )
    return Path(text)


class Verb(NamedTuple):
    """A verb of the command line: a function whose docstring is the help.

    takes_overrides: what a KEY that --config.KEY=VALUE may change starts with.
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
        """What to say of overrides that lack a value or change other keys, else ""."""
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
    """The overrides, --config.KEY=VALUE or --config.KEY VALUE, and all else."""
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
    """What to say of the first of the arguments that the verb does not know, the others
    being `args`: what is meant may be a key of the config, or another option."""
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
    meant = [f"config.{key}" for key in exact] if "config" in args else []
    meant += [known for known in names if known.startswith(name)]
    meant += difflib.get_close_matches(name, [*names, *others], cutoff=0.7)
    if not meant:
        return f"there is no {argument}: launch.py {args.verb} --help lists all options"
    return f"there is no {argument}: did you mean --{meant[0]}{equals}{value}?"


def option(*names: str, **settings: Any) -> Option:
    """An argument of a verb, of the settings that argparse knows."""
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
    """Flags of which at most one may be given, each with its help."""

    def add_to(verb: ArgumentParser) -> None:
        group = verb.add_mutually_exclusive_group()
        for name, text in flags.items():
            flag(f"--{name.replace('_', '-')}", text)(group)

    return add_to
