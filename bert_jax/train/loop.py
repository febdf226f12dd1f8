"""The loop. A run is a config and a directory; the same command continues it."""

import contextlib
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import FrozenConfigDict

from bert_jax.data.pipeline import Batch
from bert_jax.run import config as configs
from bert_jax.run import exits, record, rundir
from bert_jax.run.exits import Stopping
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
from bert_jax.train.goodput import Goodput, SharedClock
from bert_jax.train.parallel import compile_cache, placement
from bert_jax.train.session import Run
from bert_jax.train.setup import Parts, Setup, build
from bert_jax.train.state import TrainState
from bert_jax.train.step import make_step
from bert_jax.train.training import Metrics, Runner, Training
from bert_jax.train.watchdog import Watchdog


def run(config: FrozenConfigDict, workdir: Path) -> int:
    """Train until the last step or a signal; the exit code says which.

    An existing run is continued if its config, data and tokenizer are these; a
    finished one is left alone. Raises UsageError.
    """
    placement.join_hosts()
    clock = SharedClock(1)
    goodput = Goodput(workdir, clock)
    with contextlib.ExitStack() as stack:
        parent = session.hold(stack, config, workdir)
        if parent is None:
            return exits.DONE
        stack.enter_context(compile_cache.kept(Path(config.data.cache)))
        setup = build(config, workdir)
        mine = Run(config, workdir, parent, setup, "", clock, goodput)
        stopping = stack.enter_context(Stopping(placement.any_host))
        if record.is_done(workdir, mine.identity):
            return finished.evaluate_rows(mine, stopping)
        return train(stack, [mine], Single, stopping)[0]


def train(
    stack: contextlib.ExitStack,
    runs: Sequence[Run],
    make_runner: Callable[[list[Setup], list[TrainState]], Runner],
    stopping: Callable[[], bool],
) -> list[int]:
    """Begin or continue runs, whose directories are held, and take them through the
    loop; their exit codes. The stack closes what they open."""
    stores = [stack.enter_context(opened(run)) for run in runs]
    session.announce(runs[0])
    runner, firsts = _restored(runs, stores, make_runner)
    evaluation = evaluate.compiled(runs[0].setup)
    seconds = max(run.config.train.watchdog for run in runs)
    watchdog = stack.enter_context(Watchdog([run.workdir for run in runs], seconds))
    training = [
        stack.enter_context(
            contextlib.closing(Training(*each, runner, lane, evaluation))
        )
        for lane, each in enumerate(zip(runs, stores, firsts))
    ]
    loop(training, runner, watchdog.feeding(stopping))
    return [run.code for run in training if run.code is not None]


def loop(
    runs: Sequence[Training], runner: Runner, stopping: Callable[[], bool]
) -> None:
    """Take runs side by side from their first step to their end.

    The order is fixed: evaluate, save, draw, step. A run that ends leaves its place to
    a batch that nobody looks at: the others go on in the program that was compiled.
    """
    while active := [run for run in runs if run.code is None]:
        for run in active:
            with run.diverging():
                train = run.config.train
                last, stop = run.step == train.steps, stopping()
                if last or every(run.config.eval.every, run.step):
                    stop = stop or not run.evaluate(last, stopping)
                last = last or run.is_out_of_patience()
                if last and not stop:
                    run.check_finite(run.step)
                if last or stop or is_save_due(train, run.step):
                    run.save()
                if last or stop:
                    run.finish(stop, stopping)
                else:
                    run.draw()

        if active := [run for run in active if run.code is None]:
            metrics = runner.step([run.batch for run in runs])
        for run in active:
            with run.diverging():
                run.record(metrics[run.lane])


def every(period: int, step: int) -> bool:
    return step > 0 and step % period == 0


def is_save_due(train: Any, step: int) -> bool:
    power = train.keep_powers and checkpoint.is_power(step)
    return power or every(train.save_every, step)


class Single:
    """The runner of one run, whose placement says how devices share it."""

    def __init__(self, setups: list[Setup], states: list[TrainState]):
        (setup,), (self._state,) = setups, states
        self._placement, self._scalars = setup.placement, state.scalars(setup.config)
        self._step = setup.placement.step(step_of(setup))
        self._metrics: dict[str, Any] = {}

    def step(self, batches: list[Batch]) -> list[Metrics]:
        batch = self._placement.batch(batches[0])
        self._state, self._metrics = self._step(self._state, batch, self._scalars)
        return [functools.partial(jax.device_get, self._metrics)]

    def state(self, lane: int) -> TrainState:
        return self._state

    def is_idle(self) -> bool:
        return not self._metrics or self._metrics["loss"].is_ready()


def step_of(parts: Parts) -> Callable:
    """The update of a run, not yet placed."""
    config = parts.config
    return make_step(
        parts.objective,
        parts.optimiser,
        optim.schedule(config.optim, config.train.steps),
        config.train.accumulate,
        parts.placement.psum,
        optim.matches(config.optim.freeze),
    )


def opened(run: Run) -> contextlib.closing[Checkpoints]:
    """The checkpoints of a run. Raises UsageError if its data changed since it began,
    or, of a run that has not begun, if its warm-up would not end."""
    if rundir.is_run(run.workdir):
        session.check_data(run.workdir, run.setup.data)
    else:
        configs.check_warmup(run.setup.config)
    train = run.setup.config.train
    # Not for good what was saved because the run was stopped there.
    keep_every = math.lcm(train.keep_every, train.save_every)
    keep = train.keep_last, keep_every, train.keep_powers
    return contextlib.closing(Checkpoints(run.workdir, *keep))


def _restored(
    runs: Sequence[Run],
    stores: Sequence[Checkpoints],
    make_runner: Callable[[list[Setup], list[TrainState]], Runner],
) -> tuple[Runner, list[int]]:
    """The runner of what the runs go on from, and the step of each."""
    restored = [
        restore.restore_or_init(run.setup, store, run.say)
        for run, store in zip(runs, stores)
    ]
    states = [current for current, _ in restored]
    runner = make_runner([run.setup for run in runs], states)
    return runner, [first for _, first in restored]
