"""Training FLOPs of a config, and the peak FLOP/s of devices.

A multiply-add is two operations and the backward pass costs twice the forward, so a
weight costs 6 FLOPs for each token that it is applied to (Kaplan et al. 2020, section
2.1). Look-ups, norms, softmaxes and rematerialisation do not count.
"""

import math

from bert_jax.run import rules
from bert_jax.run.config import Config

# Dense bfloat16 FLOP/s of the makers' datasheets. The longest name that is a prefix of
# a device kind applies.
PEAKS = {
    "NVIDIA A100": 312e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H200": 989e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
}


def peak(device_kind: str) -> float | None:
    """The peak FLOP/s for MFU; None if unknown."""
    names = [name for name in PEAKS if device_kind.startswith(name)]
    return PEAKS[max(names, key=len)] if names else None


def training_flops(config: Config, steps: int, length: float) -> float:
    """FLOPs of `steps` steps on rows of `length` tokens."""
    return steps * config.train.batch * length * flops_per_token(config, length)


def flops_per_token(config: Config, length: float) -> float:
    """Training FLOPs of one token of an example of `length` tokens."""
    model, width = config.model, config.model.model_dim
    embed_dim = model.embed_dim or width
    matrices = 3 if model.activation in rules.GATED else 2
    block = 4 * width**2 + matrices * width * model.mlp_dim
    project = width * embed_dim if embed_dim != width else 0
    transform = width * embed_dim if config.objective.head == "transform" else 0
    head = transform + model.vocab_size * embed_dim
    pooler = width**2 if has_pair(config) else 0
    return 6 * (
        model.num_layers * block
        + 2 * width * sum(_seen(model, length))
        + project
        + head * predicted(config) / length
        + pooler / length
    )


def _seen(model: Config, length: float) -> list[float]:
    """The keys of a query in each layer: for the query-key and the weight-value
    product, full squares but for windows."""
    window = min(model.window // 2 * 2 + 1, length)
    return [
        window if model.window and layer % rules.GLOBAL_EVERY else length
        for layer in range(model.num_layers)
    ]


def predicted(config: Config) -> int:
    """Positions of a sequence for which vocabulary logits are computed."""
    match config.objective.kind:
        case "clm":
            return config.data.length - 1
        case "mlm":
            share = config.objective.mask_rate * (config.data.length - 2)
            return max(1, math.ceil(share))
        case _:
            return 0


def has_pair(config: Config) -> bool:
    """Whether the objective has a sentence-pair loss."""
    return config.objective.kind == "mlm" and config.objective.pair != "none"
