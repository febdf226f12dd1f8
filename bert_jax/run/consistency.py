"""Consistency rules between keys of a config; each problem is a line."""

from ml_collections import ConfigDict, FrozenConfigDict

from bert_jax.run import rules
from bert_jax.run.model_rules import Rules, model_rules


def config_problems(config: ConfigDict | FrozenConfigDict) -> list[str]:
    """The problems of keys that contradict each other."""
    kind = (
        (_task_rules,) if rules.is_task(config) else (_pretraining_rules, _data_rules)
    )
    groups = (
        model_rules,
        _training_rules,
        _checkpoint_rules,
        *kind,
        _shared_row_rules,
    )
    return [text for group in groups for holds, text in group(config) if not holds]


def _training_rules(config: ConfigDict) -> Rules:
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
        not config.init_state or (config.init_from != "" and not config.init_leave),
        (
            "init_state=true goes on from all of the run that init_from names: set "
            "init_from, and leave out init_leave"
        ),
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


def _checkpoint_rules(config: ConfigDict) -> Rules:
    train = config.train
    yield (
        not train.keep_best or rules.is_task(config),
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


def _pretraining_rules(config: ConfigDict) -> Rules:
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


def _task_rules(config: ConfigDict) -> Rules:
    task, objective, kind = config.task, config.objective, config.objective.kind
    yield (
        task.format in rules.FORMATS[kind],
        (
            f"objective.kind={kind} reads task.format="
            f"{' | '.join(rules.FORMATS[kind])}, not {task.format!r}"
        ),
    )
    yield task.train != "", "task.train is empty: name the labelled data to train on"
    yield (
        task.format != "tfds" or task.tfds_name != "",
        "task.format=tfds needs task.tfds_name, such as glue/sst2",
    )
    yield (
        rules.metric(config) in rules.METRICS[kind],
        (
            f"task.metric of objective.kind={kind} is "
            f"{' | '.join(rules.METRICS[kind])}, not {task.metric!r}"
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
    yield from _feature_rules(objective, config.model)
    yield from _length_rules(config)


def _feature_rules(objective: ConfigDict, model: ConfigDict) -> Rules:
    layers, pooled = objective.layers, objective.kind in rules.POOLED
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
        not pooled or layers == "last" or objective.pool != "pooler",
        (
            f"the pooler reads the last layer: with objective.layers={layers} set "
            "objective.pool=first, last or mean"
        ),
    )
    yield (
        not pooled
        or model.attention == "bidirectional"
        or objective.pool in ("last", "mean"),
        (
            "the first token of a causal model sees only itself: set "
            "objective.pool=last or mean"
        ),
    )


def _data_rules(config: ConfigDict) -> Rules:
    data, masks = config.data, config.objective.mask_copies
    yield from _length_rules(config)
    # Fixed masks are useless on changing pairs.
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


def _shared_row_rules(config: ConfigDict) -> Rules:
    kinds, length = rules.shared_rows(config), config.eval.length
    if not kinds:
        return
    yield (
        config.objective.kind == "mlm",
        (
            f"eval.rows={config.eval.rows} are rows of a masked LM, which "
            f"objective.kind={config.objective.kind} is not: leave eval.rows empty"
        ),
    )
    yield (
        set(kinds) <= set(rules.SHARED_ROWS) and len(set(kinds)) == len(kinds),
        (
            f"eval.rows is some of {', '.join(rules.SHARED_ROWS)}, each at most once, comma-"
            f"separated, not {config.eval.rows!r}"
        ),
    )
    yield (
        length >= 8,
        (
            f"eval.rows={config.eval.rows} needs eval.length, the tokens of a row, of at "
            f"least 8, not {length}"
        ),
    )
    yield (
        length <= config.model.max_length,
        f"eval.length {length} is above model.max_length {config.model.max_length}",
    )


def _length_rules(config: ConfigDict) -> Rules:
    length = config.data.length
    yield length >= 8, f"data.length must be at least 8, not {length}"
