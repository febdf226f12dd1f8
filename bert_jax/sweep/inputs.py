"""The data of a sweep, read before any of its runs starts."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ml_collections import ConfigDict, FrozenConfigDict

from bert_jax.data import store
from bert_jax.data.store import Store
from bert_jax.prepare import load as load_data
from bert_jax.run import lineage, rundir
from bert_jax.run.config import UsageError
from bert_jax.sweep.experiment import PRETRAIN
from bert_jax.sweep.plan import Planned


def prepare(folder: Path, runs: Sequence[Planned], say: Callable[[str], None]) -> None:
    """Prepares each corpus once, and reads each task's data once.

    Raises UsageError if something cannot be read, or is not what a run of the sweep
    that has begun was trained on.
    """
    stores: dict[str, Store] = {}
    read: set[tuple[str, str]] = set()
    changed = []
    for run in runs:
        if run.stage == PRETRAIN:
            config = lineage.with_vocabulary(run.config, None)
            key = store.key(config)
            if key not in stores:
                data = load_data(config, say)
                assert isinstance(data, Store)  # it pretrains
                stores[key] = data
            changed += _changed(folder / run.name, stores[key])
            own = stores[key]
        elif (run.stage, own.tokenizer.fingerprint) not in read:
            read.add((run.stage, own.tokenizer.fingerprint))
            load_data(_with_tokenizer(run.config, own))
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
    """That of the run which the task will start from and which is not there yet."""
    full = ConfigDict(config.to_dict())
    full.tokenizer.path = full.tokenizer.path or str(data.directory / "tokenizer.json")
    return full
