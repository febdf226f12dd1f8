"""What the sides of benchmarks.step share: a model's sizes, and a batch of it.

Sizes are those of configs/pretrain. Tokens are random and every row is full: text does
not change what a step costs, and so all tokens are real ones.
"""

import os
import platform
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bert_jax.run import config as configs
from bert_jax.run import flops

VOCABULARY, SPECIALS, MASK_ID = 30_522, 1_000, 103
BATCHES = {  # by row; on a CPU the first two, on a GPU the others
    "mini-128": 16,
    "small-128": 16,
    "base-128": 512,
    "base-512": 128,
    "large-128": 256,
    "large-512": 64,
}
NOT_PREDICTED = -100  # what Hugging Face's losses leave out


class Side(NamedTuple):
    """Who takes the step, and in which arithmetic: "float32" or "bfloat16"."""

    name: str
    dtype: str

    def __str__(self) -> str:
        return ":".join(self)


class Case(NamedTuple):
    """One row of the table, in plain values: what a side builds its model from."""

    row: str
    dropout: float
    batch: int
    length: int
    predicted: int  # positions of each row that are predicted
    layers: int
    width: int
    heads: int
    mlp: int
    vocabulary: int
    norm_epsilon: float
    learning_rate: float
    epsilon: float  # of AdamW
    weight_decay: float
    clip_norm: float
    flops: float  # of one training step, by the formula of bert_jax.run.flops

    @property
    def name(self) -> str:
        return f"{self.row}, dropout {self.dropout:g}"

    @property
    def tokens(self) -> int:
        return self.batch * self.length


def config_of(row: str, batch: int, dropout: float, dtype: str) -> Any:
    """The config that bert_jax trains a row with."""
    size, length = row.split("-")
    config = configs.read(f"configs/pretrain/bert_{size}.py:{length}", {})
    config.model.vocab_size = VOCABULARY
    config.model.dropout = config.model.attention_dropout = dropout
    config.model.dtype = dtype
    config.train.batch = batch
    config.optim.warmup_steps = 0  # a rate of zero would be a step of nothing
    config.optim.bias_correction = True  # as the peers do
    return config


def case_of(row: str, batch: int, dropout: float) -> Case:
    config = config_of(row, batch, dropout, "float32")
    model, rates = config.model, config.optim
    return Case(
        row=row,
        dropout=dropout,
        batch=batch,
        length=config.data.length,
        predicted=flops.predicted(config),
        layers=model.num_layers,
        width=model.model_dim,
        heads=model.num_heads,
        mlp=model.mlp_dim,
        vocabulary=VOCABULARY,
        norm_epsilon=model.norm_epsilon,
        learning_rate=rates.learning_rate,
        epsilon=rates.epsilon,
        weight_decay=rates.weight_decay,
        clip_norm=rates.clip_norm,
        flops=flops.training_flops(config, 1, config.data.length),
    )


def hugging_face(case: Case) -> dict[str, Any]:
    """What a `BertConfig` of transformers calls the sizes, but for the vocabulary's."""
    return {
        "hidden_size": case.width,
        "num_hidden_layers": case.layers,
        "num_attention_heads": case.heads,
        "intermediate_size": case.mlp,
        "hidden_dropout_prob": case.dropout,
        "attention_probs_dropout_prob": case.dropout,
        "layer_norm_eps": case.norm_epsilon,
    }


def unmasked(case: Case) -> dict[str, np.ndarray]:
    """A batch as the pipeline makes them: bert_jax masks it inside its step."""
    shape, rows = (case.batch, case.length), np.arange(case.batch, dtype=np.int32)
    types = np.arange(case.length) >= case.length // 2
    random = np.random.default_rng(0)
    return {
        "ids": random.integers(SPECIALS, case.vocabulary, shape, np.int32),
        "types": np.broadcast_to(types, shape).astype(np.int32),
        "lengths": np.full(case.batch, case.length, np.int32),
        "pair_label": rows % 2,
        "example_ids": rows,
        "epochs": np.zeros_like(rows),
        "rows": rows,
        "weights": np.ones(case.batch, np.float32),
    }


def masked(case: Case) -> dict[str, np.ndarray]:
    """The same batch with masks drawn, for peers: adds positions, targets and labels.

    `labels` (B, T) are the targets in their places; positions and targets are (B, P).
    """
    batch, random = unmasked(case), np.random.default_rng(1)
    order = random.random(batch["ids"].shape).argsort(axis=1)
    positions = np.sort(order[:, : case.predicted], axis=1)
    targets = np.take_along_axis(batch["ids"], positions, axis=1)
    labels = np.full_like(batch["ids"], NOT_PREDICTED)
    np.put_along_axis(labels, positions, targets, axis=1)
    ids = batch["ids"].copy()
    np.put_along_axis(ids, positions, MASK_ID, axis=1)
    found = {"ids": ids, "positions": positions, "targets": targets, "labels": labels}
    return {**batch, **found}


def cores() -> int:
    """Those that this process may use: every side is given as many threads."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_gpu() -> bool:
    return shutil.which("nvidia-smi") is not None


def processor() -> str:
    """The CPU's name and the cores in use; "(AMX)" where it has that unit."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    facts = dict(line.split("\t: ", 1) for line in text.splitlines() if "\t: " in line)
    facts = {name.strip(): value for name, value in facts.items()}
    name = facts["model name"] if "model name" in facts else platform.machine()
    amx = " with AMX" if "amx_bf16" in text else ""
    return f"{name}{amx}, {cores()} cores"
