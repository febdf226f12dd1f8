"""Hugging Face PyTorch's BertForPreTraining for benchmarks.step, stock and strong.

"eager" is the stock model with SDPA and fused AdamW; "stock" the same under
torch.compile; "strong" what a careful user makes of it: predicted positions gathered
before the decoder, the vocabulary padded to a multiple of 128, no attention mask,
torch.compile by max-autotune. bfloat16 is autocast; parameters stay float32. All clip
the gradient, as bert_jax does. torch and transformers are no dependencies of the
project.
"""

import resource
from collections.abc import Callable
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
import transformers  # pyright: ignore[reportMissingImports]

from benchmarks import cases
from benchmarks.cases import Case, Side
from benchmarks.worker import Stepper

MULTIPLE = 128
COMPILED = {"eager": None, "stock": "default", "strong": "max-autotune"}


def build(case: Case, side: Side) -> Stepper:
    torch.set_num_threads(cases.cores())
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    strong = side.name == "strong"
    model = model_of(case, strong).to(device).train()
    inputs = {
        name: torch.tensor(array).long().to(device)
        for name, array in inputs_of(case, strong).items()
    }
    loss = strong_loss(model) if strong else lambda **inputs: model(**inputs).loss
    mode = COMPILED[side.name]
    if mode:
        loss = torch.compile(loss, mode=mode)
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=case.learning_rate,
        eps=case.epsilon,
        weight_decay=case.weight_decay,
        fused=True,  # the fastest of torch's three
    )
    autocast = side.dtype == "bfloat16"

    def run(steps: int) -> None:
        for _ in range(steps):
            optimiser.zero_grad()
            with torch.autocast(device, torch.bfloat16, enabled=autocast):
                value = loss(**inputs)
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), case.clip_norm)
            optimiser.step()
        if device == "cuda":
            torch.cuda.synchronize()

    about = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "versions": f"torch {torch.__version__}, "
        f"transformers {transformers.__version__}",
    }
    return Stepper(run, peak_bytes, about)


def model_of(case: Case, strong: bool) -> Any:
    rows = -(-case.vocabulary // MULTIPLE) * MULTIPLE if strong else case.vocabulary
    return transformers.BertForPreTraining(
        transformers.BertConfig(
            vocab_size=rows,
            **cases.hugging_face(case),
            attn_implementation="sdpa",
        )
    )


def inputs_of(case: Case, strong: bool) -> dict[str, Any]:
    batch = cases.masked(case)
    common = {"input_ids": batch["ids"], "token_type_ids": batch["types"]}
    if not strong:
        return common | {
            "attention_mask": batch["ids"] * 0 + 1,
            "labels": batch["labels"],
            "next_sentence_label": batch["pair_label"],
        }
    # Places in the batch laid out as one list of tokens.
    first = case.length * batch["rows"][:, None]
    return common | {
        "places": (first + batch["positions"]).reshape(-1),
        "targets": batch["targets"].reshape(-1),
        "pairs": batch["pair_label"],
    }


def strong_loss(model: Any) -> Callable:
    """The same loss, of the predicted positions alone."""
    cross_entropy = torch.nn.functional.cross_entropy

    def loss(input_ids, token_type_ids, places, targets, pairs):
        outputs = model.bert(input_ids, token_type_ids=token_type_ids)
        hidden = outputs.last_hidden_state.flatten(0, 1).index_select(0, places)
        logits = model.cls.predictions(hidden)
        tokens = cross_entropy(logits.float(), targets)
        pair_logits = model.cls.seq_relationship(outputs.pooler_output)
        return tokens + cross_entropy(pair_logits.float(), pairs)

    return loss


def peak_bytes() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
