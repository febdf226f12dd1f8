"""The kinds of task, and what evaluation makes of a network's outputs for each."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from bert_jax.run import rules
from bert_jax.run.config import Config
from bert_jax.tasks.features import Features
from bert_jax.tasks.task import Outputs, Task

# The class of each, in the file of its name, which is imported once it is needed.
KINDS = {
    "classify": "Classify",
    "multilabel": "MultiLabel",
    "regress": "Regress",
    "tag": "Tag",
    "span": "Span",
    "choose": "Choose",
}


def kind(name: str) -> type[Task]:
    """The kind of task of a name, such as "classify"."""
    return getattr(import_module(f"bert_jax.tasks.{name}"), KINDS[name])


def of_config(config: Config, labels: Sequence[str]) -> Task:
    """The task of a config, with these labels by number."""
    return kind(config.objective.kind)(labels, config.task)


def evaluate(
    config: Config,
    records: Sequence[Any],
    labels: Sequence[str],
    features: Features,
    outputs: Outputs,
) -> dict[str, float]:
    """The metrics of the records that have outputs, and `baseline`: the deciding metric
    of the best prediction that looks at nothing."""
    task = of_config(config, labels)
    seen = sorted({int(features.owners[number]) for number in outputs})
    predictions = task.predictions(records, features, outputs)
    gold = [task.gold(records[i]) for i in seen]
    guesses = [task.guess(predictions[i]) for i in seen]
    scores, decides = task.score(gold, guesses), rules.metric(config)
    constant = [task.score(gold, list(x))[decides] for x in task.constants(gold)]
    return scores | {"baseline": max(constant, default=0.0)}
