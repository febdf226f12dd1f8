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

from bert_jax import checkpoint, evaluate, flops, optim, parallel, rundir, state, stop
from bert_jax import config as configs
from bert_jax.checkpoint import Checkpoints
from bert_jax.config import UsageError
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
    identity = configs.fingerprint(config, _parent(config))
    with contextlib.ExitStack() as stack:
        if jax.process_index() == 0:
            rundir.create(workdir)
            stack.enter_context(rundir.lease(workdir))
            _check_continues(workdir, config)
        if rundir.is_done(workdir, identity):
            say(f"{workdir} is done: {config.train.steps} steps")
            return stop.DONE
        setup = build(config)
        if rundir.is_run(workdir):
            check_data(workdir, setup.store)
        _announce(setup)
        # From here on a signal saves; before, there is nothing to save.
        stopping = stack.enter_context(Stopping(parallel.any_host))
        try:
            done = _loop(setup, config, workdir, stopping)
        except Diverged as error:
            say(str(error))
            return stop.DIVERGED
        if done and jax.process_index() == 0:
            _write_result(setup.config, workdir, identity)
        return stop.DONE if done else stop.PREEMPTED


def _loop(
    setup: Setup, config: FrozenConfigDict, workdir: Path, stopping: Stopping
) -> bool:
    """Whether the last step was reached; `config` is what the person wrote."""
    place, train = setup.placement, config.train
    with contextlib.ExitStack() as stack:
        keep = train.keep_last, train.keep_every, train.keep_powers
        checkpoints = stack.enter_context(
            contextlib.closing(Checkpoints(workdir, *keep))
        )
        current, start = _restore_or_init(setup, checkpoints)
        _begin(setup, config, workdir)
        train_step = place.step(step_of(setup))
        evaluation = evaluate.compiled(setup)
        batches = stack.enter_context(contextlib.closing(_batches(setup, start)))
        history = rundir.read_metrics(workdir)
        writer = stack.enter_context(_writer(setup, workdir, start))
        clock = _clock(history, start)

        for step in range(start, train.steps + 1):
            last, stopped = step == train.steps, stopping()
            due = last or _every(config.eval.every, step)
            if due and not stopped and not _is_evaluated(history, step):
                writer.flush()
                held_out = evaluate.batches(setup)
                sums = evaluate.total(evaluation, current.params, held_out, stopping)
                stopped = sums is None
                if sums is not None:
                    writer.write(step, evaluate.named(sums))
            if last or stopped or _saves(train, step):
                writer.flush()
                writer.write(step, {"time/seconds": clock()})
                checkpoints.save(step, place.stored(current))
            if last or stopped:
                break
            current, metrics = train_step(current, place.batch(next(batches)))
            writer.later(step, metrics)

        checkpoints.wait()
        if stopped:
            say(f"stopped and saved at step {step}; the same command continues")
        return not stopped


def _every(period: int, step: int) -> bool:
    return step > 0 and step % period == 0


def _saves(train: Any, step: int) -> bool:
    power = train.keep_powers and checkpoint.is_power(step)
    return power or _every(train.save_every, step)


def _is_evaluated(history: dict[int, dict[str, float]], step: int) -> bool:
    return any(name.startswith("valid/") for name in history.get(step, {}))


def _parent(config: FrozenConfigDict) -> str:
    """The identity of the run and step that `init_from` names, "" for none."""
    if not config.init_from:
        return ""
    run, step = checkpoint.locate(config.init_from)
    return f"{rundir.read(run, rundir.RUN)['fingerprint']}/{step}"


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


def _begin(setup: Setup, config: FrozenConfigDict, workdir: Path) -> None:
    """Write what the run is, once, when nothing can be wrong with it any more."""
    if rundir.is_run(workdir) or jax.process_index() > 0:
        return
    parent = _parent(config)
    facts = {"data": setup.store.fingerprint}
    begin(workdir, config, setup.store.tokenizer, parent, facts)


def _announce(setup: Setup) -> None:
    config = setup.config
    count = sum(leaf.size for leaf in jax.tree.leaves(setup.param_shapes()))
    audit = setup.train.audit(10_000)
    tokens = config.train.steps * config.train.batch * config.data.length
    say(
        f"{count / 1e6:.1f} M parameters, {jax.device_count()} x "
        f"{jax.devices()[0].device_kind}, {audit['examples']:,} examples of "
        f"{config.data.length} ({100 * audit['padding_share']:.1f} % padding), "
        f"{config.train.steps:,} steps of {config.train.batch}, "
        f"{tokens / 1e6:.0f} M tokens, {flops.training_flops(config):.2g} FLOPs"
    )
    if config.data.pairs in ("nsp", "sop"):
        say(f"pairs: {100 * audit['random_share']:.1f} % random or swapped")


def _restore_or_init(setup: Setup, checkpoints: Checkpoints):
    """Own run, else `init_from`, else scratch; and the step to go on from."""
    place, shapes = setup.placement, setup.shapes()
    step = checkpoints.newest(say)
    if step is not None:
        say(f"continuing from step {step}")
        return place.local(checkpoints.restore(step, shapes)), step
    if not setup.config.init_from:
        return place.local(_initialised(setup)), 0
    params = _inherited(setup, shapes.params)
    return place.local(state.adopt(params, setup.optimiser, place.shardings)), 0


def _initialised(setup: Setup) -> state.TrainState:
    create = setup.objective.init, setup.optimiser, setup.config.seed
    return state.initialise(*create, setup.placement.shardings)


def _inherited(setup: Setup, wanted: Any) -> Any:
    """The parameters that `init_from` names; heads that it lacks are initialised."""
    source, at = checkpoint.locate(setup.config.init_from)
    _check_same_vocabulary(source, setup.store.tokenizer.fingerprint)
    saved = checkpoint.param_shapes(source, at)
    shared = checkpoint.shared(saved, wanted, f"{source} at step {at}")
    loaded = checkpoint.read_params(source, at, setup.sharded(saved))
    fresh = [name for name in wanted if name not in shared]
    left = [name for name in saved if name not in shared]
    say(
        f"starting from {source}, step {at}: loaded {', '.join(shared)}; "
        f"initialised {', '.join(fresh) or 'nothing'}; "
        f"left over {', '.join(left) or 'nothing'}"
    )
    if not fresh:
        return {name: loaded[name] for name in shared}
    made = _initialised(setup).params
    return {name: (loaded if name in shared else made)[name] for name in wanted}


def _check_same_vocabulary(source: Path, fingerprint: str) -> None:
    if rundir.read(source, rundir.RUN)["tokenizer"] != fingerprint:
        raise UsageError(
            f"{source} has another vocabulary than this run, so its token table means "
            f"other pieces: set --config.tokenizer.path={source / rundir.TOKENIZER}"
        )


def step_of(setup: Setup) -> Callable:
    """The update of a run, not yet placed."""
    config = setup.config
    return make_step(
        setup.objective,
        setup.optimiser,
        optim.schedule(config.optim, config.train.steps),
        config.seed,
        config.train.accumulate,
        setup.placement.total,
    )


def _batches(setup: Setup, start: int) -> Generator[Batch]:
    size = setup.config.train.batch
    rows = setup.placement.rows(size)
    depth = setup.config.data.prefetch
    return prefetch(lambda step: setup.train.batch(step, size, rows), start, depth)


def _writer(setup: Setup, workdir: Path, start: int) -> Writer:
    config = setup.config
    tokens = config.train.batch * config.data.length
    peak = flops.peak(jax.devices()[0].device_kind)
    seconds = flops.flops_per_token(config) * tokens / jax.device_count()
    return Writer(
        workdir,
        primary=jax.process_index() == 0,
        fetch=lambda metrics: {
            f"train/{name}": float(value)
            for name, value in jax.device_get(metrics).items()
        },
        start=start,
        steps=config.train.steps,
        every=config.train.log_every,
        warmup=config.optim.warmup_steps,
        tokens_per_step=tokens,
        ideal_seconds=seconds / peak if peak else 0,
    )


def _clock(history: dict[int, dict[str, float]], start: int) -> Callable[[], float]:
    """Seconds that the run has taken, those of the processes before this included."""
    before = [
        values["time/seconds"]
        for step, values in history.items()
        if step <= start and "time/seconds" in values
    ]
    since = time.perf_counter() - max(before, default=0.0)
    return lambda: time.perf_counter() - since


def _write_result(config: FrozenConfigDict, workdir: Path, identity: str) -> None:
    final: dict[str, float] = {}
    for values in rundir.read_metrics(workdir).values():
        final |= {name: value for name, value in values.items() if math.isfinite(value)}
    tokens = config.train.steps * config.train.batch * config.data.length
    result = {
        "fingerprint": identity,
        "steps": config.train.steps,
        "tokens": tokens,
        "seconds": final["time/seconds"],
        "flops": flops.training_flops(config),
        "metrics": final,
    }
    rundir.write_json(workdir / rundir.RESULT, result)
