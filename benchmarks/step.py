"""Time of one training step beside that of Hugging Face PyTorch, on this CPU.

BERT-small (4 layers, width 512), batch 16 x 128, vocabulary 30,522, masked LM and next
sentence, float32, no dropout in either. Both read the same masked batch, clip the
gradient and take a step of AdamW; ours also draws the masks, inside its step. Steps of
the two alternate, so that whatever else the machine does hits both.

torch and transformers are no dependencies of the project. In an environment of your
own that has it:

  pip install -e . torch==2.13.0 transformers
  python -m benchmarks.step [--rounds=9] [--json=FILE]
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from bert_jax import flops, optim, state
from bert_jax.objectives import pretrain
from bert_jax.objectives.base import Batch
from bert_jax.objectives.masking import Vocabulary
from bert_jax.step import make_step
from configs.pretrain import bert_small

BATCH, LENGTH, VOCAB, SPECIALS, MASK_ID = 16, 128, 30_522, 1_000, 103
WARM_UP = 3  # steps of each that are not timed
TARGET = 0.70


def small_config():
    config = bert_small.get_config()
    config.model.vocab_size = VOCAB
    config.model.dropout = config.model.attention_dropout = 0.0
    config.data.length = LENGTH
    config.train.batch = BATCH
    config.optim.warmup_steps = 0  # a rate of zero would be a step of nothing
    config.optim.bias_correction = True  # as torch does
    return config


def host_batch() -> Batch:
    """Full rows of random tokens; their text does not change their cost."""
    random = np.random.default_rng(0)
    return {
        "ids": random.integers(SPECIALS, VOCAB, (BATCH, LENGTH), np.int32),
        "types": np.repeat(np.arange(LENGTH)[None] >= LENGTH // 2, BATCH, 0)
        * np.int32(1),
        "lengths": np.full(BATCH, LENGTH, np.int32),
        "pair_label": np.arange(BATCH, dtype=np.int32) % 2,
        "example_ids": np.arange(BATCH, dtype=np.int32),
        "epochs": np.zeros(BATCH, np.int32),
        "rows": np.arange(BATCH, dtype=np.int32),
        "weights": np.ones(BATCH, np.float32),
    }


def objective_of(config):
    special = np.arange(VOCAB) < SPECIALS
    vocabulary = Vocabulary(np.zeros(VOCAB, bool), special, MASK_ID)
    unigram = pretrain.unigram_log_probs(np.ones(VOCAB), special)
    return pretrain.build(config, vocabulary, unigram, evaluation=False)


def ours(config, batch: Batch) -> Callable[[], float]:
    """A function that takes one step of bert_jax and returns the loss."""
    objective = objective_of(config)
    optimiser = optim.make(config.optim, config.train.steps)
    schedule = optim.schedule(config.optim, config.train.steps)
    step = make_step(
        objective,
        optimiser,
        schedule,
        1,
        lambda tree: tree,
        optim.matches(""),
    )
    step, draws = jax.jit(step, donate_argnums=0), state.draws(config.seed)
    current = jax.jit(
        lambda key: state.TrainState(
            jax.numpy.zeros((), jax.numpy.int32),
            params := objective.init(key),
            optimiser.init(params),
        )
    )(state.named_key(config.seed, "init"))

    def run() -> float:
        nonlocal current
        current, metrics = step(current, batch, draws)
        return float(metrics["loss"])

    return run


def theirs(config, batch: Batch) -> Callable[[], float]:
    """The same with BertForPreTraining of transformers and AdamW of torch."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
        import transformers  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        sys.exit(
            f"{error}: in an environment of your own, pip install torch transformers"
        )
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    masked, _ = objective_of(config).prepare(
        batch, state.named_key(config.seed, "masking")
    )
    labels = np.full((BATCH, LENGTH), -100, np.int64)  # -100 is predicted by nobody
    row, slot = np.nonzero(masked["target_weights"])
    labels[row, masked["positions"][row, slot]] = masked["targets"][row, slot]
    inputs = {
        "input_ids": np.asarray(masked["ids"]),
        "token_type_ids": batch["types"],
        "attention_mask": np.ones((BATCH, LENGTH)),
        "labels": labels,
        "next_sentence_label": batch["pair_label"],
    }
    inputs = {name: torch.tensor(array).long() for name, array in inputs.items()}
    model = transformers.BertForPreTraining(
        transformers.BertConfig(
            vocab_size=VOCAB,
            hidden_size=config.model.model_dim,
            num_hidden_layers=config.model.num_layers,
            num_attention_heads=config.model.num_heads,
            intermediate_size=config.model.mlp_dim,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    ).train()
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=config.optim.learning_rate,
        eps=config.optim.epsilon,
        weight_decay=config.optim.weight_decay,
        fused=True,  # the fastest of torch's three
    )

    def run() -> float:
        optimiser.zero_grad()
        loss = model(**inputs).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.optim.clip_norm)
        optimiser.step()
        return loss.item()

    return run


def milliseconds(run: Callable[[], float]) -> float:
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="timed steps of each")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    arguments = parser.parse_args()

    config, batch = small_config(), host_batch()
    steps = {"bert_jax": ours(config, batch), "torch": theirs(config, batch)}
    for name, run in steps.items():
        losses = [run() for _ in range(WARM_UP)]
        print(f"{name}: loss {losses[0]:.4f}, then {losses[-1]:.4f}")
    times = {name: [] for name in steps}
    for _ in range(arguments.rounds):
        for name, run in steps.items():
            times[name].append(milliseconds(run))

    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = medians["bert_jax"] / medians["torch"]
    operations = flops.training_flops(config, 1, LENGTH)
    rate = operations / medians["bert_jax"] / 1e6
    print(f"jax {jax.__version__}, {os.cpu_count()} CPUs, {arguments.rounds} rounds")
    for name, values in times.items():
        spread = f"{min(values):.0f} to {max(values):.0f}"
        print(f"{name:>8}: median {medians[name]:.0f} ms ({spread})")
    print(f"ratio {ratio:.2f} (target {TARGET:.2f}); bert_jax at {rate:.0f} GFLOP/s")
    if arguments.json:
        result = {"milliseconds": times, "medians": medians, "ratio": ratio}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
