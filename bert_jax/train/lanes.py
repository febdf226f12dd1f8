"""Lanes: runs that differ in their seed and learning rate, trained by one step.

Their states lie side by side along a leading axis, over which the step is vmapped, and
are spread over the devices: the small models of an ablation leave a large one idle.
Each lane goes through the loop as a run by itself does, with its own directory.
"""

import contextlib
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict, FrozenConfigDict

from bert_jax.data.pipeline import Batch
from bert_jax.run import config as configs
from bert_jax.run import exits, mesh, record, rules, rundir
from bert_jax.run.config import UsageError
from bert_jax.run.exits import Stopping
from bert_jax.train import finished, loop, session, state
from bert_jax.train.goodput import Goodput, SharedClock
from bert_jax.train.parallel import compile_cache, placement
from bert_jax.train.setup import Parts, build, sibling
from bert_jax.train.state import TrainState
from bert_jax.train.training import Metrics

Asked = tuple[FrozenConfigDict, Path]  # the config and the directory of a run


def run(asked: Sequence[Asked]) -> int:
    """Train these runs together, each until its last step or a signal; the exit code.

    It is PREEMPTED if any was stopped, or else DIVERGED if any diverged: the others go
    on without it. A run may be continued by itself, or in other company. Raises
    UsageError.
    """
    placement.join_hosts()
    check(asked)
    with contextlib.ExitStack() as stack:
        parents = [session.hold(stack, *each) for each in asked]
        left = [(*each, p) for each, p in zip(asked, parents) if p is not None]
        if not left:
            return exits.DONE
        stack.enter_context(compile_cache.kept(Path(left[0][0].data.cache)))
        runs, clock = _prepared(left)
        stopping = stack.enter_context(Stopping(placement.any_host))
        done = [each for each in runs if record.is_done(each.workdir, each.identity)]
        ended = [finished.evaluate_rows(each, stopping) for each in done]
        if not (runs := [each for each in runs if each not in done]):
            return worst(ended)
        clock.lanes = len(runs)
        session.say(f"{len(runs)} lanes: {', '.join(each.name for each in runs)}")
        return worst([*ended, *loop.train(stack, runs, Together, stopping)])


def _prepared(
    left: Sequence[tuple[FrozenConfigDict, Path, str]],
) -> tuple[list[session.Run], SharedClock]:
    """Runs, each given by its config, directory and parent, and what they cost."""
    clock = SharedClock(len(left))
    goodputs = [Goodput(workdir, clock) for _, workdir, _ in left]
    config, workdir, _ = left[0]
    first = build(_on_one_device(config), workdir)
    lanes = names([workdir for _, workdir, _ in left])
    runs = [
        session.Run(
            *each, sibling(first, _on_one_device(each[0])), name, clock, goodput
        )
        for each, name, goodput in zip(left, lanes, goodputs)
    ]
    return runs, clock


def check(asked: Sequence[Asked]) -> None:
    """Refuse runs that one step cannot train together."""
    if jax.process_count() > 1:
        raise UsageError("lanes live on the devices of one host: this run has several")
    folders = [workdir.resolve() for _, workdir in asked]
    if len(set(folders)) < len(folders):
        raise UsageError("two lanes have one --workdir")
    config, workdir = asked[0]
    if rules.is_task(config):
        raise UsageError("lanes are pretraining runs: the batches of a task differ")
    mesh.check_lane(config.parallel.mesh)
    shape = configs.shape(config)
    for other, folder in asked[1:]:
        if changed := rundir.differences(shape, configs.shape(other)):
            raise UsageError(
                f"{workdir} and {folder} cannot be lanes of one step, which differ in "
                f"nothing but {' and '.join(configs.LANES)}: {'; '.join(changed)}"
            )


def _on_one_device(config: FrozenConfigDict) -> FrozenConfigDict:
    full = ConfigDict(config.to_dict())
    full.parallel.update(placement="jit", mesh="1x1x1")
    return FrozenConfigDict(full)


def names(workdirs: Sequence[Path]) -> list[str]:
    """Names of the lanes: their directories without the common prefix."""
    if len(workdirs) == 1:
        return [""]
    common = os.path.commonpath(workdirs)
    return [str(workdir.relative_to(common)) for workdir in workdirs]


class Together:
    """The states of runs of one shape, and the step that updates all of them."""

    def __init__(self, setups: Sequence[Parts], states: Sequence[TrainState]):
        count = len(states)
        most = min(count, jax.local_device_count())
        spread = max(n for n in range(1, most + 1) if count % n == 0)
        self._each, self._devices = count // spread, jax.local_devices()[:spread]
        devices = Mesh(np.array(self._devices), ("lanes",))
        self._sharding = NamedSharding(devices, P("lanes"))
        self._home = setups[0].placement.shardings(states[0])
        self._states = self._stack(states)
        self._scalars = self._put([state.scalars(setup.config) for setup in setups])
        # What a lane computes needs no other: nothing is sent between devices.
        lanes = jax.shard_map(
            jax.vmap(loop.step_of(setups[0])),
            mesh=devices,
            in_specs=P("lanes"),
            out_specs=P("lanes"),
            check_vma=False,
        )
        self._step = jax.jit(lanes, donate_argnums=0)
        self._metrics: dict[str, Any] = {}

    def step(self, batches: list[Batch]) -> list[Metrics]:
        """Update every lane; a lane without a batch takes another's."""
        some = next(batch for batch in batches if batch)
        batches = [batch or some for batch in batches]
        self._states, metrics = self._step(
            self._states, self._put(batches), self._scalars
        )
        self._metrics = metrics

        # Once for all lanes: an element taken on the devices is a program's run.
        @functools.cache
        def fetched() -> dict[str, np.ndarray]:
            return jax.device_get(metrics)

        def of(lane: int) -> dict[str, np.ndarray]:
            return {name: value[lane] for name, value in fetched().items()}

        return [functools.partial(of, lane) for lane in range(len(batches))]

    def state(self, lane: int) -> TrainState:
        """The state of a lane as it is now, where a run by itself has its own."""
        device, place = divmod(lane, self._each)
        shards = jax.tree.map(
            lambda leaf: leaf.addressable_shards[device].data, self._states
        )
        return jax.device_put(_lane(shards, place), self._home)

    def is_idle(self) -> bool:
        return not self._metrics or self._metrics["loss"].is_ready()

    def _stack(self, states: Sequence[TrainState]) -> TrainState:
        """Stack arrays on the device that holds them, so that no device holds all."""
        shards = []
        for number, device in enumerate(self._devices):
            local = states[number * self._each : (number + 1) * self._each]
            shards.append(_stacked([jax.device_put(each, device) for each in local]))

        def join(*parts):
            shape = (len(states), *parts[0].shape[1:])
            return jax.make_array_from_single_device_arrays(
                shape, self._sharding, list(parts)
            )

        return jax.tree.map(join, *shards)

    def _put(self, parts: Sequence[dict]) -> dict:
        """Host arrays of each lane, on the devices of their lanes."""
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *parts)
        return jax.device_put(stacked, self._sharding)


@jax.jit
def _stacked(trees: list) -> TrainState:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@jax.jit
def _lane(tree: TrainState, place: int) -> TrainState:
    return jax.tree.map(lambda leaf: leaf[place], tree)


def worst(codes: Sequence[int]) -> int:
    """The exit code of a process with several lanes: the worst of theirs."""
    order = (exits.PREEMPTED, exits.DIVERGED)
    return next((code for code in order if code in codes), exits.DONE)
