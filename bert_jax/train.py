"""The loop. A run is a config and a directory; the same command continues it."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import jax
from ml_collections import FrozenConfigDict

from bert_jax import (
    best,
    checkpoint,
    evaluate,
    flops,
    optim,
    parallel,
    rundir,
    start,
    state,
    stop,
)
from bert_jax import config as configs
from bert_jax.checkpoint import Checkpoints
from bert_jax.config import UsageError
from bert_jax.data import dataset
from bert_jax.data.dataset import Dataset
from bert_jax.data.pipeline import Batch, prefetch
from bert_jax.setup import (
    Setup,
    begin,
    build,
    check_data,
    check_has_data,
    read_config,
)
from bert_jax.step import make_step
from bert_jax.stop import Stopping
from bert_jax.writer import Diverged, Writer


def say(text: str) -> None:
    """To the person, from one host."""
    if jax.process_index() == 0:
        print(text, file=sys.stderr, flush=True)


def run(config: FrozenConfigDict, workdir: Path) -> int:
    """Train until the last step or a signal; the exit code says which.

    An existing run is continued if its config, data and tokenizer are these; a
    finished one is left alone. Raises UsageError.
    """
    parallel.join_hosts()
    parent = start.parent(config, workdir)
    identity = configs.fingerprint(config, parent)
    with contextlib.ExitStack() as stack:
        if jax.process_index() == 0:
            rundir.create(workdir)
            stack.enter_context(rundir.lease(workdir, "--workdir"))
            _check_continues(workdir, config)
        if rundir.is_done(workdir, identity):
            say(
                f"{workdir} is done: {rundir.read(workdir, rundir.RESULT)['steps']} steps"
            )
            return stop.DONE
        setup = build(config, workdir)
        if rundir.is_run(workdir):
            check_data(workdir, setup.data)
        _announce(setup)
        # From here on a signal saves; before, there is nothing to save.
        stopping = stack.enter_context(Stopping(parallel.any_host))
        try:
            last = _loop(setup, config, parent, workdir, stopping)
        except Diverged as error:
            say(str(error))
            return stop.DIVERGED
        if last is not None and jax.process_index() == 0:
            _write_result(setup, workdir, identity, last)
        return stop.PREEMPTED if last is None else stop.DONE


def _loop(
    setup: Setup,
    config: FrozenConfigDict,
    parent: str,
    workdir: Path,
    stopping: Stopping,
) -> int | None:
    """The last step, None if stopped before; `config` is what the person wrote, `parent`
    the identity of what it starts from."""
    place, train = setup.placement, setup.config.train
    with contextlib.ExitStack() as stack:
        keep = train.keep_last, train.keep_every, train.keep_powers
        checkpoints = stack.enter_context(
            contextlib.closing(Checkpoints(workdir, *keep))
        )
        current, first = start.restore_or_init(setup, checkpoints, say)
        _begin(setup, config, parent, workdir)
        train_step = place.step(step_of(setup))
        own = state.own(setup.config)
        evaluation = evaluate.compiled(setup)
        batches = stack.enter_context(contextlib.closing(_batches(setup, first)))
        history = rundir.read_metrics(workdir)
        writer = stack.enter_context(_writer(setup, workdir, first))
        clock = _clock(history, first)

        for step in range(first, train.steps + 1):
            last, stopped = step == train.steps, stopping()
            due = last or _every(setup.config.eval.every, step)
            if due and not stopped and not _has(history, step, "valid/"):
                writer.flush()
                found = evaluate.split(
                    setup, evaluation, current.params, "valid", stopping
                )
                stopped = found is None
                _record(writer, history, step, found)
            checkpoints.best = best.step(setup.config, history, step)
            last = last or best.is_long_ago(setup.config, history, step)
            if last or stopped or _saves(train, step):
                writer.flush()
                writer.write(step, {"time/seconds": clock()})
                checkpoints.save(step, place.stored(current))
            if last or stopped:
                break
            current, metrics = train_step(current, place.batch(next(batches)), own)
            writer.later(step, metrics)

        checkpoints.wait()
        chosen = step if checkpoints.best is None else checkpoints.best
        if not stopped and setup.test and not _has(history, chosen, "test/"):
            at_end = chosen == step
            params = current.params if at_end else _params(setup, workdir, chosen)
            found = evaluate.split(setup, evaluation, params, "test", stopping)
            stopped = found is None
            _record(writer, history, chosen, found)
        if stopped:
            say(f"stopped and saved at step {step}; the same command continues")
        return None if stopped else step


def _params(setup: Setup, workdir: Path, step: int) -> Any:
    """Those of an earlier step, on the devices."""
    params = checkpoint.restore_params(workdir, step, setup.param_shapes())
    return setup.placement.local(params)


def _record(
    writer: Writer,
    history: dict[int, dict[str, float]],
    step: int,
    found: dict[str, float] | None,
) -> None:
    if found is not None:
        writer.write(step, found)
        history.setdefault(step, {}).update(found)


def _every(period: int, step: int) -> bool:
    return step > 0 and step % period == 0


def _saves(train: Any, step: int) -> bool:
    power = train.keep_powers and checkpoint.is_power(step)
    return power or _every(train.save_every, step)


def _has(history: dict[int, dict[str, float]], step: int, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in history.get(step, {}))


def _check_continues(workdir: Path, config: FrozenConfigDict) -> None:
    if not rundir.is_run(workdir):
        return
    check_has_data(workdir)
    old = configs.without_execution(read_config(workdir))
    new = configs.without_execution(config.to_dict())
    if changed := rundir.differences(old, new):
        raise UsageError(
            f"the config changed since {workdir} began: {'; '.join(changed)}. Change "
            "it back, or choose another --workdir"
        )


def _begin(setup: Setup, config: FrozenConfigDict, parent: str, workdir: Path) -> None:
    """Write what the run is, once, when nothing can be wrong with it any more."""
    if rundir.is_run(workdir) or jax.process_index() > 0:
        return
    facts: dict[str, Any] = {"data": setup.data.fingerprint}
    if isinstance(setup.data, Dataset):
        facts["labels"] = list(setup.data.labels)
    begin(workdir, config, setup.data.tokenizer, parent, facts)


def _announce(setup: Setup) -> None:
    config, length = setup.config, setup.train.mean_length
    rows = setup.train.rows
    count = sum(leaf.size for leaf in jax.tree.leaves(setup.param_shapes()))
    steps, batch = config.train.steps, config.train.batch
    say(
        f"{count / 1e6:.1f} M parameters, {jax.device_count()} x "
        f"{jax.devices()[0].device_kind}, {steps:,} steps of {batch}, "
        f"{steps * batch * rows * length / 1e6:.3g} M tokens, "
        f"{rows * flops.training_flops(config, steps, length):.2g} FLOPs"
    )
    for line in dataset.describe(setup.train, setup.valid, setup.test):
        say(line)
    if isinstance(setup.data, Dataset) and setup.data.unseen:
        say(f"no example to train on: {', '.join(setup.data.unseen)}")


def step_of(setup: Setup) -> Callable:
    """The update of a run, not yet placed."""
    config = setup.config
    return make_step(
        setup.objective,
        setup.optimiser,
        optim.schedule(config.optim, config.train.steps),
        config.train.accumulate,
        setup.placement.total,
        optim.matches(config.optim.freeze),
    )


def _batches(setup: Setup, first: int) -> Generator[Batch]:
    size = setup.config.train.batch
    rows = setup.placement.rows(size)
    depth = setup.config.data.prefetch
    return prefetch(lambda step: setup.train.batch(step, size, rows), first, depth)


def _writer(setup: Setup, workdir: Path, first: int) -> Writer:
    config = setup.config
    length = setup.train.mean_length
    rows = setup.train.rows
    tokens = round(config.train.batch * rows * length)
    peak = flops.peak(jax.devices()[0].device_kind)
    seconds = rows * flops.training_flops(config, 1, length) / jax.device_count()
    return Writer(
        workdir,
        primary=jax.process_index() == 0,
        fetch=lambda metrics: {
            f"train/{name}": float(value)
            for name, value in jax.device_get(metrics).items()
        },
        start=first,
        steps=config.train.steps,
        every=config.train.log_every,
        warmup=config.optim.warmup_steps,
        tokens_per_step=tokens,
        ideal_seconds=seconds / peak if peak else 0,
    )


def _clock(history: dict[int, dict[str, float]], first: int) -> Callable[[], float]:
    """Seconds that the run has taken, those of the processes before this included."""
    before = [
        values["time/seconds"]
        for step, values in history.items()
        if step <= first and "time/seconds" in values
    ]
    since = time.perf_counter() - max(before, default=0.0)
    return lambda: time.perf_counter() - since


def _write_result(setup: Setup, workdir: Path, identity: str, last: int) -> None:
    final: dict[str, float] = {}
    history = rundir.read_metrics(workdir)
    chosen = best.step(setup.config, history, last)
    for values in [*history.values(), history.get(chosen, {}) if chosen else {}]:
        final |= {name: value for name, value in values.items() if math.isfinite(value)}
    length, rows = setup.train.mean_length, setup.train.rows
    result = {
        "fingerprint": identity,
        "steps": last,
        "tokens": round(last * setup.config.train.batch * rows * length),
        "seconds": max(
            row["time/seconds"] for row in history.values() if "time/seconds" in row
        ),
        "flops": rows * flops.training_flops(setup.config, last, length),
        "metrics": final,
    }
    if chosen is not None:
        result["best_step"] = chosen
    rundir.write_json(workdir / rundir.RESULT, result)
