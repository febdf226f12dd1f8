"""The loop. A run is a config and a directory; the same command continues it."""

import contextlib
import math
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import FrozenConfigDict

from bert_jax.data.pipeline import Batch, prefetch
from bert_jax.run import best, exits, flops, record, rules, rundir
from bert_jax.run import config as configs
from bert_jax.run.exits import Stopping
from bert_jax.run.history import History
from bert_jax.train import (
    checkpoint,
    evaluate,
    finished,
    optim,
    restore,
    session,
    state,
)
from bert_jax.train.checkpoint import Checkpoints
from bert_jax.train.goodput import Goodput, describe
from bert_jax.train.parallel import compile_cache, placement
from bert_jax.train.session import Run, hold
from bert_jax.train.setup import Setup, build, check_data
from bert_jax.train.step import make_step
from bert_jax.train.watchdog import Watchdog
from bert_jax.train.writer import Diverged, Writer

ENOUGH = 64  # rows of text: masks of so many miss all words by no accident
UNTAUGHT = {
    True: "nothing of this text can be predicted. Are its words all [UNK], which "
    "launch.py prepare tells, or longer than data.length?",
    False: "no example has a label that could be learned",
}


class Said(NamedTuple):
    """What a step said: its metrics, fetched when called, and whether it is over."""

    fetch: Callable[[], Mapping[str, Any]]
    is_over: Callable[[], bool]


Loop = Generator[Batch, Said, int]  # its host batches out, and in what each step said


def run(config: FrozenConfigDict, workdir: Path) -> int:
    """Train until the last step or a signal; the exit code says which.

    An existing run is continued if its config, data and tokenizer are these; a
    finished one is left alone. Raises UsageError.
    """
    placement.join_hosts()
    goodput = Goodput(workdir, time.perf_counter)
    with contextlib.ExitStack() as stack:
        parent = hold(stack, config, workdir)
        if parent is None:
            return exits.DONE
        stack.enter_context(compile_cache.kept(Path(config.data.cache)))
        setup = build(config, workdir)
        mine = Run(config, workdir, parent, setup, "", time.perf_counter, goodput)
        if record.is_done(workdir, mine.identity):
            stopping = stack.enter_context(Stopping(placement.any_host))
            return finished.evaluate_rows(mine, stopping)
        checkpoints = stack.enter_context(opened(mine))
        session.announce(mine)
        # From here on a signal saves; before, there is nothing to save.
        stopping = stack.enter_context(Stopping(placement.any_host))
        current, first = restore.restore_or_init(setup, checkpoints, session.say)
        step, own = setup.placement.step(step_of(setup)), state.own(setup.config)

        def update(batch: Batch) -> Said:
            nonlocal current
            current, metrics = step(current, setup.placement.batch(batch), own)
            return Said(lambda: metrics, metrics["loss"].is_ready)

        evaluation = evaluate.compiled(setup)
        watchdog = stack.enter_context(Watchdog([workdir], config.train.watchdog))
        asked = watchdog.feeding(stopping)
        loop = protocol(mine, checkpoints, first, lambda: current, evaluation, asked)
        return _alone(loop, update)


def _alone(loop: Loop, update: Callable[[Batch], Said]) -> int:
    with contextlib.closing(loop):
        try:
            batch = next(loop)
            while True:
                batch = loop.send(update(batch))
        except StopIteration as end:
            return end.value


def opened(run: Run) -> contextlib.closing[Checkpoints]:
    """The checkpoints of a run. Raises UsageError if its data changed since it began,
    or, of a run that has not begun, if its warm-up would not end."""
    if rundir.is_run(run.workdir):
        check_data(run.workdir, run.setup.data)
    else:
        configs.check_warmup(run.setup.config)
    train = run.setup.config.train
    # Not for good what was saved because the run was stopped there.
    keep_every = math.lcm(train.keep_every, train.save_every)
    keep = train.keep_last, keep_every, train.keep_powers
    return contextlib.closing(Checkpoints(run.workdir, *keep))


def protocol(
    run: Run,
    checkpoints: Checkpoints,
    first: int,
    current: Callable[[], state.TrainState],
    evaluation: Callable,
    stopping: Callable[[], bool],
) -> Loop:
    """What a run does, from step `first` on: yields the batch of each step, is sent what
    the step said, and returns an exit code. `current` gives the state as it is then."""
    session.begin(run)
    try:
        last = yield from _loop(run, checkpoints, first, current, evaluation, stopping)
    except Diverged as error:
        run.say(str(error))
        return exits.DIVERGED
    if last is None:
        return exits.PREEMPTED
    if jax.process_index() == 0:
        session.write_result(run, last)
    return exits.DONE


def _loop(
    run: Run,
    checkpoints: Checkpoints,
    first: int,
    current: Callable[[], state.TrainState],
    evaluation: Callable,
    stopping: Callable[[], bool],
) -> Generator[Batch, Said, int | None]:
    """The last step, None if stopped before."""
    setup, workdir = run.setup, run.workdir
    place, train = setup.placement, setup.config.train
    with contextlib.ExitStack() as stack:
        batches = stack.enter_context(contextlib.closing(_batches(setup, first)))
        history = rundir.read_metrics(workdir)
        writer = stack.enter_context(_writer(run, history, first))
        clock = _clock(history, first, run.now)
        goodput = run.goodput
        goodput.resume(history.get(first, {}))
        said = None

        for step in range(first, train.steps + 1):
            last, stopped = step == train.steps, stopping()
            due = last or _every(setup.config.eval.every, step)
            left = evaluate.left(setup, history.get(step, {}), last) if due else []
            if left and not stopped:
                writer.flush()
                goodput.enter("evaluation")
                params = current().params
                found = evaluate.of_prefixes(setup, evaluation, params, left, stopping)
                stopped = found is None
                _record(writer, history, step, found)
                goodput.enter("step")
            checkpoints.best = best.step(setup.config, history, step)
            last = last or best.is_long_ago(setup.config, history, step)
            if last and not stopped:
                _check_finite(writer, step, history.get(step, {}))
            if last or stopped or _saves(train, step):
                writer.flush()
                goodput.enter("save")
                now = current()
                skipped = {"train/skipped": int(now.skips["all"])} if now.skips else {}
                spent = {"time/seconds": clock(), **goodput.metrics()}
                writer.write(step, spent | skipped)
                checkpoints.save(step, place.stored(now))
                goodput.enter("step")
            if last or stopped:
                break
            goodput.enter("data_wait")
            batch = next(batches)
            goodput.enter_step(idle=said is None or said.is_over())
            if said is None:
                goodput.enter("compile")
            said = yield batch
            writer.later(step, said)
            if step == first:
                goodput.enter("step")

        goodput.enter("save")
        checkpoints.wait()
        chosen = step if checkpoints.best is None else checkpoints.best
        if not stopped and setup.test and not _has(history, chosen, "test/"):
            goodput.enter("evaluation")
            at_end = chosen == step
            params = current().params if at_end else _params(setup, workdir, chosen)
            found = evaluate.split(setup, evaluation, params, "test", stopping)
            stopped = found is None
            _record(writer, history, chosen, found)
        if not stopped:
            _check_finite(writer, step, history.get(chosen, {}))
            run.say(describe(goodput.seconds()))
        if stopped:
            run.say(f"stopped and saved at step {step}; the same command continues")
        return None if stopped else step


def _params(setup: Setup, workdir: Path, step: int) -> Any:
    """Those of an earlier step, on the devices."""
    params = checkpoint.restore_params(workdir, step, setup.param_shapes())
    return setup.placement.local(params)


def _record(
    writer: Writer,
    history: History,
    step: int,
    found: dict[str, float] | None,
) -> None:
    if found is not None:
        writer.write(step, found)
        history.add(step, found)


def _check_finite(writer: Writer, last: int, found: Mapping[str, float]) -> None:
    """Raises Diverged if the run would end with an evaluation that is not finite."""
    for name, value in found.items():
        if name.startswith(("valid/", "test/")) and not math.isfinite(value):
            writer.write(last, {rundir.FINITE: 0.0})
            raise Diverged(f"{name} is {value} where the run would end, at step {last}")


def _every(period: int, step: int) -> bool:
    return step > 0 and step % period == 0


def _saves(train: Any, step: int) -> bool:
    power = train.keep_powers and checkpoint.is_power(step)
    return power or _every(train.save_every, step)


def _has(history: History, step: int, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in history.get(step, {}))


def step_of(setup: Setup) -> Callable:
    """The update of a run, not yet placed."""
    config = setup.config
    return make_step(
        setup.objective,
        setup.optimiser,
        optim.schedule(config.optim, config.train.steps),
        config.train.accumulate,
        setup.placement.psum,
        optim.matches(config.optim.freeze),
    )


def _batches(setup: Setup, first: int) -> Generator[Batch]:
    size = setup.config.train.batch
    rows = setup.placement.rows(size)
    depth = setup.config.data.prefetch
    return prefetch(lambda step: setup.train.batch(step, size, rows), first, depth)


def _writer(run: Run, history: History, first: int) -> Writer:
    setup, config = run.setup, run.setup.config
    length = setup.train.mean_length
    rows = setup.train.rows
    tokens = round(config.train.batch * rows * length)
    peak = flops.peak(jax.devices()[0].device_kind)
    seconds = rows * flops.training_flops(config, 1, length) / jax.device_count()
    return Writer(
        run.workdir,
        history,
        primary=jax.process_index() == 0,
        fetch=lambda said: {
            f"train/{name}": float(value)
            for name, value in jax.device_get(said.fetch()).items()
        },
        elapsed=run.goodput.elapsed,
        name=run.name,
        now=run.now,
        start=first,
        steps=config.train.steps,
        every=config.train.log_every,
        warmup=config.optim.warmup_steps,
        tokens_per_step=tokens,
        ideal_seconds=seconds / peak if peak else 0,
        batch=config.train.batch,
        examples=setup.train.num_examples if rules.is_task(config) else ENOUGH,
        untaught=UNTAUGHT[config.objective.kind in rules.PRETRAINING],
    )


def _clock(
    history: History, first: int, now: Callable[[], float]
) -> Callable[[], float]:
    """Seconds that the run has taken, those of the processes before this included."""
    steps, seconds = history.series(record.SECONDS)
    since = now() - max(seconds[steps <= first], default=0.0)
    return lambda: now() - since
