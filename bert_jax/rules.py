"""What a config must satisfy: types, ranges, choices, and what goes with what.

Each function returns the problems that it finds, a line each.
"""

import math
from collections.abc import Iterator, Mapping

from ml_collections import ConfigDict, FrozenConfigDict

PRETRAINING = ("mlm", "clm")
# The kinds of task, each with its metrics: the first decides unless another is named.
METRICS = {
    "classify": ("accuracy", "f1", "macro_f1", "matthews"),
    "regress": ("pearson", "spearman"),
    "tag": ("f1", "accuracy"),
    "span": ("f1", "exact"),
    "choose": ("accuracy",),
}
FORMATS = {  # what each kind can be read from
    "classify": ("tsv", "csv", "jsonl", "folders", "news", "tfds"),
    "regress": ("tsv", "csv", "jsonl", "tfds"),
    "tag": ("conll", "tfds"),
    "span": ("squad", "tfds"),
    "choose": ("jsonl",),
}

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
    "objective.kind": (*PRETRAINING, *METRICS),
    "objective.pair": ("nsp", "sop", "none"),
    "objective.mask_unit": ("token", "word"),
    "objective.pool": ("pooler", "first", "last", "mean"),
    "optim.name": ("adamw", "lamb"),
    "optim.schedule": ("linear", "cosine", "constant"),
    "optim.decay_from": ("start", "warmup_end"),
    "parallel.placement": ("jit", "pmap"),
    "tokenizer.strip_accents": ("auto", "always", "never"),
    "train.on_nonfinite": ("stop", "skip"),
    "task.format": tuple(dict.fromkeys(name for f in FORMATS.values() for name in f)),
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
    kind = (_of_task,) if is_task(config) else (_of_pretraining, _of_data)
    groups = (_of_model, _of_training, _of_keeping, *kind)
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
        warmup <= train.steps or train.epochs > 0 or config.optim.warmup_share > 0,
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


def _of_keeping(config: ConfigDict) -> Rules:
    train = config.train
    yield (
        not train.keep_best or is_task(config),
        "train.keep_best goes by task.metric, which a pretraining objective has not",
    )
    yield (
        not train.patience or train.keep_best,
        "train.patience needs train.keep_best=true: it stops after the best step",
    )
    yield (
        not train.keep_best or train.save_every == config.eval.every,
        (
            "train.keep_best needs train.save_every equal to eval.every, not "
            f"{train.save_every} and {config.eval.every}"
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


def _of_pretraining(config: ConfigDict) -> Rules:
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


def _of_task(config: ConfigDict) -> Rules:
    task, objective, kind = config.task, config.objective, config.objective.kind
    yield (
        task.format in FORMATS[kind],
        (
            f"objective.kind={kind} reads task.format="
            f"{' | '.join(FORMATS[kind])}, not {task.format!r}"
        ),
    )
    yield task.train != "", "task.train is empty: name the labelled data to train on"
    yield (
        task.format != "tfds" or task.tfds_name != "",
        "task.format=tfds needs task.tfds_name, such as glue/sst2",
    )
    yield (
        metric(config) in METRICS[kind],
        (
            f"task.metric of objective.kind={kind} is "
            f"{' | '.join(METRICS[kind])}, not {task.metric!r}"
        ),
    )
    yield (
        kind != "choose" or task.choices != "",
        "objective.kind=choose needs task.choices: the keys of the answers",
    )
    yield (
        kind == "classify" or not (task.class_weights or task.per_label),
        f"task.class_weights and per_label need objective.kind=classify, not {kind}",
    )
    yield from _of_features(objective, config.model)
    yield from _of_length(config)


def _of_features(objective: ConfigDict, model: ConfigDict) -> Rules:
    layers, whole = (
        objective.layers,
        objective.kind in ("classify", "regress", "choose"),
    )
    yield (
        layers in ("last", "last_4")
        or (layers.isdecimal() and int(layers) <= model.num_layers),
        (
            f"objective.layers is last, last_4, or 0 to {model.num_layers}, not "
            f"{layers!r}"
        ),
    )
    yield (
        layers != "last_4" or model.num_layers >= 4,
        f"objective.layers=last_4 of {model.num_layers} layers: name one of them",
    )
    yield (
        not whole or layers == "last" or objective.pool != "pooler",
        (
            f"the pooler reads the last layer: with objective.layers={layers} set "
            "objective.pool=first, last or mean"
        ),
    )
    yield (
        not whole
        or model.attention == "bidirectional"
        or objective.pool in ("last", "mean"),
        (
            "the first token of a causal model sees only itself: set "
            "objective.pool=last or mean"
        ),
    )


def _of_data(config: ConfigDict) -> Rules:
    data, masks = config.data, config.objective.mask_copies
    yield from _of_length(config)
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


def _of_length(config: ConfigDict) -> Rules:
    length = config.data.length
    yield length >= 8, f"data.length must be at least 8, not {length}"
