"""Options of the command line: overrides, those of sampling, and mistyped ones."""

import argparse
import difflib
import unicodedata
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from bert_jax.run.config import UsageError, flatten
from configs import base

OVERRIDE = "--config."
OVERRIDING = (
    "prepare",
    "train",
    "import",
    "inspect",
    "plan",
)  # verbs that take any key
ROWS = {"eval.rows", "eval.length"}  # what evaluate may be asked for, of any run
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


def parted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
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


def misplaced(verb: str, overrides: Mapping[str, str]) -> str:
    """What to say of overrides that a verb does not take, "" of others."""
    if not overrides or verb in OVERRIDING:
        return ""
    if verb == "evaluate":
        also = f"evaluate changes {' and '.join(sorted(ROWS))} alone"
        return also if overrides.keys() - ROWS else ""
    return (
        f"{verb} takes no overrides: its config is that of the run, or of the "
        "experiment file"
    )


def unknown(argument: str, args: argparse.Namespace) -> str:
    """What to say of an argument that the verb does not know, the others being `args`:
    what is meant may be a key of the config, or another option."""
    option, equals, value = argument.partition("=")
    if not option.startswith("--"):
        return f"{argument!r} is one too many: quote a text of several words"
    keys = list(flatten(base.get_config())) if "config" in args else []
    own = [k for k in keys if option[2:] in (k, k.rpartition(".")[2])]
    options = [f"--{name}" for name in vars(args) if name not in ("verb", "kind")]
    begun = [name for name in options if name.startswith(option)]
    near = difflib.get_close_matches(option, [*options, *(OVERRIDE + k for k in keys)])
    found = [*(OVERRIDE + key for key in own), *begun, *near]
    if not found:
        return f"there is no {argument}: launch.py {args.verb} --help lists all options"
    return f"there is no {argument}: did you mean {found[0]}{equals}{value}?"


def add_sampling(generate: argparse.ArgumentParser) -> None:
    """How the pieces of a text are drawn."""
    for option, kind, default, text in (
        ("max_tokens", int, 50, "pieces that are added at most"),
        ("temperature", float, 1.0, "logits are divided by it; 0 takes the likeliest"),
        ("top_k", int, 0, "draw from the k likeliest pieces; 0: from all"),
        ("top_p", float, 1.0, "draw from the likeliest that together have this share"),
        ("seed", int, 0, "of the draws"),
    ):
        generate.add_argument(
            f"--{option}", type=kind, default=default, help=f"{text} ({default})"
        )
