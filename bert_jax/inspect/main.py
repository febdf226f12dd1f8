"""The `inspect` verb: one kind of inspection, at one step or at all kept ones."""

import argparse
import importlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from bert_jax.inspect import options, steps
from bert_jax.inspect.draw import output
from bert_jax.inspect.draw.finding import Finding
from bert_jax.predict.model import Model
from bert_jax.render import terminal
from bert_jax.render.document import Grid
from bert_jax.run import exits, rundir
from bert_jax.run.config import UsageError


class Kind(Protocol):
    """The module of a kind of inspection, named like the kind.

    `request` reads the options and their files, before any model is loaded. `find`
    answers the request; `model` is None where only static vectors are inspected. Both
    raise UsageError.
    """

    def request(
        self, args: argparse.Namespace, overrides: Mapping[str, str]
    ) -> Any: ...
    def find(self, model: Model | None, request: Any) -> Finding: ...


def main(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Write the findings of a kind, and print them. UsageError for a wrong request."""
    options.check(args)
    if overrides and args.kind not in ("probe", "bias"):
        raise UsageError(f"{args.kind} takes no overrides: only a probe has a config")
    kind = _kind(args.kind)
    request = kind.request(args, overrides)
    findings: dict[int, Finding] = {}
    if args.workdir:
        since = time.perf_counter()
        for model in steps.models(args.workdir, args.step):
            findings[model.step] = kind.find(model, request)
            if args.step == steps.ALL:
                now = time.perf_counter()
                print(f"step {model.step}: {now - since:.1f} s", file=sys.stderr)
                since = now
    else:
        findings[0] = kind.find(None, request)
    last = max(findings)
    folder = args.to or args.workdir / "inspect" / args.kind
    facts = _facts(args.workdir, last)
    path = output.write(folder, args.kind, facts, findings)
    print(f"{findings[last].question}\n{findings[last].answer}")
    for part in findings[last].parts:
        for grid in (block for block in part.blocks if isinstance(block, Grid)):
            print(f"\n{part.title}\n{terminal.table(grid)}")
    print(f"page: {path}, with arrays (.npz) and figures (.svg, .png) beside it")
    return exits.DONE


def _kind(name: str) -> Kind:
    """Import the module of a kind by name, so that no kind loads what another needs."""
    return importlib.import_module(f"bert_jax.inspect.{name}")  # pyright: ignore[reportReturnType]


def _facts(workdir: Path | None, step: int) -> list[str]:
    """The run, its step and its commit, as a line of the page."""
    if workdir is None:
        return []
    run = rundir.began(workdir)
    commit = run["versions"]["commit"]
    trained = f", trained at commit `{commit}`" if commit else ""
    return [f"run `{workdir.name}` ({run['fingerprint']}) at step {step}{trained}"]
