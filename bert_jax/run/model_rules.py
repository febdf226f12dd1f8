"""Consistency rules between the keys that shape a model."""

from collections.abc import Iterator

from ml_collections import ConfigDict

Rules = Iterator[tuple[bool, str]]  # whether a rule holds, and the message if not


def model_rules(config: ConfigDict) -> Rules:
    """The rules of config.model, and of what reads or trains it."""
    model, length = config.model, config.data.length
    yield (
        model.model_dim % model.num_heads == 0,
        (
            f"model.model_dim {model.model_dim} is not divisible by model.num_heads "
            f"{model.num_heads}"
        ),
    )
    embed_dim = model.embed_dim or model.model_dim
    yield (
        model.positions != "sinusoidal" or embed_dim % 2 == 0,
        f"sinusoidal positions need an even width of the tables, not {embed_dim}",
    )
    yield (
        model.positions != "rotary" or model.model_dim // model.num_heads % 2 == 0,
        (
            "model.positions=rotary turns pairs: model.model_dim / model.num_heads must "
            f"be even, not {model.model_dim // model.num_heads}"
        ),
    )
    yield (
        model.share != "all" or model.norm != "pre_embed",
        (
            "model.share=all has one block, and the first of model.norm=pre_embed is "
            "unlike the others: set another of the two"
        ),
    )
    yield (
        model.share == "none" or config.optim.layer_decay == 1,
        (
            f"optim.layer_decay={config.optim.layer_decay} gives each layer a rate of "
            f"its own, and model.share={model.share} one to several: set it to 1"
        ),
    )
    yield (
        config.objective.head != "plain" or embed_dim == model.model_dim,
        (
            "objective.head=plain multiplies by the token table: it needs "
            f"model.embed_dim=0, not {model.embed_dim}"
        ),
    )
    yield (
        length <= model.max_length,
        f"data.length {length} is above model.max_length {model.max_length}",
    )
