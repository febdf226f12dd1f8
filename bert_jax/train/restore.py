"""The state that a run begins with: its own newest, its parent's weights, or new ones."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bert_jax.data.tokenizer import Tokenizer
from bert_jax.models.network import SIZED
from bert_jax.run import config as configs
from bert_jax.run import lineage, record, rundir
from bert_jax.run.config import UsageError
from bert_jax.tasks.dataset import Dataset
from bert_jax.train import checkpoint, optim, state
from bert_jax.train.checkpoint import Checkpoints
from bert_jax.train.setup import Setup

Say = Callable[[str], None]


def restore_or_init(
    setup: Setup, checkpoints: Checkpoints, say: Say
) -> tuple[state.TrainState, int]:
    """The state, on the devices, and the step to go on from. Raises UsageError."""
    place, shapes = setup.placement, setup.shapes()
    step = checkpoints.newest(say)
    checkpoints.rewind(step, say)
    if step is not None:
        say(f"continuing from step {step}")
        return place.local(checkpoints.restore(step, shapes)), step
    if setup.config.init_state:
        return _continued(setup, say)
    if not setup.config.init_from:
        return setup.begun(_initialised(setup)), 0
    params = _inherited(setup, shapes.params, say)
    return setup.begun(state.adopt(params, setup.optimiser, place.shardings)), 0


def _initialised(setup: Setup) -> state.TrainState:
    create = setup.objective.init, setup.optimiser, setup.config.seed
    return state.initialise(*create, setup.placement.shardings)


def _continued(setup: Setup, say: Say) -> tuple[state.TrainState, int]:
    """The state that the parent had, to be trained for more steps."""
    config, source, at = setup.config, *_located(setup.config)
    _check_vocabulary(source, setup.data.tokenizer)
    theirs = configs.scheduled(record.read(source).config, setup.train.num_examples)
    lineage.check_lengthens(config, theirs, source, at)
    shapes, where = setup.shapes(), f"{source} at step {at}"
    checkpoint.require_state(source, at)
    saved = checkpoint.param_shapes(source, at)
    checkpoint.check_params(saved, shapes.params, where)
    _check_labels(source, set(saved), setup.data)
    skips = setup.sharded(state.no_skips()) if _skips(theirs) else ()
    found = checkpoint.restore_state(source, at, shapes._replace(skips=skips))
    say(
        f"going on from {where}, optimiser and all: the learning rate is "
        f"{_rate(config, at):.3g} there; the parent's last was {_rate(theirs, at - 1):.3g}"
    )
    counted = _skips(theirs) and _skips(config)
    return (setup.placement.local(found) if counted else setup.begun(found)), at


def _skips(config: Any) -> bool:
    return config.train.on_nonfinite == "skip"


def _rate(config: Any, step: int) -> float:
    """The learning rate of the update at a step."""
    rate = optim.schedule(config.optim, config.train.steps)
    return float(rate(max(step, 0), config.optim.learning_rate))


def _located(config: Any) -> tuple[Path, int]:
    """The run and the step that init_from names. A run alone is the best step of its
    parameters, or to train on from its state the newest."""
    run, step = rundir.source(config.init_from)
    if config.init_state and step is None:
        newest = checkpoint.newest(run / rundir.CHECKPOINTS, print)
        if newest is None:
            raise UsageError(f"{run} has no checkpoint to go on from")
        return checkpoint.locate(f"{run / rundir.CHECKPOINTS / str(newest)}")
    return checkpoint.locate(config.init_from)


def _inherited(setup: Setup, wanted: Any, say: Say) -> Any:
    """The parameters that `init_from` names, those of `init_leave` and heads that it
    lacks initialised."""
    source, at = _located(setup.config)
    _check_vocabulary(source, setup.data.tokenizer)
    saved = checkpoint.param_shapes(source, at)
    asked = _asked(wanted, setup.config.init_leave)
    _check_labels(source, saved.keys() & asked.keys(), setup.data)
    shared = checkpoint.shared(saved, asked, f"{source} at step {at}") if asked else []
    fresh = [name for name in wanted if name not in shared]
    left = [name for name in saved if name not in shared]
    say(
        f"starting from {source}, step {at}: loaded {', '.join(shared) or 'nothing'}; "
        f"initialised {', '.join(fresh) or 'nothing'}; "
        f"left over {', '.join(left) or 'nothing'}"
    )
    if shared:
        _warn_of_positions(source, setup.config, say)
    made = _initialised(setup).params if fresh else {}
    if not shared:
        return made
    loaded = checkpoint.read_params(source, at, setup.sharded(saved))
    return {name: (loaded if name in shared else made)[name] for name in wanted}


def _asked(wanted: Any, leave: str) -> dict[str, Any]:
    """The groups of parameters that the parent is asked for."""
    try:
        asked = {n: v for n, v in wanted.items() if not (leave and re.search(leave, n))}
    except re.error as error:
        raise UsageError(f"init_leave = {leave!r} is no regex: {error}") from error
    if leave and len(asked) == len(wanted):
        raise UsageError(f"init_leave = {leave!r} matches none of {', '.join(wanted)}")
    return asked


def _check_vocabulary(source: Path, tokenizer: Tokenizer) -> None:
    if not tokenizer.has_fingerprint(record.read(source).run["tokenizer"]):
        raise UsageError(
            f"{source} has another vocabulary than this run, so its token table means "
            f"other tokens: set --config.tokenizer.path={source / rundir.TOKENIZER}"
        )


def _check_labels(source: Path, groups: set[str], data: Any) -> None:
    """Refuse a head whose classes mean something else."""
    heads = sorted(groups & SIZED)
    if not heads or not isinstance(data, Dataset):
        return
    theirs = record.read(source).run.get("labels", [])
    if list(data.labels) != list(theirs):
        raise UsageError(
            f"the {heads[0]} of {source} was trained on the labels "
            f"{', '.join(theirs) or 'unknown'}, but these data have "
            f"{', '.join(data.labels) or 'none'}: state them in that order with "
            f"--config.task.labels, or start without it: --config.init_leave={heads[0]}"
        )


def _warn_of_positions(source: Path, config: Any, say: Say) -> None:
    seen = record.read(source).config.data.length
    learned = config.model.positions == "learned"
    if learned and config.data.length > seen:
        say(
            f"warning: {source} was trained on {seen} tokens: its positions from there "
            f"to data.length={config.data.length} have learned nothing yet"
        )


def parent(config: Any, workdir: Path) -> str:
    """The identity of the run and step that `init_from` names, "" for none.

    A run that has begun knows its parent, which may be gone by now but not be another.
    All hosts must ask: which step it is, they agree on.
    """
    if not config.init_from:
        return ""
    began = rundir.is_run(workdir) and rundir.began(workdir)["parent"]
    if began and not rundir.source(config.init_from)[0].exists():
        return began
    run, step = _located(config)
    now = f"{rundir.began(run)['fingerprint']}/{step}"
    if began and began != now:
        raise UsageError(
            f"{workdir} began from {began} (run/step), and init_from={config.init_from} "
            f"is {now} by now: name the step, or choose another --workdir"
        )
    return now
