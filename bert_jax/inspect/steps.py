"""The models of the steps that are looked at."""

from collections.abc import Iterator
from pathlib import Path

from bert_jax import checkpoint, manifest, rundir
from bert_jax.config import UsageError
from bert_jax.model import Model, load

ALL = "all"


def models(workdir: Path, step: str) -> Iterator[Model]:
    """The model at the step that is named, "" for the newest; of "all" every one that
    is kept and verifies, in order. UsageError where there is none."""
    if step != ALL:
        yield load(workdir, int(step) if step else None)
        return
    rundir.read(workdir, rundir.RUN)
    folder = workdir / rundir.CHECKPOINTS
    found = 0
    for number in checkpoint.steps(folder):
        if reason := manifest.fault(folder / str(number)):
            print(f"passing over checkpoint {folder / str(number)}: {reason}")
            continue
        found += 1
        yield load(workdir, number)
    if not found:
        raise UsageError(f"{workdir} has no checkpoint that verifies")
