"""The data of a config: the one door for the verb, training, sweeps and probes."""

from collections.abc import Callable

from bert_jax.data import store
from bert_jax.data.store import Store
from bert_jax.run import rules
from bert_jax.run.config import Config
from bert_jax.tasks import dataset
from bert_jax.tasks.dataset import Dataset


def main(config: Config) -> None:
    """Prepare the data of a config, and print what the labelled data of a task are.

    Raises UsageError for what cannot be read, before any training.
    """
    data = load(config)
    if isinstance(data, Store):
        return
    most = config.eval.max_examples
    for line in dataset.describe(data.train, data.valid, data.test, most):
        print(line)
    if data.labels:
        print(f"{len(data.labels)} labels: {', '.join(data.labels)}")


def load(config: Config, progress: Callable[[str], None] = print) -> Store | Dataset:
    """The labelled data of a task, or the store of a corpus, built if it is not there.

    Raises UsageError.
    """
    if rules.is_task(config):
        return dataset.prepare(config)
    return store.prepare(config, progress)
