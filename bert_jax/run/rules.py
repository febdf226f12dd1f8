"""Rules for single keys of a config: type, range and choices.

Rules between keys are in `consistency`. Each function returns problems, a line each.
"""

import math
from collections.abc import Mapping

from ml_collections import ConfigDict, FrozenConfigDict

MOST = 2**31 - 1  # limit of integers, except these
LARGEST = {
    "seed": 2**63 - 1,
    "tokenizer.vocab_size": 10_000_000,
    "model.vocab_size": 10_000_000,
    "model.num_layers": 1000,
}
PRETRAINING = ("mlm", "clm")
# The kinds of task with their metrics; the first is the default main metric.
METRICS = {
    "classify": ("accuracy", "f1", "macro_f1", "matthews"),
    "multilabel": ("micro_f1", "macro_f1", "subset_accuracy"),
    "regress": ("pearson", "spearman"),
    "tag": ("f1", "accuracy"),
    "span": ("f1", "exact"),
    "choose": ("accuracy",),
}
FORMATS = {  # file formats of each kind
    "classify": ("tsv", "csv", "jsonl", "folders", "news", "tfds"),
    "multilabel": ("tsv", "csv", "jsonl"),
    "regress": ("tsv", "csv", "jsonl", "tfds"),
    "tag": ("conll", "tfds"),
    "span": ("squad", "tfds"),
    "choose": ("jsonl",),
}
# Kinds whose head reads one vector of a row.
POOLED = ("classify", "multilabel", "regress", "choose")

SHARED_ROWS = ("single", "pair", "nsp", "single_word")

# As models.layers has them, which needs JAX.
GATED = ("geglu", "geglu_tanh", "swiglu")
GLOBAL_EVERY = 3

CHOICES = {
    "data.corpus": ("news", "files", "tfds"),
    "data.documents": ("file", "blank_line", "auto"),
    "data.pairs": ("nsp", "sop", "single", "full"),
    "model.norm": ("post", "pre", "pre_embed", "pre_rms"),
    "model.bias": ("all", "norms", "none"),
    "model.share": ("none", "all", "attention", "mlp"),
    "model.positions": ("learned", "sinusoidal", "rotary", "alibi", "none"),
    "model.attention": ("bidirectional", "causal"),
    "model.activation": ("gelu", "gelu_tanh", "relu", *GATED),
    "model.dtype": ("float32", "bfloat16"),
    "model.remat": ("none", "dots", "full"),
    "objective.kind": (*PRETRAINING, *METRICS),
    "objective.pair": ("nsp", "sop", "none"),
    "objective.mask_unit": ("token", "word"),
    "objective.head": ("transform", "plain"),
    "objective.pooler": ("tanh", "gelu", "relu", "head"),
    "objective.pool": ("pooler", "first", "last", "mean"),
    "optim.name": ("adamw", "lamb"),
    "optim.schedule": ("linear", "cosine", "constant"),
    "optim.decay_from": ("start", "warmup_end"),
    "parallel.placement": ("jit", "pmap"),
    "tokenizer.model": ("wordpiece", "byte_bpe"),
    "tokenizer.strip_accents": ("auto", "always", "never"),
    "train.on_nonfinite": ("stop", "skip"),
    "task.format": tuple(dict.fromkeys(name for f in FORMATS.values() for name in f)),
}

MAY_BE_ZERO = {
    "seed",
    "data.copies",
    "model.vocab_size",
    "model.embed_dim",
    "model.num_types",
    "model.window",
    "model.dropout",
    "model.attention_dropout",
    "objective.mask_token_share",
    "objective.mask_random_share",
    "objective.mask_copies",
    "optim.warmup_steps",
    "optim.warmup_share",
    "optim.end_share",
    "optim.beta1",
    "optim.beta2",
    "optim.weight_decay",
    "optim.clip_norm",
    "task.per_label",
    "task.stride",
    "train.epochs",
    "train.keep_every",
    "train.patience",
    "train.save_every",
    "train.watchdog",
    "eval.every",
    "eval.length",
    "eval.max_examples",
}
BELOW_ONE = {
    "data.valid_share",
    "model.dropout",
    "model.attention_dropout",
    "objective.mask_rate",
    "objective.eval_mask_rate",
    "optim.beta1",
    "optim.beta2",
    "optim.warmup_share",
}


def is_task(config: ConfigDict | FrozenConfigDict) -> bool:
    """Whether the config trains on labelled data."""
    return config.objective.kind in METRICS


def metric(config: ConfigDict | FrozenConfigDict) -> str:
    """The metric of a task that decides which of two steps or runs is better."""
    return config.task.metric or METRICS[config.objective.kind][0]


def shared_rows(config: ConfigDict | FrozenConfigDict) -> tuple[str, ...]:
    """The kinds of shared evaluation rows that the config asks for."""
    return tuple(
        kind.strip() for kind in config.eval.rows.split(",") if config.eval.rows
    )


def schema_problems(
    flat: Mapping[str, object], known: Mapping[str, object]
) -> list[str]:
    """Missing keys, and values of another type than in `configs/base.py`."""
    problems = [f"the config lacks {key}" for key in known if key not in flat]
    for key, value in flat.items():
        if key in known and type(value) is not type(known[key]):
            wanted = type(known[key]).__name__
            problems.append(f"{key} must be of type {wanted}, not {value!r}")
    return problems


def values_problems(flat: Mapping[str, object]) -> list[str]:
    """Values out of their range."""
    return [
        problem
        for key, value in flat.items()
        if (problem := _value_problem(key, value))
    ]


def _value_problem(key: str, value: object) -> str:
    if isinstance(value, str):
        allowed = CHOICES.get(key, (value,))
        wanted = " | ".join(allowed)
        return "" if value in allowed else f"{key} must be {wanted}, not {value!r}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if isinstance(value, int) and abs(value) > LARGEST.get(key, MOST):
        digits = len(str(abs(value)))
        return (
            f"{key} must be at most {LARGEST.get(key, MOST):,}, not of {digits} digits"
        )
    if not math.isfinite(value):
        return f"{key} must be a finite number, not {value}"
    if value < 0 or (value == 0 and key not in MAY_BE_ZERO):
        least = "at least 0" if key in MAY_BE_ZERO else "positive"
        return f"{key} must be {least}, not {value}"
    if key in BELOW_ONE and value >= 1:
        return f"{key} must be below 1, not {value}"
    return ""
