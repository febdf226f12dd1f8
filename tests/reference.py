"""What Hugging Face's PyTorch BERT computes, as arrays. Needs torch and transformers.

`python -m tests.reference` writes tests/golden/*.npz, which the suite compares with.
"""

import json
from pathlib import Path

import numpy as np
import torch
import transformers

COMMAND = "python -m tests.reference"
GOLDEN = Path(__file__).parent / "golden"
LEARNING_RATE, DECAY, EPSILON, UPDATES = 1e-4, 0.01, 1e-6, 10

# Shapes by name: config of theirs, sequences, tokens. The golden ones are small.
SHAPES: dict[str, tuple[dict, int, int]] = {
    "golden_two_layers": (
        {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3}
        | {"intermediate_size": 40, "vocab_size": 61, "max_position_embeddings": 20},
        *(4, 20),
    ),
    "golden_three_types": (
        {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 1}
        | {"intermediate_size": 64, "vocab_size": 47, "max_position_embeddings": 30}
        | {"type_vocab_size": 3, "hidden_act": "gelu_new"},
        *(3, 17),
    ),
    "one_layer": (
        {"hidden_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2}
        | {"intermediate_size": 512, "vocab_size": 1000},
        *(2, 512),
    ),
    "mini": (
        {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4}
        | {"intermediate_size": 1024, "vocab_size": 30522},
        *(8, 64),
    ),
    "base": (
        {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
        | {"intermediate_size": 3072, "vocab_size": 2000},
        *(2, 128),
    ),
}


def config_of(shape: dict) -> transformers.BertConfig:
    """Without dropout, as it cannot be the same."""
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return transformers.BertConfig(**shape, **none, attn_implementation="eager")


def model_of(shape: dict) -> transformers.BertForPreTraining:
    """Random weights; those that begin at 0 or 1 are moved, or they would hide errors."""
    torch.manual_seed(0)
    model = transformers.BertForPreTraining(config_of(shape))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "LayerNorm" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def batch_of(shape: dict, rows: int, width: int, seed: int) -> dict[str, np.ndarray]:
    """A batch with padding, its masked positions and pair labels, in our names."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(width // 2, width + 1, rows)
    lengths[0] = width
    predicted = width // 4
    positions = np.stack(
        [draw.permutation(width // 2)[:predicted] for _ in range(rows)]
    )
    # Their table has no gradient at the padding's row, even where text has that id.
    ids = draw.integers(1, shape["vocab_size"], (rows, width))
    ids[np.arange(width)[None] >= lengths[:, None]] = 0
    weights = draw.random((rows, predicted)) < 0.8
    batch = {
        "ids": ids,
        "types": draw.integers(0, shape.get("type_vocab_size", 2), (rows, width)),
        "lengths": lengths,
        "positions": positions,
        "targets": draw.integers(0, shape["vocab_size"], (rows, predicted)),
        "pair_label": draw.integers(0, 2, rows),
    }
    batch = {name: array.astype(np.int32) for name, array in batch.items()}
    return batch | {"target_weights": weights.astype(np.float32)}


def call(model, batch: dict[str, np.ndarray]):
    """Their model on our batch: labels of -100 where nothing is predicted."""
    arrays = {name: torch.tensor(array).long() for name, array in batch.items()}
    rows, width = arrays["ids"].shape
    labels = torch.full((rows, width), -100)
    chosen = torch.where(
        torch.tensor(batch["target_weights"]) > 0, arrays["targets"], -100
    )
    labels.scatter_(1, arrays["positions"], chosen)
    return model(
        input_ids=arrays["ids"],
        token_type_ids=arrays["types"],
        attention_mask=torch.arange(width)[None] < arrays["lengths"][:, None],
        labels=labels,
        next_sentence_label=arrays["pair_label"],
        output_hidden_states=True,
    )


def adamw(model) -> torch.optim.AdamW:
    """BERT's: no decay of biases and LayerNorms."""
    named = list(model.named_parameters())
    exempt = [p for _, p in named if p.ndim == 1]
    decayed = [p for _, p in named if not any(p is other for other in exempt)]
    groups = [
        {"params": decayed, "weight_decay": DECAY},
        {"params": exempt, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, eps=EPSILON)


def saved(model, kind: str) -> dict[str, np.ndarray]:
    """Parameters or gradients under the names of their files: a tied one once."""
    return {
        f"{kind}/{name}": (p.grad if kind == "gradient" else p).detach().numpy().copy()
        for name, p in model.named_parameters()
    }


def case(name: str) -> dict[str, np.ndarray]:
    """Weights, batches, and all that is compared, by name."""
    shape, rows, width = SHAPES[name]
    model = model_of(shape)
    batches = [batch_of(shape, rows, width, seed) for seed in range(UPDATES)]
    arrays = saved(model, "weight")
    config = model.config.to_dict() | {"architectures": ["BertForPreTraining"]}
    arrays["config"] = np.array(json.dumps(config))
    arrays["command"] = np.array(COMMAND)
    arrays["versions"] = np.array(
        f"torch {torch.__version__}, transformers {transformers.__version__}"
    )
    for i, batch in enumerate(batches):
        arrays |= {f"batch/{i}/{key}": array for key, array in batch.items()}

    outputs = call(model, batches[0])
    outputs.loss.backward()
    hidden = [state.detach().numpy() for state in outputs.hidden_states]
    arrays |= {f"hidden/{i}": state for i, state in enumerate(hidden)}
    arrays["logits"] = outputs.prediction_logits.detach().numpy()
    arrays["pair_logits"] = outputs.seq_relationship_logits.detach().numpy()
    arrays["loss"] = outputs.loss.detach().numpy()
    arrays |= saved(model, "gradient")

    optimiser = adamw(model)
    for batch in batches:
        optimiser.zero_grad()
        call(model, batch).loss.backward()
        optimiser.step()
    return arrays | saved(model, "updated")


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name in SHAPES:
        if name.startswith("golden"):
            np.savez_compressed(GOLDEN / f"{name}.npz", **case(name))


if __name__ == "__main__":
    main()
