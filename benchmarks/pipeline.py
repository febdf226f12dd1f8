"""Assembles batches in one thread: batches/s, tokens/s and the share of real tokens.

  python -m benchmarks.pipeline --files='novels/*.txt' [--config.data.k=v ...]

Without --files the text is synthetic, of the size of the novels (92 documents, 16 M
tokens). Rates count all tokens of a batch, padding included, as the device sees them;
each is the median of the repeats. They are of one core: CPU rates leave out the time
that other processes held it. `build` is what the first batch takes.
"""

import argparse
import resource
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from ml_collections import ConfigDict

from benchmarks import cases, tables
from bert_jax.data import store
from bert_jax.data.pipeline import Pipeline
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.run import config as configs

CONFIG = "configs/pretrain/bert_base.py"
REACH, STRETCH = 10e6, 30e6  # tokens/s of one core


class Vocabulary(NamedTuple):
    """What pairs need of a tokenizer."""

    continuation: np.ndarray
    pad_id: int = 0
    cls_id: int = 2
    sep_id: int = 3
    separator: tuple[int, ...] = (3,)
    pair_type: int = 1

    def special_count(self, paired: bool) -> int:
        return 2 + paired * len(self.separator)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--files", default="", help="of the corpus, as data.files")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--batches", type=int, default=40, help="of one repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments, rest = parser.parse_known_args()
    overrides = dict(part.removeprefix("--config.").split("=", 1) for part in rest)
    if arguments.files:
        overrides |= {"data.corpus": "files", "data.files": arguments.files}
    config = configs.load(arguments.config, overrides)
    split, tokenizer = prepared(config) if arguments.files else synthetic()
    found = [
        measure(config, split, tokenizer, pairs, length, arguments)
        for pairs in ("nsp", "sop", "single", "full")
        for length in (128, 512)
    ]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"{len(split.documents) - 1} documents, {len(split.tokens):,} tokens, batches "
        f"of {arguments.batch}; at most {memory / 2**30:.2f} GiB held, memory-mapped "
        "tokens included\n"
    )
    print(table(found))
    print(f"\n{tables.conditions([cases.processor()], [f'numpy {np.__version__}'])}")
    tables.write(arguments.json, {"rows": found, "memory": memory})


def table(found: list[dict[str, Any]]) -> str:
    header = ["pairs, length", "examples", "build s", "batches/s", "M tokens/s (CPU)"]
    header += ["real tokens", "M tokens/s per core"]
    rows = [
        [
            f"{row['pairs']}, {row['length']}",
            f"{row['examples']:,}",
            f"{row['build']:.2f}",
            f"{row['batches_per_s']:.0f}",
            f"{row['tokens_per_s'] / 1e6:.1f} ({row['cpu_tokens_per_s'] / 1e6:.1f})",
            f"{100 * row['real']:.2f} %",
            tables.verdict(row["cpu_tokens_per_s"] / 1e6, REACH / 1e6, STRETCH / 1e6),
        ]
        for row in found
    ]
    return tables.markdown(header, rows)


def prepared(config):
    found = store.prepare(config)
    return found.train, found.tokenizer


def synthetic():
    """Sentences of about 22 tokens, 0.1 of them tokens inside words."""
    random = np.random.default_rng(0)
    lengths = 1 + random.geometric(1 / 21, 16_000_000 // 22)
    sentences = np.append(0, np.cumsum(lengths))
    inside = random.random(sentences[-1]) < 0.1
    inside[sentences[:-1]] = False
    words = random.integers(5, 27_000, sentences[-1])
    tokens = np.where(inside, 27_000 + words % 3000, words).astype(np.uint16)
    bounds = np.linspace(0, len(lengths), 93).astype(int)
    split = store.Split(tokens, sentences, sentences[bounds], np.zeros(0))
    return split, cast(Tokenizer, Vocabulary(np.arange(30_000) >= 27_000))


def measure(config, split, tokenizer, pairs, length, arguments) -> dict[str, Any]:
    data = ConfigDict(config.data.to_dict())
    data.update(pairs=pairs, length=length)
    start = time.perf_counter()
    pipeline = Pipeline(split, tokenizer, data, config.seed)
    pipeline.batch(0, arguments.batch, slice(None))  # and the order of the epoch
    build = time.perf_counter() - start
    walls, cpus, real = [], [], []
    for repeat in range(arguments.repeats):
        wall, cpu = time.perf_counter(), time.thread_time()
        for i in range(arguments.batches):
            step = repeat * arguments.batches + i
            batch = pipeline.batch(step, arguments.batch, slice(None))
            real.append(batch["lengths"].mean() / length)
        walls.append((time.perf_counter() - wall) / arguments.batches)
        cpus.append((time.thread_time() - cpu) / arguments.batches)
    tokens, wall = arguments.batch * length, statistics.median(walls)
    return {
        "pairs": pairs,
        "length": length,
        "examples": pipeline.num_examples,
        "build": build,
        "batches_per_s": 1 / wall,
        "tokens_per_s": tokens / wall,
        "cpu_tokens_per_s": tokens / statistics.median(cpus),
        "real": float(np.mean(real)),
    }


if __name__ == "__main__":
    main()
