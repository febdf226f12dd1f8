"""A run while a process trains it: its directory held, what is written at both ends."""

import contextlib
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict, FrozenConfigDict

from bert_jax.data.store import Store
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.run import best, flops, record, rundir
from bert_jax.run import config as configs
from bert_jax.run.config import UsageError
from bert_jax.run.history import History
from bert_jax.tasks import dataset
from bert_jax.tasks.dataset import Dataset
from bert_jax.train import evaluate, restore
from bert_jax.train.goodput import Goodput, SharedClock
from bert_jax.train.setup import Setup, build, read_tokenizer

NO_DATA = ""  # the data's fingerprint in the run.json of an imported model
LENGTH = ("train.steps:", "train.epochs:")
LONGER = (
    "; to train on from what it has, add --config.init_from={} --config.init_state=true"
)


class Run(NamedTuple):
    """A run whose directory this process holds.

    config: as the person wrote it; that of `setup` has its counts resolved. parent: the
    identity of what it starts from. name: stands before what a person is told, "" of a
    run by itself. clock: the seconds that its cost is made of. goodput: parts them.
    """

    config: FrozenConfigDict
    workdir: Path
    parent: str
    setup: Setup
    name: str
    clock: SharedClock
    goodput: Goodput

    @property
    def identity(self) -> str:
        return configs.fingerprint(self.config, self.parent)

    @property
    def began(self) -> int:
        """The step of its parent, if it goes on from there; else 0."""
        return int(self.parent.rpartition("/")[2]) if self.config.init_state else 0

    def say(self, text: str) -> None:
        say(f"{self.name}: {text}" if self.name else text)


def say(text: str) -> None:
    """Print a line on one host."""
    if jax.process_index() == 0:
        print(text, file=sys.stderr, flush=True)


def hold(
    stack: contextlib.ExitStack, config: FrozenConfigDict, workdir: Path
) -> str | None:
    """Keeps other processes from a run until the stack closes; the identity of what it
    starts from, None of a run with nothing left to do. Raises UsageError."""
    parent = restore.parent(config, workdir)
    if jax.process_index() == 0:
        rundir.create(workdir)
        stack.enter_context(rundir.lease(workdir, "--workdir"))
        _check_continues(workdir, config)
    if record.is_done(workdir, configs.fingerprint(config, parent)):
        result = rundir.read(workdir, rundir.RESULT)
        left = rundir.lacking(result, config)
        more = f"; now it is evaluated on {', '.join(left)}" if left else ""
        say(f"{workdir} is done: {result['steps']} steps{more}")
        return parent if left else None
    return parent


def _check_continues(workdir: Path, config: FrozenConfigDict) -> None:
    if not rundir.is_run(workdir):
        return
    check_has_data(workdir)
    read_tokenizer(workdir)
    old = configs.without_execution(record.read(workdir).config)
    new = configs.without_execution(config.to_dict())
    if changed := rundir.differences(old, new):
        longer = all(text.startswith(LENGTH) for text in changed)
        raise UsageError(
            f"the config changed since {workdir} began: {'; '.join(changed)}. Change "
            f"it back, or choose another --workdir{LONGER.format(workdir) * longer}"
        )


def begin(run: Run) -> None:
    """Write what the run is, once, when nothing can be wrong with it any more."""
    if rundir.is_run(run.workdir) or jax.process_index() > 0:
        return
    data = run.setup.data
    facts: dict[str, Any] = {"data": data.fingerprint}
    if isinstance(data, Dataset):
        facts["labels"] = list(data.labels)
    write_run(run.workdir, run.config, data.tokenizer, run.parent, facts)


def write_run(
    workdir: Path,
    config: ConfigDict | FrozenConfigDict,
    tokenizer: Tokenizer,
    parent: str,
    facts: dict[str, Any],
) -> None:
    """Write what a run is: tokenizer.json, run.json with these facts, config.json."""
    tokenizer.save(workdir / rundir.TOKENIZER)
    common = {
        "fingerprint": configs.fingerprint(config, parent),
        "parent": parent,
        "seed": config.seed,
        "versions": rundir.versions(),
        "devices": [device.device_kind for device in jax.devices()],
        "tokenizer": tokenizer.fingerprint,
    }
    record.write_began(workdir, config, common | facts)


def check_has_data(workdir: Path) -> None:
    """Refuse an imported model where data of its own are needed."""
    if rundir.began(workdir)["data"] == NO_DATA:
        raise UsageError(
            f"{workdir} is an imported model and has no data: train a run from it with "
            f"--config=FILE --config.init_from={workdir}"
        )


def check_data(workdir: Path, data: Store | Dataset) -> None:
    """Refuse data or a vocabulary other than the run began with."""
    began = rundir.began(workdir)
    for name, now in {"data": data, "tokenizer": data.tokenizer}.items():
        if not now.has_fingerprint(began[name]):
            raise UsageError(
                f"the {name} changed since {workdir} began ({began[name]} -> "
                f"{now.fingerprint}): restore it, or choose another --workdir"
            )


def reopen(workdir: Path) -> Setup:
    """The parts of a run that exists, on the devices at hand.

    Raises UsageError if the data are no longer those that it was trained on.
    """
    return reopen_as(workdir, record.read(workdir).config)


def reopen_as(workdir: Path, config: FrozenConfigDict) -> Setup:
    """`reopen` with another config, which differs in how the run is evaluated."""
    check_has_data(workdir)
    read_tokenizer(workdir)
    setup = build(config, workdir)
    check_data(workdir, setup.data)
    return setup


def announce(run: Run) -> None:
    """Say how large the run is, and what its data are."""
    setup = run.setup
    config, length = setup.config, setup.train.mean_length
    rows = setup.train.rows
    count = sum(leaf.size for leaf in jax.tree.leaves(setup.param_shapes()))
    steps, batch = config.train.steps - run.began, config.train.batch
    say(
        f"{count / 1e6:.1f} M parameters, {jax.device_count()} x "
        f"{jax.devices()[0].device_kind}, {steps:,} steps of {batch}, "
        f"{steps * batch * rows * length / 1e6:.3g} M tokens, "
        f"{rows * flops.training_flops(config, steps, length):.2g} FLOPs"
    )
    most = config.eval.max_examples
    for line in dataset.describe(setup.train, setup.valid, setup.test, most):
        say(line)
    if isinstance(setup.data, Dataset) and setup.data.unseen:
        say(f"no example to train on: {', '.join(setup.data.unseen)}")


def write_result(run: Run, last: int) -> None:
    """Say what became of the run, whole or not at all."""
    setup, history = run.setup, rundir.read_metrics(run.workdir)
    chosen = best.step(setup.config, history, last)
    length, rows = setup.train.mean_length, setup.train.rows
    taken = last - run.began
    result = {
        "fingerprint": run.identity,
        "steps": last,
        "tokens": round(taken * setup.config.train.batch * rows * length),
        "seconds": history.series(record.SECONDS).values.max().item(),
        "flops": rows * flops.training_flops(setup.config, taken, length),
        "goodput": run.goodput.seconds(),
        "skipped": int(history[last].get("train/skipped", 0)),
        "metrics": final(history, last if chosen is None else chosen),
    }
    if chosen is not None:
        result["best_step"] = chosen
    prefixes = {name.rpartition("/")[0] for name in result["metrics"]}
    known = [*evaluate.prefixes(setup), *(["test"] if setup.test else [])]
    result |= _measured(run, [name for name in known if name in prefixes])
    record.write_result(run.workdir, result)


def _measured(run: Run, prefixes: Iterable[str]) -> dict[str, Any]:
    """Fingerprints of the data behind the metrics of these prefixes."""
    marks = {name: evaluate.fingerprint(run.setup, name) for name in prefixes}
    length = run.config.eval.length
    return {
        "measured": marks,
        "row_lengths": {name: length for name in marks if "/" in name},
    }


def add_results(
    run: Run, step: int, metrics: Mapping[str, float], prefixes: Iterable[str]
) -> None:
    """Adds metrics of the last step to a finished run, and what these prefixes are
    measured on. First to metrics.jsonl: the result tells of that file."""
    if metrics:
        with rundir.append_metrics(run.workdir) as file:
            file.write(rundir.metrics_line(step, metrics))
    result = rundir.read(run.workdir, rundir.RESULT)
    finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
    for key, more in {"metrics": finite, **_measured(run, prefixes)}.items():
        result[key] = {**result.get(key, {}), **more}
    record.write_result(run.workdir, result)


def final(history: History, last: int) -> dict[str, float]:
    """The metrics of a result: those of the evaluation at a step, of the last log before
    it, and the newest times. A number that is absent there, or not finite, is absent."""
    logs = history.series("train/loss").steps
    logged = int(max(logs[logs <= last], default=last))
    found = {
        name: history.series(name).values[-1].item()
        for name in history.names()
        if name.startswith("time/")
    }
    found |= {k: v for k, v in history[logged].items() if k.startswith("train/")}
    evaluated = ("valid/", "test/")
    found |= {k: v for k, v in history[last].items() if k.startswith(evaluated)}
    return {name: value for name, value in found.items() if math.isfinite(value)}
