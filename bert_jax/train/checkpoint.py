"""Checkpoints by orbax, each with a manifest that we verify.

Orbax commits by rename; a step without a manifest is a save that never finished.
"""

import contextlib
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from bert_jax.run import best, history, manifest, record, rundir
from bert_jax.run.config import UsageError
from bert_jax.run.rundir import Began, steps
from bert_jax.train import array_writer
from bert_jax.train.optim import path_name
from bert_jax.train.state import TrainState, not_finite


class Damaged(UsageError):
    """A checkpoint is not what was saved."""


def newest(directory: Path, say: Callable[[str], None]) -> int | None:
    """The newest step of which all verifies, metrics.jsonl up to it included; each one
    passed over is named through `say`.

    Process 0 looks, and every host gets its answer. Raises Damaged if there are steps
    and none verifies: what is to become of them is for a person to say.
    """
    return _newest(directory, manifest.fault, say)


def _newest(
    directory: Path, fault: Callable[[Path, Began], str], say: Callable[[str], None]
) -> int | None:
    found = -1
    if jax.process_index() == 0:
        found = _newest_verified(directory, fault, say)
    if jax.process_count() > 1:
        found = int(multihost_utils.broadcast_one_to_all(np.int32(found)))
    return None if found < 0 else found


def _newest_verified(
    directory: Path, fault: Callable[[Path, Began], str], say: Callable[[str], None]
) -> int:
    kept = steps(directory)
    if not kept:
        return -1
    run, reason = rundir.began(directory.parent), ""
    for step in reversed(kept):
        reason = fault(directory / str(step), run)
        if not reason:
            return step
        if step != kept[0]:
            say(f"passing over checkpoint {directory / str(step)}: {reason}")
    raise Damaged(
        f"{directory.parent} has no checkpoint that verifies: "
        f"{directory / str(kept[0])}: {reason}. Restore one from a copy, or remove "
        f"{directory} to begin anew"
    )


def locate(source: str) -> tuple[Path, int]:
    """`RUN` or `RUN/checkpoints/STEP` -> the run and the step, checked.

    A run alone means its best or newest checkpoint, as of `chosen`. Raises UsageError.
    """
    run, step = rundir.source(source)
    record.read(run)
    return run, chosen(run, step)


def chosen(run: Path, step: int | None) -> int:
    """The step to read parameters of: the one asked for, or else the best of a run that
    keeps it, or the last of one that has ended, which must verify; of a run that goes on
    the newest that verifies. Raises UsageError."""
    kept = steps(run / rundir.CHECKPOINTS)
    if step is None and (found := _best(run, kept)) in kept:
        step = found
    if step is None and (run / rundir.RESULT).is_file():
        step = int(rundir.read(run, rundir.RESULT)["steps"])
    if step is None:
        step = _newest(run / rundir.CHECKPOINTS, manifest.params_fault, _warn)
        if step is None:
            raise UsageError(f"{run} has no checkpoint that verifies")
        return step
    if step not in kept:
        raise UsageError(
            f"{run} kept no step {step}; it has {', '.join(map(str, kept)) or 'none'}"
        )
    folder = run / rundir.CHECKPOINTS / str(step)
    if reason := manifest.params_fault(folder, rundir.began(run)):
        raise Damaged(f"checkpoint {folder}: {reason}")
    return step


def _warn(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def require_state(run: Path, step: int) -> None:
    """Refuse to train on from a step of which not all verifies. Raises Damaged."""
    folder = run / rundir.CHECKPOINTS / str(step)
    if reason := manifest.fault(folder, rundir.began(run)):
        raise Damaged(f"checkpoint {folder}: {reason}")


def _best(run: Path, kept: list[int]) -> int | None:
    """The best step, which metrics.jsonl tells: it must be what the newest saw."""
    step = best.run_step(run)
    if step is not None and kept:
        folder = run / rundir.CHECKPOINTS / str(kept[-1])
        if reason := manifest.metrics_fault(folder):
            raise UsageError(f"{run}: {reason}, since {folder} was saved: restore it")
    return step


def restore_params(run: Path, step: int, shapes: Any) -> Any:
    """The parameters of one checkpoint, in the tree, types and shardings of `shapes`.

    Raises UsageError if they are other parameters than those.
    """
    check_params(param_shapes(run, step), shapes, f"{run} at step {step}")
    return read_params(run, step, shapes)


def read_params(run: Path, step: int, shapes: Any) -> Any:
    """`restore_params` where the shapes are known to be those that were saved."""
    args = ocp.args.Composite(params=ocp.args.StandardRestore(shapes))
    params = _read(run, step, args)["params"]
    _check_finite(params, _absolute(run, step))
    return params


def restore_state(run: Path, step: int, shapes: TrainState) -> TrainState:
    """Restore a verified checkpoint in the tree and the shardings of `shapes`. Raises
    UsageError if it is not finite."""
    args = ocp.args.Composite(
        params=ocp.args.StandardRestore(shapes.params),
        rest=ocp.args.StandardRestore(_rest(shapes)),
    )
    loaded = _read(run, step, args)
    rest = loaded["rest"]
    if int(rest["step"]) != step:
        raise Damaged(f"checkpoint {_absolute(run, step)} is of step {rest['step']}")
    _check_finite((loaded["params"], rest), _absolute(run, step))
    return TrainState(params=loaded["params"], **{"skips": ()} | rest)


def _read(run: Path, step: int, args: ocp.args.Composite) -> Any:
    with manifest.quiet(), ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
        return reader.restore(_absolute(run, step), args=args)


def _check_finite(tree: Any, checkpoint: Path) -> None:
    """Refuse what was saved of a run that had diverged."""
    if name := not_finite(tree):
        raise UsageError(
            f"checkpoint {checkpoint}: {name} holds numbers that are not finite: the run "
            "had diverged. Use an earlier step; to train on, remove this one"
        )


def restore_alone(run: Path, step: int) -> Any:
    """Restore the parameters of a checkpoint on one device."""
    return read_params(run, step, on_one_device(param_shapes(run, step)))


def on_one_device(shapes: Any) -> Any:
    """The shapes, each with a sharding that puts it there."""
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device),
        shapes,
    )


def shared(saved: Any, wanted: Any, source: str) -> list[str]:
    """The groups (encoder, pooler, ...) that a run can take over from another.

    The encoder must be there and all groups of one name alike. Raises UsageError.
    """
    groups = [name for name in wanted if name in saved or name == "encoder"]
    before = {name: saved[name] for name in groups if name in saved}
    check_params(before, {name: wanted[name] for name in groups}, source)
    return groups


def check_params(saved: Any, wanted: Any, source: str) -> None:
    """Refuse parameters of other names or shapes than those that are wanted."""
    if different := differing(saved, wanted):
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        raise UsageError(
            f"{source} holds other parameters than this config: "
            f"{'; '.join(different[:3])}{more}"
        )


def param_shapes(run: Path, step: int) -> Any:
    """The tree of one checkpoint's parameters, shapes and types for arrays."""
    source = _absolute(run, step) / "params"
    with manifest.quiet():
        saved = ocp.StandardCheckpointHandler().metadata(source).tree  # pyright: ignore[reportArgumentType]
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), saved)


def differing(saved: Any, wanted: Any) -> list[str]:
    """`path: saved shape -> wanted shape` of what is not the same in both trees."""
    before, after = _shapes(saved), _shapes(wanted)
    return [
        f"{name}: {before.get(name, 'absent')} -> {after.get(name, 'absent')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {path_name(path): tuple(leaf.shape) for path, leaf in leaves}


def _absolute(run: Path, step: int) -> Path:
    return (run / rundir.CHECKPOINTS / str(step)).absolute()


class Checkpoints:
    """The checkpoints of the run that is being written.

    Saving is asynchronous: the arrays are copied off the device, then files, fsync,
    manifest and pruning follow in the background. One save at a time; an error of the
    background is raised by the next call of `save` or `wait`.
    """

    def __init__(self, run: Path, keep_last: int, keep_every: int, keep_powers: bool):
        self._run, self._directory = run, run / rundir.CHECKPOINTS
        self._keep_last, self._keep_every = keep_last, keep_every
        self._keep_powers = keep_powers
        self.best: int | None = None  # a step that is never pruned
        self._quiet = contextlib.ExitStack()
        self._quiet.enter_context(manifest.quiet())
        self._writer = array_writer.make()
        self._thread = ThreadPoolExecutor(1)
        self._pending: Future | None = None
        self._failed = False
        self._verified: set[int] = set()
        if jax.process_index() == 0:
            manifest.remove_unfinished(self._directory)

    def newest(self, say: Callable[[str], None]) -> int | None:
        """The newest step of which all verifies, metrics.jsonl up to it included."""
        if jax.process_index() == 0 and (kept := steps(self._directory)):
            folder = self._directory / str(kept[-1])
            if manifest.metrics_fault(folder):  # may be no more than a line too many
                history.repair(self._run / rundir.METRICS, say)
        step = newest(self._directory, say)
        self._verified |= set() if step is None else {step}
        return step

    def rewind(self, step: int | None, say: Callable[[str], None]) -> None:
        """Cut metrics.jsonl back to what it was at a step, None for before the first:
        what follows is repeated, and may be what a crash left."""
        ended = (self._run / rundir.RESULT).exists()
        if ended or jax.process_index() > 0 or not rundir.is_run(self._run):
            return
        path, folder = self._run / rundir.METRICS, self._directory / str(step)
        size = 0 if step is None else manifest.metrics_bytes(folder)
        if size is None:
            history.repair(path, say)
        else:
            history.rewind(path, size, say)

    def restore(self, step: int, shapes: TrainState) -> TrainState:
        """The state of a verified step, as of `restore_state`."""
        return restore_state(self._run, step, shapes)

    def save(self, step: int, state: TrainState) -> None:
        """Begin to save; nothing to do if this step was saved or verified before."""
        if step in self._verified:
            return
        self.wait()
        target = _absolute(self._run, step)
        manifest.require_room(
            target, sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        )
        args = ocp.args.Composite(
            params=ocp.args.StandardSave(state.params),
            rest=ocp.args.StandardSave(_rest(state)),
        )
        with manifest.naming(target):
            self._writer.save(target, args=args, force=True)  # over a damaged one
        written = record.flushed(self._run / rundir.METRICS)
        self._pending = self._thread.submit(self._finish, step, target, written)
        self._verified.add(step)

    def wait(self) -> None:
        """Return when the last save is whole on disk; raise what went wrong with it."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            self._failed = True
            pending.result()
            self._failed = False

    def close(self) -> None:
        """Wait and release the writer, whose threads stay quiet after a failed save."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()
            self._writer.close()
            if not self._failed:
                self._quiet.close()

    def _finish(self, step: int, target: Path, metrics_bytes: int) -> None:
        with manifest.naming(target):
            self._writer.wait_until_finished()
            if jax.process_index() == 0:
                fingerprint = rundir.began(self._run)["fingerprint"]
                manifest.write(target, fingerprint, metrics_bytes)
                self._prune(step)

    def _prune(self, newest: int) -> None:
        present = [step for step in steps(self._directory) if step <= newest]
        for step in present[: -self._keep_last]:
            if not self._kept_for_good(step):
                shutil.rmtree(self._directory / str(step))

    def _kept_for_good(self, step: int) -> bool:
        every = step > 0 and self._keep_every and step % self._keep_every == 0
        power = self._keep_powers and is_power(step)
        return bool(every) or power or step == self.best


def is_power(step: int) -> bool:
    """Whether the step is 0 or a power of two."""
    return step & (step - 1) == 0


def _rest(state: TrainState) -> dict:
    skips = {"skips": state.skips} if state.skips else {}
    return {"step": state.step, "opt_state": state.opt_state, **skips}
