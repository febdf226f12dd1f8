"""Assembles batches in one thread: batches/s, tokens/s and the share of real tokens.

  python benchmarks/pipeline.py --files='novels/*.txt' [--config.data.k=v ...]

Without --files the text is synthetic, of the size of the novels (92 documents, 16 M
tokens). Rates count all tokens of a batch, padding included, as the device sees them;
each is the median of the repeats. CPU rates leave out the time that other processes
held the core.
"""

import argparse
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from ml_collections import ConfigDict

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bert_jax import config as configs
from bert_jax.data import store
from bert_jax.data.pipeline import Pipeline
from bert_jax.tokenizer import Tokenizer

CONFIG = "configs/pretrain/bert_base.py"


class Vocabulary(NamedTuple):
    """What pairs need of a tokenizer."""

    continuation: np.ndarray
    pad_id: int = 0
    cls_id: int = 2
    sep_id: int = 3


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--files", default="", help="of the corpus, as data.files")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--batches", type=int, default=40, help="of one repeat")
    parser.add_argument("--repeats", type=int, default=5)
    arguments, rest = parser.parse_known_args()
    overrides = dict(part.removeprefix("--config.").split("=", 1) for part in rest)
    if arguments.files:
        overrides |= {"data.corpus": "files", "data.files": arguments.files}
    config = configs.load(arguments.config, overrides)
    split, tokenizer = prepared(config) if arguments.files else synthetic()
    print(f"{len(split.documents) - 1} documents, {len(split.tokens):,} tokens")
    print("pairs   length examples  build s  batches/s  M tokens/s (CPU)  real tokens")
    for pairs in ("nsp", "sop", "single", "full"):
        for length in (128, 512):
            measure(config, split, tokenizer, pairs, length, arguments)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"resident at most {resident:.0f} MiB, memory-mapped tokens included")


def prepared(config):
    found = store.prepare(config)
    return found.train, found.tokenizer


def synthetic():
    """Sentences of about 22 tokens, 0.1 of them pieces inside words."""
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


def measure(config, split, tokenizer, pairs, length, arguments):
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
    tokens = arguments.batch * length / 1e6
    wall, cpu = statistics.median(walls), statistics.median(cpus)
    print(
        f"{pairs:7} {length:6} {pipeline.num_examples:8} {build:8.2f} {1 / wall:10.0f}"
        f" {tokens / wall:10.1f} ({tokens / cpu:5.1f}) {np.mean(real):12.2%}"
    )


if __name__ == "__main__":
    main()
