"""A run in training: its state in this process, and the actions between two steps."""

import contextlib
import math
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, Protocol

import jax

from bert_jax.data.pipeline import Batch, prefetch
from bert_jax.run import best, exits, flops, record, rules, rundir
from bert_jax.run.history import History
from bert_jax.train import checkpoint, evaluate, session
from bert_jax.train.checkpoint import Checkpoints
from bert_jax.train.evaluate import Stopping
from bert_jax.train.goodput import describe
from bert_jax.train.session import Run
from bert_jax.train.setup import Setup
from bert_jax.train.state import TrainState
from bert_jax.train.writer import Diverged, Writer

ENOUGH = 64  # rows of text: masks of so many miss all words by no accident
UNTAUGHT = {
    True: "nothing of this text can be predicted. Are its words all [UNK], which "
    "launch.py prepare tells, or longer than data.length?",
    False: "no example has a label that could be learned",
}
Metrics = Callable[[], Mapping[str, Any]]  # those of a step, fetched when called


class Runner(Protocol):
    """Holds the states of runs and updates them: of one run, or of lanes, which are
    runs trained together by one vmapped step."""

    def step(self, batches: list[Batch]) -> list[Metrics]:
        """Update every run by its batch."""
        ...

    def state(self, lane: int) -> TrainState:
        """The state of a run as it is now."""
        ...

    def is_idle(self) -> bool:
        """Whether the devices have done all steps that they were given."""
        ...


class Training:
    """A run on its way through the loop, at `step`, which is not done yet.

    lane: its place in the runner. batch: that of the step. code: None until it ends.
    """

    def __init__(
        self,
        run: Run,
        checkpoints: Checkpoints,
        first: int,
        runner: Runner,
        lane: int,
        evaluation: Callable,
    ):
        session.begin(run)
        self.config, self.step, self.lane = run.setup.config, first, lane
        self.batch: Batch = {}
        self.code: int | None = None
        self._run, self._setup, self._first = run, run.setup, first
        self._checkpoints, self._runner = checkpoints, runner
        self._evaluation, self._goodput = evaluation, run.goodput
        self._history = rundir.read_metrics(run.workdir)
        self._stack = contextlib.ExitStack()
        self._batches = _batches(run.setup, first)
        self._stack.callback(self._batches.close)
        self._writer = self._stack.enter_context(_writer(run, self._history, first))
        self._seconds = _seconds(self._history, first, run.clock)
        self._goodput.resume(self._history.get(first, {}))

    def close(self) -> None:
        """End the thread of batches and the writer."""
        self._stack.close()

    @contextlib.contextmanager
    def diverging(self) -> Iterator[None]:
        """End the run in this block where its numbers are no longer finite."""
        try:
            yield
        except Diverged as error:
            self.close()
            self._run.say(str(error))
            self._end(exits.DIVERGED)

    def evaluate(self, last: bool, stopping: Stopping) -> bool:
        """Evaluate what this step lacks; False if asked to stop meanwhile."""
        left = evaluate.left(self._setup, self._history.get(self.step, {}), last)
        if not left:
            return True
        self._writer.flush()
        self._goodput.enter("evaluation")
        given = self._setup, self._evaluation, self._state().params
        found = evaluate.of_prefixes(*given, left, stopping)
        self._record(self.step, found)
        self._goodput.enter("step")
        return found is not None

    def is_out_of_patience(self) -> bool:
        return best.is_patience_exhausted(self.config, self._history, self.step)

    def check_finite(self, step: int) -> None:
        """Raise Diverged if the run would end with an evaluation, that of a step, which
        is not finite."""
        for name, value in self._history.get(step, {}).items():
            if name.startswith(("valid/", "test/")) and not math.isfinite(value):
                self._writer.write(self.step, {rundir.FINITE: 0.0})
                raise Diverged(
                    f"{name} is {value} where the run would end, at step {self.step}"
                )

    def save(self) -> None:
        """Save a checkpoint of this step, and write what the run has cost up to it."""
        self._writer.flush()
        self._goodput.enter("save")
        state = self._state()
        skipped = {"train/skipped": int(state.skips["all"])} if state.skips else {}
        spent = {record.SECONDS: self._seconds(), **self._goodput.metrics()}
        self._writer.write(self.step, spent | skipped)
        self._checkpoints.best = best.step(self.config, self._history, self.step)
        self._checkpoints.save(self.step, self._setup.placement.stored(state))
        self._goodput.enter("step")

    def draw(self) -> None:
        """Wait for the batch of this step."""
        self._goodput.enter("data_wait")
        self.batch = next(self._batches)
        self._goodput.enter_step(idle=self._runner.is_idle())
        if self.step == self._first:
            self._goodput.enter("compile")

    def record(self, metrics: Metrics) -> None:
        """Take the metrics of this step, and go on to the next."""
        self._writer.later(self.step, metrics)
        if self.step == self._first:
            self._goodput.enter("step")
        self.step += 1

    def finish(self, stopped: bool, stopping: Stopping) -> None:
        """End the run after its last save: tested and with a result, unless stopped."""
        self._goodput.enter("save")
        self._checkpoints.wait()
        stopped = stopped or not self._test(stopping)
        if stopped:
            text = f"stopped and saved at step {self.step}; the same command continues"
        else:
            self.check_finite(self._chosen())
            text = describe(self._goodput.seconds())
        self._run.say(text)
        self.close()
        if not stopped and jax.process_index() == 0:
            session.write_result(self._run, self.step)
        self._end(exits.PREEMPTED if stopped else exits.DONE)

    def _end(self, code: int) -> None:
        self.code = code
        self._run.clock.leave()

    def _test(self, stopping: Stopping) -> bool:
        """Evaluate the test set at the chosen step; False if asked to stop meanwhile."""
        chosen = self._chosen()
        metrics = self._history.get(chosen, {})
        if not self._setup.test or any(name.startswith("test/") for name in metrics):
            return True
        self._goodput.enter("evaluation")
        given = self._setup, self._evaluation, self._params(chosen)
        found = evaluate.split(*given, "test", stopping)
        self._record(chosen, found)
        return found is not None

    def _chosen(self) -> int:
        """The step whose metrics the run ends with."""
        chosen = best.step(self.config, self._history, self.step)
        return self.step if chosen is None else chosen

    def _params(self, step: int) -> Any:
        """The parameters of this step or an earlier one, on the devices."""
        if step == self.step:
            return self._state().params
        shapes = self._setup.param_shapes()
        params = checkpoint.restore_params(self._run.workdir, step, shapes)
        return self._setup.placement.local(params)

    def _state(self) -> TrainState:
        return self._runner.state(self.lane)

    def _record(self, step: int, found: dict[str, float] | None) -> None:
        if found is not None:
            self._writer.write(step, found)
            self._history.add(step, found)


def _batches(setup: Setup, first: int) -> Generator[Batch]:
    size = setup.config.train.batch
    rows = setup.placement.rows(size)
    depth = setup.config.data.prefetch
    return prefetch(lambda step: setup.train.batch(step, size, rows), first, depth)


def _fetched(metrics: Metrics) -> dict[str, float]:
    return {f"train/{name}": float(value) for name, value in metrics().items()}


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
        fetch=_fetched,
        elapsed=run.goodput.elapsed,
        name=run.name,
        now=run.clock,
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


def _seconds(
    history: History, first: int, now: Callable[[], float]
) -> Callable[[], float]:
    """Seconds that the run has taken, those of the processes before this included."""
    steps, seconds = history.series(record.SECONDS)
    since = now() - max(seconds[steps <= first], default=0.0)
    return lambda: now() - since
