"""The models of the inspected steps."""

from collections.abc import Iterator
from pathlib import Path

from bert_jax.predict.model import Model, load
from bert_jax.run import record, rundir
from bert_jax.run.config import UsageError
from bert_jax.train import checkpoint

ALL = "all"


def models(workdir: Path, step: str) -> Iterator[Model]:
    """Yield the model of a step, "" for the newest; for "all" every checkpoint that
    verifies, in order. UsageError where there is none."""
    if step != ALL:
        yield load(workdir, int(step) if step else None)
        return
    record.read(workdir)
    count = 0
    for number in rundir.steps(workdir / rundir.CHECKPOINTS):
        try:
            model = load(workdir, number)
        except checkpoint.Damaged as error:
            print(f"passing over {error}")
            continue
        count += 1
        yield model
    if not count:
        raise UsageError(f"{workdir} has no checkpoint that verifies")
