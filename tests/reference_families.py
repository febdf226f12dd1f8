"""What transformers computes of each family, as arrays. Needs torch and transformers.

`python -m tests.reference_families` writes tests/golden/families.npz, which the suite
compares with.
"""

import json
from typing import Any

import numpy as np
import torch
import transformers

from tests.families import TINY, Case, batch_of, drawn
from tests.reference import GOLDEN, adamw

NO_LABEL = -100


def model_of(case: Case) -> Any:
    """Their model in eval mode, its weights drawn from their names."""
    kind = case.architecture.partition("For")[0].removesuffix("LMHeadModel")
    config = getattr(transformers, f"{kind}Config")(**case.shape)
    config._attn_implementation = "eager"
    model = getattr(transformers, case.architecture)(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.tensor(drawn(name, tuple(parameter.shape))))
    return model


def call(model: Any, case: Case, batch: dict[str, np.ndarray]) -> Any:
    arrays = {name: torch.tensor(array).long() for name, array in batch.items()}
    inside = torch.arange(case.size[1])[None] < arrays["lengths"][:, None]
    labels = torch.where(
        torch.tensor(batch["target_weights"]) > 0, arrays["targets"], NO_LABEL
    )
    if case.architecture == "GPT2LMHeadModel":  # it predicts the text itself
        labels = torch.where(inside, arrays["ids"], NO_LABEL)
    more = {"token_type_ids": arrays["types"]} if case.typed else {}
    if case.paired:
        more |= {case.paired: arrays["pair_label"]}
    return model(
        input_ids=arrays["ids"],
        attention_mask=inside.long(),
        labels=labels,
        output_hidden_states=True,
        **more,
    )


def arrays_of(case: Case, updates: int) -> dict[str, Any]:
    """Their card, all that is compared, and after so many updates the weights."""
    model = model_of(case)
    pad = getattr(model.config, "pad_token_id", 0) or 0
    batches = [batch_of(case, pad, seed) for seed in range(max(updates, 1))]
    outputs = call(model, case, batches[0])
    outputs.loss.backward()
    card = model.config.to_dict() | {"architectures": [case.architecture]}
    named = dict(model.named_parameters())
    arrays: dict[str, Any] = {
        "card": json.dumps(card),
        "shapes": json.dumps({name: list(p.shape) for name, p in named.items()}),
        "loss": outputs.loss.item(),
    }
    logits = outputs.get("prediction_logits", outputs.get("logits"))
    arrays["logits"] = logits.detach().numpy()
    arrays["hidden"] = np.stack([s.detach().numpy() for s in outputs.hidden_states])
    # One vector in the order of the shapes: each array of a file costs a header.
    arrays["gradients"] = np.concatenate(
        [parameter.grad.numpy().ravel() for parameter in named.values()]
    )
    arrays["pad"] = pad
    optimiser = adamw(model)
    for batch in batches[:updates]:
        optimiser.zero_grad()
        call(model, case, batch).loss.backward()
        optimiser.step()
        arrays["updated"] = np.concatenate(
            [parameter.detach().numpy().ravel() for parameter in named.values()]
        )
    return arrays


def main() -> None:
    arrays = {
        f"{name}/{key}": value
        for name, case in TINY.items()
        for key, value in arrays_of(case, 0).items()
    }
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    np.savez_compressed(GOLDEN / "families.npz", **arrays, versions=versions)


if __name__ == "__main__":
    main()
