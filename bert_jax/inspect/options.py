"""Command-line options of `launch.py inspect KIND`. Never imports jax."""

import argparse
from collections.abc import Callable
from typing import Any

from bert_jax.run.config import UsageError
from bert_jax.run.options import path

EXAMPLE = "example: python launch.py inspect "
STATIC = (
    "static vectors: skipgram or cbow, which word2vec learns from the text at hand; "
    "fasttext, learned from it too, which composes vectors of other words from their "
    "characters; or a text file of GloVe or word2vec"
)
Add = Callable[[Any], None]


def add(verb: argparse.ArgumentParser) -> None:
    """Add a subcommand for each kind, with its options and the common ones."""
    kinds = verb.add_subparsers(dest="kind", required=True, metavar="KIND")
    for name, (text, example, options) in KINDS.items():
        kind = kinds.add_parser(
            name,
            allow_abbrev=False,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=EXAMPLE + example,
        )
        kind.add_argument("--workdir", type=path, help="the run")
        kind.add_argument(
            "--step",
            default="",
            metavar="N|all",
            help="a checkpoint of the run (default: the newest); all: each that is "
            "kept, and the curve over them",
        )
        kind.add_argument(
            "--to",
            type=path,
            metavar="DIR",
            help="where arrays, figures and page go (default: WORKDIR/inspect/KIND)",
        )
        options(kind)


def check(args: argparse.Namespace) -> None:
    """Raise UsageError for a missing or malformed --workdir, --to or --step.

    Only kinds that can inspect static vectors alone need no run.
    """
    static_only = args.kind in ("words", "bias") and args.static
    if not args.workdir and not static_only:
        more = ", or --static=..." if args.kind in ("words", "bias") else ""
        raise UsageError(f"{args.kind} needs --workdir=RUN{more}")
    if not args.workdir and not args.to:
        raise UsageError("without --workdir say --to=DIR, where the results go")
    if args.step and args.step != "all" and not args.step.isdigit():
        raise UsageError(f"--step={args.step} is neither a number nor all")


def _attention(kind: Any) -> None:
    kind.add_argument("text", metavar="TEXT", help="a sentence")
    kind.add_argument("--pair", default="", metavar="TEXT", help="a second one")
    kind.add_argument(
        "--layer", default="last", metavar="K", help="drawn large: 1 is the first block"
    )
    kind.add_argument(
        "--head",
        default="mean",
        metavar="N",
        help="drawn large: from 1; or the mean of the heads (default)",
    )
    kind.add_argument(
        "--token", default="", metavar="WORD", help="draw what this word attends to"
    )
    kind.add_argument(
        "--corpus",
        default="",
        metavar="FILE",
        help="a text a line: entropy, distance and shares of every head over them",
    )


def _vectors(kind: Any) -> None:
    kind.add_argument("--word", default="", help="a word of each text of --file")
    kind.add_argument("--file", default="", help="a text a line that has the word")
    kind.add_argument(
        "--senses",
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders WORD of CoarseWSD-20: texts with the senses of the word",
    )
    kind.add_argument(
        "--layer", default="last", metavar="K", help="drawn: 0 to L, last, last_4"
    )
    kind.add_argument(
        "--static",
        nargs="+",
        default=["skipgram", "cbow"],
        metavar="KIND",
        help=f"beside --senses, {STATIC} (default: skipgram cbow)",
    )
    kind.add_argument("--seed", type=int, default=0, help="of static vectors")


def _words(kind: Any) -> None:
    kind.add_argument("words", nargs="*", metavar="WORD", help="words to look at")
    kind.add_argument(
        "--analogy",
        nargs=3,
        action="append",
        default=[],
        metavar=("A", "B", "C"),
        help="A is to B as C to what?",
    )
    kind.add_argument(
        "--similarity",
        nargs="+",
        default=[],
        metavar="FILE",
        help="WORD WORD SCORE a line: Spearman's correlation with the cosines",
    )
    kind.add_argument("--top", type=int, default=10, help="nearest words shown")
    kind.add_argument(
        "--layer", default="last", metavar="K", help="0 to L, last, last_4"
    )
    kind.add_argument(
        "--candidates",
        default="",
        metavar="FILE",
        help="a word a line: nearest are looked for among these (default: the whole "
        "words of the vocabulary)",
    )
    kind.add_argument("--static", default="", metavar="KIND", help=STATIC)
    kind.add_argument(
        "--corpus", default="", metavar="FILE", help="a text a line, to learn from"
    )
    kind.add_argument("--seed", type=int, default=0, help="of static vectors")


def _sentences(kind: Any) -> None:
    kind.add_argument("texts", nargs="+", metavar="TEXT", help="texts to look for")
    kind.add_argument(
        "--file", required=True, help="a text a line, among which the nearest are"
    )
    kind.add_argument("--top", type=int, default=5, help="nearest texts shown")
    kind.add_argument(
        "--layer", default="last", metavar="K", help="0 to L, last, last_4"
    )
    _pool(kind)


def _pool(kind: Any) -> None:
    kind.add_argument(
        "--pool",
        choices=("mean", "pieces", "first"),
        default="mean",
        help="the vector of a text: the mean of its tokens, that without [CLS] and "
        "[SEP], or [CLS] (default: mean)",
    )


def _bias(kind: Any) -> None:
    kind.add_argument(
        "--tests",
        nargs="+",
        default=[],
        metavar="FILE",
        help="association tests as JSON (WEAT, SEAT: targ1 targ2 attr1 attr2)",
    )
    kind.add_argument(
        "--direction",
        default="",
        metavar="FILE",
        help="WORD WORD a line (she he): their common direction is measured by RIPA, "
        "then removed, and all is measured again",
    )
    kind.add_argument(
        "--words",
        nargs="+",
        default=[],
        metavar="WORD",
        help="with --direction: whose RIPA is told (default: those of the tests)",
    )
    kind.add_argument(
        "--similarity",
        nargs="+",
        default=[],
        metavar="FILE",
        help="WORD WORD SCORE a line: what the removal costs",
    )
    kind.add_argument(
        "--config",
        default="",
        metavar="FILE",
        help="a task, of which a probe tells what the removal costs",
    )
    kind.add_argument(
        "--layer", default="last", metavar="K", help="of the direction: 0 to L, last"
    )
    _pool(kind)
    kind.add_argument(
        "--samples",
        type=int,
        default=100_000,
        metavar="N",
        help="permutations drawn where there are too many to count",
    )
    kind.add_argument("--seed", type=int, default=0, help="of drawn permutations")
    kind.add_argument("--static", default="", metavar="KIND", help=STATIC)
    kind.add_argument(
        "--corpus", default="", metavar="FILE", help="a text a line, to learn from"
    )


def _score(kind: Any) -> None:
    kind.add_argument("texts", nargs="*", metavar="TEXT", help="texts to score")
    kind.add_argument("--file", default="", help="a text a line")
    kind.add_argument(
        "--pairs",
        nargs="+",
        default=[],
        metavar="FILE",
        help="JSON lines with sentence_good and sentence_bad",
    )
    kind.add_argument(
        "--by",
        default="",
        metavar="KEY",
        help="what names the phenomenon of a pair (default: the first of phenomenon, "
        "linguistics_term, UID that it has; else its file)",
    )
    kind.add_argument(
        "--within",
        choices=("piece", "word"),
        default="piece",
        help="masked with a token: nothing else, or the rest of its word too",
    )


def _probe(kind: Any) -> None:
    kind.add_argument(
        "--config",
        required=True,
        metavar="FILE[:ARG]",
        help="a task of texts or tags; --config.KEY=VALUE changes a key",
    )
    kind.add_argument(
        "--max_examples",
        type=int,
        default=20_000,
        metavar="N",
        help="texts, or words of a tag task, that a probe learns from at most",
    )


KINDS: dict[str, tuple[str, str, Add]] = {
    "attention": (
        "draw what every head of every layer attends to",
        'attention --workdir=runs/demo "The cat sat on the mat." --token=sat',
        _attention,
    ),
    "vectors": (
        "the vectors of a word in its sentences, and whether they tell its senses",
        "vectors --workdir=runs/bert --senses coarse_wsd/bank coarse_wsd/crane",
        _vectors,
    ),
    "words": (
        "nearest words, analogies, cosines, and agreement with human judgement",
        "words --workdir=runs/bert king queen --analogy man king woman",
        _words,
    ),
    "sentences": (
        "the nearest sentences of a file",
        'sentences --workdir=runs/bert --file=lines.txt "Shares fell."',
        _sentences,
    ),
    "bias": (
        "association tests (WEAT, SEAT, RIPA), and what removing a direction costs",
        "bias --workdir=runs/bert --tests weat1.jsonl --direction=gender.txt",
        _bias,
    ),
    "score": (
        "how likely sentences are, and which of two the model prefers",
        'score --workdir=runs/demo "The cat sat." --pairs blimp/*.jsonl',
        _score,
    ),
    "probe": (
        "what a linear classifier reads in each layer, for a task's data",
        "probe --workdir=runs/bert --config=configs/finetune/sst2.py",
        _probe,
    ),
}
