"""What a config must satisfy: types, ranges, choices, and what goes with what.

Each function returns the problems that it finds, a line each.
"""

import math
from collections.abc import Iterator, Mapping

from ml_collections import ConfigDict

CHOICES = {
    "data.corpus": ("news", "files", "tfds"),
    "data.documents": ("file", "blank_line", "auto"),
    "data.pairs": ("nsp", "sop", "single", "full"),
    "model.norm": ("post", "pre"),
    "model.positions": ("learned", "sinusoidal"),
    "model.attention": ("bidirectional", "causal"),
    "model.activation": ("gelu", "gelu_tanh"),
    "model.dtype": ("float32", "bfloat16"),
    "model.remat": ("none", "dots", "full"),
    "objective.kind": ("mlm", "clm"),
    "objective.pair": ("nsp", "sop", "none"),
    "objective.mask_unit": ("token", "word"),
    "optim.name": ("adamw", "lamb"),
    "optim.schedule": ("linear", "cosine", "constant"),
    "optim.decay_from": ("start", "warmup_end"),
    "parallel.placement": ("jit", "pmap"),
}

MAY_BE_ZERO = {
    "seed",
    "data.copies",
    "model.vocab_size",
    "model.dropout",
    "model.attention_dropout",
    "objective.mask_token_share",
    "objective.mask_random_share",
    "objective.mask_copies",
    "optim.warmup_steps",
    "optim.end_share",
    "optim.beta1",
    "optim.beta2",
    "optim.weight_decay",
    "optim.clip_norm",
    "train.keep_every",
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
}


def of_schema(flat: Mapping[str, object], known: Mapping[str, object]) -> list[str]:
    """Keys that lack, and values of another type than `configs/base.py` has."""
    problems = [f"the config lacks {key}" for key in known if key not in flat]
    for key, value in flat.items():
        if key in known and type(value) is not type(known[key]):
            wanted = type(known[key]).__name__
            problems.append(f"{key} must be of type {wanted}, not {value!r}")
    return problems


def of_values(flat: Mapping[str, object]) -> list[str]:
    """Values out of their range."""
    return [
        problem for key, value in flat.items() if (problem := _of_value(key, value))
    ]


def _of_value(key: str, value: object) -> str:
    if isinstance(value, str):
        allowed = CHOICES.get(key, (value,))
        wanted = " | ".join(allowed)
        return "" if value in allowed else f"{key} must be {wanted}, not {value!r}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if not math.isfinite(value):
        return f"{key} must be a finite number, not {value}"
    if value < 0 or (value == 0 and key not in MAY_BE_ZERO):
        least = "at least 0" if key in MAY_BE_ZERO else "positive"
        return f"{key} must be {least}, not {value}"
    if key in BELOW_ONE and value >= 1:
        return f"{key} must be below 1, not {value}"
    return ""


def of_consistency(config: ConfigDict) -> list[str]:
    """Keys that contradict each other."""
    groups = (_of_model, _of_training, _of_objective, _of_data)
    return [text for group in groups for holds, text in group(config) if not holds]


Rules = Iterator[tuple[bool, str]]  # whether it holds, and what to say if not


def _of_model(config: ConfigDict) -> Rules:
    model, length = config.model, config.data.length
    yield (
        model.model_dim % model.num_heads == 0,
        (
            f"model.model_dim {model.model_dim} is not divisible by model.num_heads "
            f"{model.num_heads}"
        ),
    )
    yield (
        model.positions != "sinusoidal" or model.model_dim % 2 == 0,
        f"sinusoidal positions need an even model.model_dim, not {model.model_dim}",
    )
    yield (
        length <= model.max_length,
        f"data.length {length} is above model.max_length {model.max_length}",
    )


def _of_training(config: ConfigDict) -> Rules:
    train, warmup = config.train, config.optim.warmup_steps
    yield (
        train.batch % train.accumulate == 0,
        (
            f"train.batch {train.batch} is not divisible by train.accumulate "
            f"{train.accumulate}"
        ),
    )
    yield (
        warmup <= train.steps,
        f"optim.warmup_steps {warmup} is above train.steps {train.steps}",
    )
    yield (
        config.optim.layer_decay <= 1,
        f"optim.layer_decay must be at most 1, not {config.optim.layer_decay}",
    )
    yield (
        _is_mesh(config.parallel.mesh),
        (
            "parallel.mesh must read DATAxFSDPxTENSOR, such as -1x1x1, not "
            f"{config.parallel.mesh!r}"
        ),
    )


def _is_mesh(text: str) -> bool:
    sizes = text.split("x")
    known = [size for size in sizes if size != "-1"]
    return (
        len(sizes) == 3
        and len(known) >= 2
        and all(size.isdecimal() and int(size) > 0 for size in known)
    )


def _of_objective(config: ConfigDict) -> Rules:
    data, objective = config.data, config.objective
    masked = objective.kind == "mlm"
    shares = objective.mask_token_share + objective.mask_random_share
    yield (
        shares <= 1 + 1e-9,
        f"objective.mask_token_share + mask_random_share is {shares}, above 1",
    )
    yield (
        not masked or objective.pair in ("none", data.pairs),
        (
            f"objective.pair={objective.pair} needs data.pairs={objective.pair}, not "
            f"{data.pairs}"
        ),
    )
    yield (
        masked == (config.model.attention == "bidirectional"),
        (
            "objective.kind=clm and model.attention=causal go together, not "
            f"{objective.kind} and {config.model.attention}"
        ),
    )
    yield (
        masked or data.pairs in ("single", "full"),
        f"objective.kind=clm needs data.pairs=single or full, not {data.pairs}",
    )


def _of_data(config: ConfigDict) -> Rules:
    data, masks = config.data, config.objective.mask_copies
    yield data.length >= 8, f"data.length must be at least 8, not {data.length}"
    # Masks that stay are of no use on pairs that change.
    fixed = data.copies and masks % data.copies == 0
    yield (
        not masks or data.pairs in ("single", "full") or fixed,
        (
            f"objective.mask_copies={masks} needs pairs that repeat as often: set "
            f"data.copies={masks}"
        ),
    )
    yield (
        data.corpus != "files" or data.files != "",
        "data.corpus=files needs data.files: paths, folders or globs",
    )
    yield (
        data.corpus != "tfds" or data.tfds_name != "",
        "data.corpus=tfds needs data.tfds_name, such as wikipedia/20230601.en",
    )
