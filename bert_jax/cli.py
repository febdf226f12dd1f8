"""The command line: a function a verb, its options above it, its help its docstring.

The module of a verb is imported when the verb runs: --help, sweep and report load no JAX.
"""

import importlib
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bert_jax.inspect import options as inspecting
from bert_jax.run import exits, files, hugepages, options, streams
from bert_jax.run.config import UsageError
from bert_jax.run.options import (
    EXAMPLE,
    Action,
    Option,
    Overrides,
    Verb,
    count,
    flag,
    folder,
    number,
    one_of,
    option,
    path,
)

VERBS: dict[str, Verb] = {}
READING = ("evaluate", "predict", "inspect", "generate")  # verbs that change no run
COMPUTING = ("train", *READING)
ANY_KEY, NO_KEY = ("",), ()


def use_large_pages(arguments: list[str]) -> None:
    """Begin this process again where a verb that computes gains by it (`hugepages`)."""
    if arguments and arguments[0] in COMPUTING:
        hugepages.restart_process()


def main(arguments: list[str]) -> int:
    """Run a verb; its exit code. A mistake of a person or a disk is one line, code 2."""
    name = " ".join(["launch.py", *(verb for verb in arguments[:1] if verb in VERBS)])
    only_prints = bool(
        {*READING, "plan"} & set(arguments[:1])
        or {"--status", "--dry-run", "--help", "-h"} & set(arguments)
    )
    return streams.run_tolerantly(name, only_prints, partial(_main, name, arguments))


def _main(name: str, arguments: list[str]) -> int:
    try:
        args, overrides = parse(arguments)
        return VERBS[args.verb].action(args, overrides)
    except KeyboardInterrupt:
        more = "nothing was left half-made, the same command starts again"
        print(f"{name}: interrupted; {more}", file=sys.stderr)
        return exits.PREEMPTED
    except Exception as error:
        fault = error if isinstance(error, UsageError) else files.fault(error)
        if not fault:
            raise
        print(f"{name}: {fault}", file=sys.stderr)
        return exits.USAGE


def parse(arguments: list[str]) -> tuple[Namespace, dict[str, str]]:
    """The arguments, and the `--config.key=value` overrides among them."""
    overrides, others = options.split_overrides(arguments)
    command = parser()
    args, more = command.parse_known_args(others)
    verb = VERBS[args.verb]
    if problem := options.unknown(more, args) or verb.refuses(overrides):
        args.fail(problem)
    return args, dict(override.split("=", 1) for override in overrides)


def parser() -> ArgumentParser:
    command = ArgumentParser(
        prog="launch.py",
        allow_abbrev=False,
        description="Pretrain, evaluate and use BERT in JAX.",
        epilog=EXAMPLE + "train --config=configs/demo.py --workdir=runs/demo",
    )
    subparsers = command.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in VERBS.values():
        verb.add_to(subparsers)
    return command


def verb(
    name: str, takes_overrides: tuple[str, ...], example: str, *options: Option
) -> Callable[[Action], Action]:
    """Make a verb of the function below, its docstring the help."""

    def register(action: Action) -> Action:
        VERBS[name] = Verb(name, action, example, takes_overrides, options)
        return action

    return register


def config(**settings: Any) -> Option:
    text = (
        "a config file, or a run's config.json; --config.KEY=VALUE changes a key of "
        "configs/base.py"
    )
    return option("--config", metavar="FILE[:ARG]", help=text, **settings)


WORKDIR = option("--workdir", required=True, type=path, help="the run")
STEP = option("--step", type=int, help="a checkpoint of the run (default: the newest)")
EXPERIMENT = (
    option("experiment", type=path, help="experiments/X.py"),
    option(
        "--root", type=path, default="runs", help="its runs: ROOT/X (default: runs/X)"
    ),
)
PLACE = (
    option(
        "--on",
        choices=("local", "slurm", "kubernetes"),
        default="local",
        help="this machine, a SLURM cluster, or a manifest for kubectl",
    ),
    option(
        "--cluster", type=path, metavar="FILE", help="see configs/cluster/example.toml"
    ),
)


def _load(module: str) -> Any:
    return importlib.import_module(f"bert_jax.{module}")


@verb("prepare", ANY_KEY, "--config=configs/demo.py", config(required=True))
def prepare(args: Namespace, overrides: Overrides) -> int:
    """Turn documents into tokens on disk, once."""
    lineage = _load("run.lineage")
    config = lineage.with_vocabulary(lineage.load(args.config, overrides), None)
    _load("prepare").main(config)
    return exits.DONE


@verb(
    "train",
    ANY_KEY,
    "--config=configs/demo.py --workdir=runs/demo --config.seed=1",
    config(action="append", default=[]),
    option(
        "--workdir",
        required=True,
        action="append",
        type=path,
        help="the run; several, each with its --config, that differ in seed and "
        "optim.learning_rate alone are lanes of one step",
    ),
    count(
        "--seeds",
        0,
        "of a task: K runs, from config.seed on, in folders of --workdir, and their "
        "mean and spread",
    ),
    folder(
        "--against",
        "with --seeds: such a folder, to tell the gain over it by pairs of seeds",
        required=False,
    ),
    *PLACE,
)
def train(args: Namespace, overrides: Overrides) -> int:
    """Pretrain or fine-tune, or continue the run of a directory."""
    if args.against and not args.seeds:
        raise UsageError("--against tells a gain of --seeds=K: give that too")
    if args.config and len(args.config) != len(args.workdir):
        raise UsageError(
            f"{len(args.config)} --config for {len(args.workdir)} --workdir: each lane "
            "has its own of both"
        )
    specs = args.config or [""] * len(args.workdir)
    runs = [
        (_train_config(spec, workdir, overrides), workdir)
        for spec, workdir in zip(specs, args.workdir)
    ]
    if len(runs) > 1:
        if args.seeds or args.on != "local":
            raise UsageError("several --workdir are lanes here: no --seeds, no --on")
        return _load("train.lanes").run(runs)
    config, workdir = runs[0]
    if args.on != "local":
        if args.seeds:
            raise UsageError("--seeds trains here: on a cluster they are a sweep's")
        return _load("sweep.remote").train(config, workdir, args.on, args.cluster)
    if args.seeds:
        return _load("train.seeds").run(config, workdir, args.seeds, args.against)
    return _load("train.loop").run(config, workdir)


def _train_config(spec: str, workdir: Path, overrides: Overrides) -> Any:
    """The config that a spec names; without one, that with which the run began."""
    if spec:
        return _load("run.lineage").load(spec, overrides)
    began = workdir / "config.json"
    if not began.is_file():
        raise UsageError(f"{workdir} is no run to continue: give --config=FILE")
    return _load("run.config").load(str(began), overrides)


@verb("evaluate", ("eval.length", "eval.rows"), "--workdir=runs/demo", WORKDIR, STEP)
def evaluate(args: Namespace, overrides: Overrides) -> int:
    """Evaluate a run on its held-out documents, and on shared rows (eval.rows)."""
    return _load("train.scores").main(args.workdir, args.step, overrides)


@verb(
    "predict",
    NO_KEY,
    '--workdir=runs/sst2 "A moving film."',
    WORKDIR,
    STEP,
    flag("--json", "one JSON object a line"),
    flag("--explain", "of one text, every step to the result"),
    flag("--vectors", "the mean vector of each text instead"),
    option(
        "--file",
        default="",
        help="texts: a .txt of one a line, or a file in the format of the run's task",
    ),
    option(
        "texts",
        nargs="*",
        metavar="TEXT",
        help="without any, and without --file, the lines of standard input; a tab "
        "parts two texts, a question and its context, a text and its choices",
    ),
)
def predict(args: Namespace, overrides: Overrides) -> int:
    """Label texts, find names or answers, or fill each [MASK]: as the run was
    trained."""
    predict = _load("predict.main")
    source = predict.Source(args.texts, args.file)
    style = predict.Style(args.json, args.explain, args.vectors)
    return predict.main(args.workdir, args.step, source, style)


@verb(
    "import",
    ANY_KEY,
    "--from=DIR --workdir=runs/imported",
    WORKDIR,
    folder("--from", "a directory of theirs, or a release of Google's", required=True),
)
def import_model(args: Namespace, overrides: Overrides) -> int:
    """Make a run of a Hugging Face directory."""
    exchange = _load("huggingface.exchange")
    return exchange.import_model(vars(args)["from"], args.workdir, overrides)


@verb(
    "export",
    NO_KEY,
    "--workdir=runs/demo --to=DIR",
    WORKDIR,
    STEP,
    folder("--to", "a new directory", required=True),
    option("--as", default="", metavar="FAMILY", help="bert, roberta, ... if more fit"),
)
def export(args: Namespace, overrides: Overrides) -> int:
    """Write a run as a Hugging Face directory."""
    export_run, family = _load("huggingface.exchange").export_run, vars(args)["as"]
    return export_run(args.workdir, args.step, args.to, family)


@verb(
    "sweep",
    NO_KEY,
    "experiments/sentence_pair.py --on=local --slots=2",
    *EXPERIMENT,
    *PLACE,
    count("--slots", 1, "runs at a time, with local"),
    count(
        "--lanes",
        1,
        "pretraining runs that one process trains by one step, where they differ in "
        "seed and optim.learning_rate alone",
    ),
    one_of(
        dry_run="print the runs and what they cost; change nothing",
        status="print the state of every run",
        cancel="take the sweep's jobs from SLURM",
    ),
)
def sweep(args: Namespace, overrides: Overrides) -> int:
    """Run what is missing of an experiment: its arms under several seeds."""
    return _load("sweep.main").main(args)


@verb("report", NO_KEY, "experiments/sentence_pair.py", *EXPERIMENT)
def report(args: Namespace, overrides: Overrides) -> int:
    """Answer an experiment: a page, a text and a table beside its file."""
    return _load("sweep.report.main").main(args.experiment, args.root)


@verb("inspect", ANY_KEY, 'score --workdir=runs/demo "The cat sat."', inspecting.add)
def inspect(args: Namespace, overrides: Overrides) -> int:
    """Look inside a run: attention, vectors, bias, scores, probes."""
    return _load("inspect.main").main(args, overrides)


@verb(
    "generate",
    NO_KEY,
    '--workdir=runs/causal "Before my"',
    WORKDIR,
    STEP,
    option("text", metavar="TEXT", help="what is continued"),
    number("--max_tokens", int, 50, "tokens that are added at most"),
    number("--temperature", float, 1.0, "divides the logits; 0 takes the likeliest"),
    number("--top_k", int, 0, "draw from the k likeliest tokens; 0: from all"),
    number("--top_p", float, 1.0, "draw from the likeliest of this share together"),
    number("--seed", int, 0, "of the draws"),
)
def generate(args: Namespace, overrides: Overrides) -> int:
    """Continue a text with a left-to-right run."""
    return _load("predict.generate").main(args)


@verb(
    "plan",
    ANY_KEY,
    "--config=configs/pretrain/bert_base.py --topology=v5e:4x4",
    config(required=True),
    option(
        "--topology",
        required=True,
        help="v5e:4x4, v6e:2x4, v5p:2x2x2 and the like; h100:8; cpu:8 simulates devices",
    ),
)
def plan(args: Namespace, overrides: Overrides) -> int:
    """Tell what a run needs of machines that are not here: memory, traffic, time."""
    config = _load("run.lineage").load(args.config, overrides)
    environment = _load("run.hardware").environment(args.topology)
    os.environ.update(environment)  # JAX reads it once
    return _load("train.plan.main").main(config, args.topology)
