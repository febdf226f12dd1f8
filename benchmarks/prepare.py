"""Turning text into tokens: `launch.py prepare` beside the library it encodes with.

  python -m benchmarks.prepare --files='novels/*.txt' --json=prepare.json

In turns, on the same documents with the same vocabulary and all cores: prepare into an
empty cache (reading, cleaning, splitting, encoding, auditing, writing), and the Rust
`tokenizers` alone, which is given the documents in memory and encodes them by
encode_batch or encode_batch_fast (no offsets: what prepare uses). MB are of the
documents in UTF-8. First of all, once, prepare trains that vocabulary. Memory is that of
the largest process.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tokenizers
from ml_collections import FrozenConfigDict

from benchmarks import cases, tables, worker
from benchmarks.worker import ROOT, Stepper
from bert_jax.data import corpus, store
from bert_jax.run import config as configs
from bert_jax.run import rundir

CONFIG = "configs/pretrain/bert_base.py"
AT_ONCE = 8_000_000  # characters encoded by one call: it holds the offsets of all
PATIENCE = 3600.0  # seconds
ONCE = "prepare, vocabulary too"


def documents(config: FrozenConfigDict) -> list[str]:
    return [document.text for document in corpus.documents(config.data)]


def build(overrides: dict[str, str], method: str) -> Stepper:
    """The library alone, for a worker; a step is all documents once."""
    config = configs.load(CONFIG, overrides)
    library = tokenizers.Tokenizer.from_file(config.tokenizer.path)
    texts = documents(config)

    def run(steps: int) -> None:
        for _ in range(steps):
            for group in groups(texts):
                getattr(library, method)(group, add_special_tokens=False)

    def memory() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    return Stepper(run, memory, {})


def groups(texts: list[str]) -> Iterator[list[str]]:
    group: list[str] = []
    for text in texts:
        group.append(text)
        if sum(map(len, group)) >= AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def prepare(overrides: dict[str, str]) -> tuple[float, int]:
    """Seconds, and the bytes of the largest process, of the verb in an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        return timed({**overrides, "data.cache": folder})


def timed(overrides: dict[str, str]) -> tuple[float, int]:
    given = [f"--config.{key}={value}" for key, value in overrides.items()]
    command = [sys.executable, "launch.py", "prepare", f"--config={CONFIG}", *given]
    since = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"launch.py prepare ended with {process.returncode}")
    return time.perf_counter() - since, usage.ru_maxrss * 1024


def measure(overrides: dict[str, str], rounds: int) -> dict[str, dict[str, Any]]:
    """Seconds of each round and memory, by what was timed."""
    found: dict[str, dict[str, Any]] = {"prepare": {"seconds": []}}
    methods = ("encode_batch", "encode_batch_fast")
    with tempfile.TemporaryDirectory() as folder:
        cache = {**overrides, "data.cache": folder}
        seconds, memory = timed(cache)
        found[ONCE] = {"seconds": [seconds], "memory": memory}
        store_of = store.prepare(configs.load(CONFIG, cache), progress=lambda _: None)
        path = str(store_of.directory / rundir.TOKENIZER)
        known = {**overrides, "tokenizer.path": path}
        for number in range(rounds):
            seconds, memory = prepare(known)
            found["prepare"]["seconds"].append(seconds)
            found["prepare"]["memory"] = memory
            for method in methods:
                log = Path(folder) / method
                with worker.running(
                    sys.executable, "benchmarks.prepare", (known, method), log, {}
                ) as alone:
                    answer = worker.ask(alone, 1, PATIENCE)
                facts = found.setdefault(f"tokenizers.{method}", {"seconds": []})
                facts["seconds"].append(answer["seconds"])
                facts["memory"] = answer["memory"]
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return found


def table(found: dict[str, dict[str, Any]], megabytes: float) -> str:
    rows = []
    for name, facts in found.items():
        seconds = facts["seconds"]
        slower = tables.ratio(found["prepare"]["seconds"], seconds)
        rows.append(
            [
                name,
                tables.spread(seconds),
                tables.number(megabytes / statistics.median(seconds)),
                tables.number(facts["memory"] / 2**30),
                "" if name == ONCE else f"{slower:.2f}",
            ]
        )
    header = [
        "what",
        "seconds",
        "MB/s",
        "largest process GiB",
        "prepare's time over it",
    ]
    return tables.markdown(header, rows)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--files", default="", help="as data.files; else the news")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    overrides = {"data.corpus": "news"}
    if given.files:
        overrides = {"data.corpus": "files", "data.files": given.files}

    texts = documents(configs.load(CONFIG, overrides))
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    found = measure(overrides, given.rounds)
    print(f"{len(texts)} documents, {megabytes:.1f} MB, {given.rounds} rounds\n")
    print(table(found, megabytes))
    versions = [f"tokenizers {rundir.versions()['tokenizers']}"]
    print(f"\n{tables.conditions([cases.processor()], versions)}")
    tables.write(given.json, {"megabytes": megabytes, "found": found})


if __name__ == "__main__":
    main()
