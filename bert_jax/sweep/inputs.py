"""Data of a sweep, prepared and read before any of its runs starts."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ml_collections import ConfigDict, FrozenConfigDict

from bert_jax.data import store
from bert_jax.data.store import Store
from bert_jax.prepare import load as load_data
from bert_jax.run import lineage, rundir
from bert_jax.run.config import UsageError
from bert_jax.sweep.experiment import PRETRAIN
from bert_jax.sweep.plan import PlannedRun


def prepare(
    folder: Path, runs: Sequence[PlannedRun], say: Callable[[str], None]
) -> None:
    """Prepare each corpus once, and read each task's data once.

    Raises UsageError if data cannot be read, or differ from the data of a run that has
    begun.
    """
    stores: dict[str, Store] = {}
    read: set[tuple[str, str]] = set()
    changed = []
    for run in runs:
        if run.stage == PRETRAIN:
            config = lineage.with_vocabulary(run.config, None)
            key = store.key(config)
            if key not in stores:
                prepared = load_data(config, say)
                assert isinstance(prepared, Store)  # it pretrains
                stores[key] = prepared
            changed += _changed(folder / run.name, stores[key])
            data = stores[key]
        elif (run.stage, data.tokenizer.fingerprint) not in read:
            read.add((run.stage, data.tokenizer.fingerprint))
            load_data(_with_tokenizer(run.config, data))
    if changed:
        raise UsageError("\n".join([*changed, "Restore it, or choose another --root"]))


def _changed(workdir: Path, data: Store) -> Iterator[str]:
    if not rundir.is_run(workdir):
        return
    began = rundir.began(workdir)
    for name, now in {"data": data, "tokenizer": data.tokenizer}.items():
        if not now.has_fingerprint(began[name]):
            changed = f"{began[name]} -> {now.fingerprint}"
            yield f"the {name} changed since {workdir} began ({changed})"


def _with_tokenizer(config: FrozenConfigDict, data: Store) -> ConfigDict:
    """The config with the tokenizer path of the pretraining run, which does not exist
    yet."""
    full = ConfigDict(config.to_dict())
    full.tokenizer.path = full.tokenizer.path or str(data.directory / "tokenizer.json")
    return full
