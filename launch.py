"""The one command. Each verb imports its module only when it runs.

python launch.py train --config=configs/demo.py --workdir=runs/demo
"""

import argparse
import importlib
import os
import sys
from functools import partial
from pathlib import Path

from bert_jax.inspect import options as inspecting
from bert_jax.run import exits, files, hugepages, options, streams
from bert_jax.run.config import UsageError
from bert_jax.sweep import options as sweeping

EXAMPLE = "example: python launch.py "
READING = ("evaluate", "predict", "inspect", "generate")  # verbs that change no run
COMPUTING = ("train", *READING)


def main(arguments: list[str]) -> int:
    """Run a verb; its exit code. What a person or a disk did wrong is one line, code 2."""
    name = " ".join(["launch.py", *(verb for verb in arguments[:1] if verb in VERBS)])
    only_prints = bool(
        {*READING, "plan"} & set(arguments[:1])
        or {"--status", "--dry-run", "--help", "-h"} & set(arguments)
    )
    return streams.lasting(name, only_prints, partial(_main, name, arguments))


def _main(name: str, arguments: list[str]) -> int:
    try:
        args, overrides = parse(arguments)
        return VERBS[args.verb](args, overrides)
    except UsageError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return exits.USAGE
    except KeyboardInterrupt:
        more = "nothing was left half-made, the same command starts again"
        print(f"{name}: interrupted; {more}", file=sys.stderr)
        return exits.PREEMPTED
    except Exception as error:
        if not (fault := files.fault(error)):
            raise
        print(f"{name}: {fault}", file=sys.stderr)
        return exits.USAGE


def parse(arguments: list[str]) -> tuple[argparse.Namespace, dict[str, str]]:
    """The arguments, and the `--config.key=value` overrides among them."""
    given, others = options.parted(arguments)
    whole = parser()
    args, unknown = whole.parse_known_args(others)
    if unknown:
        whole.error(options.unknown(unknown[0], args))
    overrides = {}
    for override in given:
        key, equals, value = override.partition("=")
        if not equals:
            whole.error(f"--config.{key} needs a value: --config.{key}=VALUE")
        overrides[key] = value
    if problem := options.misplaced(args.verb, overrides):
        whole.error(problem)
    return args, overrides


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="launch.py",
        allow_abbrev=False,
        description="Pretrain, evaluate and use BERT in JAX.",
        epilog=EXAMPLE + "train --config=configs/demo.py --workdir=runs/demo",
    )
    verbs = whole.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name, text, example):
        return verbs.add_parser(
            name,
            allow_abbrev=False,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=EXAMPLE + example,
        )

    prepare = verb(
        "prepare",
        "turn documents into tokens on disk, once",
        "prepare --config=configs/demo.py",
    )
    train = verb(
        "train",
        "pretrain or fine-tune, or continue the run of a directory",
        "train --config=configs/demo.py --workdir=runs/demo --config.seed=1",
    )
    evaluate = verb(
        "evaluate",
        "evaluate a run on its held-out documents, and on shared rows (eval.rows)",
        "evaluate --workdir=runs/demo",
    )
    predict = verb(
        "predict",
        "label texts, find names or answers, or fill each [MASK]: as the run was trained",
        'predict --workdir=runs/sst2 "A moving film."',
    )
    read = verb(
        "import",
        "make a run of a Hugging Face directory",
        "import --from=DIR --workdir=runs/imported",
    )
    write = verb(
        "export",
        "write a run as a Hugging Face directory",
        "export --workdir=runs/demo --to=DIR",
    )
    sweep = verb(
        "sweep",
        "run what is missing of an experiment: its arms under several seeds",
        "sweep experiments/sentence_pair.py --on=local --slots=2",
    )
    report = verb(
        "report",
        "answer an experiment: a page, a text and a table beside its file",
        "report experiments/sentence_pair.py",
    )
    inspecting.add(
        verb(
            "inspect",
            "look inside a run: attention, vectors, bias, scores, probes",
            'inspect attention --workdir=runs/demo "The cat sat." --token=sat',
        )
    )
    generate = verb(
        "generate",
        "continue a text with a left-to-right run",
        'generate --workdir=runs/causal "Before my"',
    )
    plan = verb(
        "plan",
        "tell what a run needs of machines that are not here: memory, traffic, time",
        "plan --config=configs/pretrain/bert_base.py --topology=v5e:4x4",
    )
    plan.add_argument(
        "--topology",
        required=True,
        help="v5e:4x4, v6e:2x4, v5p:2x2x2 and the like; h100:8; cpu:8 simulates devices",
    )
    sweeping.add(sweep, report)
    for each in (sweep, train):
        each.add_argument(
            "--on",
            choices=("local", "slurm", "kubernetes"),
            default="local",
            help="this machine, a SLURM cluster, or a manifest for kubectl",
        )
        each.add_argument(
            "--cluster",
            type=options.path,
            metavar="FILE",
            help="what the cluster needs to know: configs/cluster/example.toml",
        )
    spec, text = (
        "FILE[:ARG]",
        (
            "a config file, or a run's config.json; --config.KEY=VALUE changes a key of "
            "configs/base.py"
        ),
    )
    for each in (prepare, plan):
        each.add_argument("--config", required=True, metavar=spec, help=text)
    train.add_argument("--config", action="append", default=[], metavar=spec, help=text)
    train.add_argument(
        "--workdir",
        required=True,
        action="append",
        type=options.path,
        help="the run; several, each with its --config, that differ in seed and "
        "optim.learning_rate alone are lanes of one step",
    )
    for each in (evaluate, predict, read, write, generate):
        each.add_argument("--workdir", required=True, type=options.path, help="the run")
    for each in (evaluate, predict, write, generate):
        each.add_argument(
            "--step", type=int, help="a checkpoint of the run (default: the newest)"
        )
    train.add_argument(
        "--seeds",
        type=int,
        default=0,
        metavar="K",
        help="of a task: K runs, from config.seed on, in folders of --workdir, and "
        "their mean and spread",
    )
    train.add_argument(
        "--against",
        type=options.path,
        metavar="DIR",
        help="with --seeds: such a folder, to tell the gain over it by pairs of seeds",
    )
    read.add_argument(
        "--from",
        required=True,
        type=options.path,
        dest="source",
        metavar="DIR",
        help="config.json, model.safetensors, and vocab.txt or tokenizer.json",
    )
    write.add_argument(
        "--to", required=True, type=options.path, metavar="DIR", help="a new directory"
    )
    predict.add_argument("--json", action="store_true", help="one JSON object a line")
    predict.add_argument(
        "--explain", action="store_true", help="of one text, every step to the result"
    )
    predict.add_argument(
        "--vectors", action="store_true", help="the mean vector of each text instead"
    )
    predict.add_argument(
        "--file",
        default="",
        help="texts: a .txt of one a line, or a file in the format of the run's task",
    )
    predict.add_argument(
        "texts",
        nargs="*",
        metavar="TEXT",
        help="without any, and without --file, the lines of standard input; a tab "
        "parts two texts, a question and its context, a text and its choices",
    )
    generate.add_argument("text", metavar="TEXT", help="what is continued")
    options.add_sampling(generate)
    return whole


def _prepare(args, overrides) -> int:
    lineage = _load("bert_jax.run.lineage")
    config = lineage.with_vocabulary(lineage.load(args.config, overrides), None)
    _load("bert_jax.prepare").main(config)
    return exits.DONE


def _train(args, overrides) -> int:
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
        return _load("bert_jax.train.lanes").run(runs)
    config, workdir = runs[0]
    if args.on != "local":
        if args.seeds:
            raise UsageError("--seeds trains here: on a cluster they are a sweep's")
        remote = _load("bert_jax.sweep.remote")
        return remote.train(config, workdir, args.on, args.cluster)
    if args.seeds:
        return _load("bert_jax.train.seeds").run(
            config, workdir, args.seeds, args.against
        )
    return _load("bert_jax.train.loop").run(config, workdir)


def _train_config(spec: str, workdir: Path, overrides):
    """What is asked of a run; without a file, that with which it began."""
    if spec:
        return _load("bert_jax.run.lineage").load(spec, overrides)
    own = workdir / "config.json"
    if not own.is_file():
        raise UsageError(f"{workdir} is no run to continue: give --config=FILE")
    return _load("bert_jax.run.config").load(str(own), overrides)


def _evaluate(args, overrides) -> int:
    return _load("bert_jax.train.scores").main(args.workdir, args.step, overrides)


def _predict(args, overrides) -> int:
    predict = _load("bert_jax.predict.main")
    source = predict.Source(args.texts, args.file)
    style = predict.Style(args.json, args.explain, args.vectors)
    return predict.main(args.workdir, args.step, source, style)


def _import(args, overrides) -> int:
    return _load("bert_jax.huggingface.exchange").import_model(
        args.source, args.workdir, overrides
    )


def _export(args, overrides) -> int:
    return _load("bert_jax.huggingface.exchange").export_run(
        args.workdir, args.step, args.to
    )


def _sweep(args, overrides) -> int:
    return _load("bert_jax.sweep.main").main(args)


def _report(args, overrides) -> int:
    return _load("bert_jax.sweep.report.main").main(args.experiment, args.root)


def _inspect(args, overrides) -> int:
    return _load("bert_jax.inspect.main").main(args, overrides)


def _generate(args, overrides) -> int:
    return _load("bert_jax.predict.generate").main(args)


def _plan(args, overrides) -> int:
    hardware = _load("bert_jax.run.hardware")
    config = _load("bert_jax.run.lineage").load(args.config, overrides)
    os.environ.update(hardware.environment(args.topology))  # JAX reads it once
    return _load("bert_jax.train.plan.main").main(config, args.topology)


def _load(module: str):
    return importlib.import_module(module)


VERBS = {
    "prepare": _prepare,
    "train": _train,
    "evaluate": _evaluate,
    "predict": _predict,
    "import": _import,
    "export": _export,
    "sweep": _sweep,
    "report": _report,
    "inspect": _inspect,
    "generate": _generate,
    "plan": _plan,
}

if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in COMPUTING:
        hugepages.start_again()
    sys.exit(main(sys.argv[1:]))
