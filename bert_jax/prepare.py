"""Reads what a config trains on, so that its faults show before any training."""

from ml_collections import FrozenConfigDict

from bert_jax.data import store
from bert_jax.run import rules
from bert_jax.tasks import dataset


def main(config: FrozenConfigDict) -> None:
    """Build the store of a corpus, or read the labelled data of a task and say what
    they are. Raises UsageError."""
    if not rules.is_task(config):
        store.prepare(config)
        return
    data = dataset.prepare(config)
    most = config.eval.max_examples
    for line in dataset.describe(data.train, data.valid, data.test, most):
        print(line)
    if data.labels:
        print(f"{len(data.labels)} labels: {', '.join(data.labels)}")
