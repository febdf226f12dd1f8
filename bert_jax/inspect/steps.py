"""The models of the steps that are looked at."""

from collections.abc import Iterator
from pathlib import Path

from bert_jax.predict.model import Model, load
from bert_jax.run import record, rundir
from bert_jax.run.config import UsageError
from bert_jax.train import checkpoint

ALL = "all"


def models(workdir: Path, step: str) -> Iterator[Model]:
    """The model at the step that is named, "" for the newest; of "all" every one that
    is kept and verifies, in order. UsageError where there is none."""
    if step != ALL:
        yield load(workdir, int(step) if step else None)
        return
    record.read(workdir)
    found = 0
    for number in rundir.steps(workdir / rundir.CHECKPOINTS):
        try:
            model = load(workdir, number)
        except checkpoint.Damaged as error:
            print(f"passing over {error}")
            continue
        found += 1
        yield model
    if not found:
        raise UsageError(f"{workdir} has no checkpoint that verifies")
