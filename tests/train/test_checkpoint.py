"""Checkpoints: what is verified, passed over, kept, and left by a failed save."""

import contextlib
import gc
import json
import logging
import resource
import shutil
import sys
import time
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from bert_jax.run import config as configs
from bert_jax.run import files, manifest, rundir
from bert_jax.run.config import UsageError
from bert_jax.train import array_writer, checkpoint, loop
from bert_jax.train.checkpoint import Checkpoints
from bert_jax.train.parallel import placement
from bert_jax.train.state import TrainState
from tests.running import STEPS, begin_run


def state(step: int) -> TrainState:
    params = {"layer": {"kernel": jnp.arange(4096.0) + step}}
    return TrainState(jnp.int32(step), params, {"mu": jnp.ones(16) * step})


def shapes() -> TrainState:
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device),
        state(0),
    )


@pytest.fixture
def run(tmp_path):
    """A directory that passes for a run."""
    begin_run(tmp_path, configs.load("configs/demo.py", {}))
    return tmp_path


@pytest.fixture
def saved(run):
    """The run, with steps 1, 2 and 3."""
    save(run, [1, 2, 3], keep_last=3)
    return run


def save(run, steps, *, keep_last=2, keep_every=0, keep_powers=False):
    checkpoints = Checkpoints(run, keep_last, keep_every, keep_powers)
    for step in steps:
        checkpoints.save(step, state(step))
    checkpoints.close()


def restored(run):
    """The step and the state that a new process would go on from; what it said."""
    said: list[str] = []
    checkpoints = Checkpoints(run, 3, 0, False)
    step = checkpoints.newest(said.append)
    found = None if step is None else checkpoints.restore(step, shapes())
    checkpoints.close()
    return step, found, said


def folder(run, step):
    return run / rundir.CHECKPOINTS / str(step)


def largest_file(run, step):
    files = [path for path in folder(run, step).rglob("*") if path.is_file()]
    return max(files, key=lambda path: path.stat().st_size)


def test_what_was_saved_comes_back_bit_for_bit(saved):
    step, found, said = restored(saved)
    assert (step, said) == (3, [])
    jax.tree.map(np.testing.assert_array_equal, found, state(3))


def everywhere(tree):
    """The tree, held by all eight devices."""
    mesh = placement.grid(jax.devices(), (8, 1, 1))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def test_small_arrays_of_eight_devices_are_saved_without_a_program_each(run):
    requests = []
    held = everywhere(state(1)._replace(params={"bias": jnp.arange(8 * 513.0)}))
    jax.monitoring.register_event_listener(lambda event, **_: requests.append(event))
    checkpoints = Checkpoints(run, 1, 0, False)
    checkpoints.save(1, held)
    checkpoints.close()
    assert "/jax/compilation_cache/compile_requests_use_cache" not in requests


def test_a_large_array_is_saved_by_eight_devices_and_comes_back_bit_for_bit(run):
    kernel = np.arange(8 * array_writer.SHARED // 4, dtype=np.float32)
    held = everywhere(state(1)._replace(params={"kernel": kernel}))
    checkpoints = Checkpoints(run, 1, 0, False)
    checkpoints.save(1, held)
    checkpoints.close()
    found = checkpoint.restore_alone(run, 1)
    np.testing.assert_array_equal(found["kernel"], kernel)


def test_one_flipped_bit_is_named_and_the_step_before_is_used(saved):
    path = largest_file(saved, 3)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    step, found, said = restored(saved)
    assert step == 2
    jax.tree.map(np.testing.assert_array_equal, found, state(2))
    assert len(said) == 1
    assert "checkpoints/3" in said[0]
    assert path.name in said[0]
    assert "does not match its sha256" in said[0]


def test_a_truncated_file_is_named_and_the_step_before_is_used(saved):
    path = largest_file(saved, 3)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    step, _, said = restored(saved)
    assert step == 2
    assert f"{path.name} has {size - 1} bytes instead of {size}" in said[0]


def test_a_missing_file_and_a_damaged_manifest_are_passed_over(saved):
    largest_file(saved, 3).unlink()
    (folder(saved, 2) / manifest.FILE).write_text("{")
    step, _, said = restored(saved)
    assert step == 1
    assert "is missing" in said[0]
    assert "manifest.json is not JSON" in said[1]


def test_a_save_that_never_finished_is_cleared_away(saved):
    (folder(saved, 3) / manifest.FILE).unlink()
    remains = saved / rundir.CHECKPOINTS / "4.orbax-checkpoint-tmp-7"
    remains.mkdir()
    step, _, _ = restored(saved)
    assert step == 2
    assert not remains.exists()
    assert not folder(saved, 3).exists()


def test_a_damaged_step_is_saved_again(saved):
    largest_file(saved, 3).write_bytes(b"")
    checkpoints = Checkpoints(saved, 3, 0, False)
    assert checkpoints.newest(lambda text: None) == 2
    checkpoints.save(3, state(3))
    checkpoints.close()
    assert manifest.fault(folder(saved, 3), rundir.began(saved)) == ""


def test_a_step_that_verifies_is_not_written_twice(saved):
    before = (folder(saved, 3) / manifest.FILE).stat().st_mtime_ns
    checkpoints = Checkpoints(saved, 3, 0, False)
    checkpoints.newest(lambda text: None)
    checkpoints.save(3, state(3))
    checkpoints.close()
    assert (folder(saved, 3) / manifest.FILE).stat().st_mtime_ns == before


def test_every_file_stands_in_the_manifest(saved):
    described = json.loads((folder(saved, 3) / manifest.FILE).read_text())
    present = {
        str(path.relative_to(folder(saved, 3)))
        for path in folder(saved, 3).rglob("*")
        if path.is_file()
    }
    assert described["files"].keys() == present - {manifest.FILE}


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ({"keep_last": 2}, [9, 10]),
        ({"keep_last": 1, "keep_every": 4}, [4, 8, 10]),
        ({"keep_last": 1, "keep_powers": True}, [0, 1, 2, 4, 8, 10]),
    ],
)
def test_what_is_kept(run, rule, kept):
    save(run, range(11), **rule)
    assert checkpoint.steps(run / rundir.CHECKPOINTS) == kept


def test_what_a_stop_saved_is_not_kept_for_good(tmp_path):
    given = {"save_every": "3", "keep_every": "2", "keep_last": "1"}
    config = configs.load(
        "configs/demo.py", {f"train.{k}": v for k, v in given.items()}
    )
    begun: Any = SimpleNamespace(workdir=tmp_path, setup=SimpleNamespace(config=config))
    with loop.opened(begun) as checkpoints:
        begin_run(tmp_path, config)
        for step in (0, 2, 3, 4, 6, 7):
            checkpoints.save(step, state(step))
    assert checkpoint.steps(tmp_path / rundir.CHECKPOINTS) == [6, 7]


def test_a_full_disk_leaves_the_last_good_step(saved, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    checkpoints = Checkpoints(saved, 1, 0, False)
    monkeypatch.setattr(files, "write_json", full)
    checkpoints.save(4, state(4))
    with pytest.raises(UsageError, match=r"no space left .*checkpoints/4: free some"):
        checkpoints.wait()
    monkeypatch.undo()
    checkpoints.close()
    assert checkpoint.steps(saved / rundir.CHECKPOINTS) == [1, 2, 3]
    assert restored(saved)[0] == 3


@pytest.mark.parametrize("fails", [True, False])
def test_threads_of_a_failed_save_stay_quiet(fails, saved, monkeypatch, caplog):
    """Found by a full disk: they printed tracebacks after the one line."""
    log = logging.getLogger("absl")
    monkeypatch.setattr(log, "filters", [])
    checkpoints = Checkpoints(saved, 1, 0, False)
    if fails:
        monkeypatch.setattr(files, "write_json", _raise_full)
    checkpoints.save(4, state(4))
    with pytest.raises(UsageError) if fails else contextlib.nullcontext():
        checkpoints.wait()
    checkpoints.close()
    log.error("a thread that was left behind fails")
    assert len(caplog.records) == (not fails)


def _raise_full(*_):
    raise OSError(28, "No space left on device")


def test_arrays_that_fail_beside_the_first_print_nothing(run, monkeypatch, caplog):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    many = {f"layer_{n}": jnp.arange(64.0) + n for n in range(64)}
    whole = TrainState(jnp.int32(0), many, {"mu": jnp.ones(16)})
    checkpoints = Checkpoints(run, 1, 0, False)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        checkpoints.save(0, whole)
        with pytest.raises(Exception, match="too large"):
            checkpoints.wait()
        with pytest.raises(OSError, match="too large"):
            checkpoints.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    time.sleep(0.5)  # what a closed event loop is told comes late
    gc.collect()  # and of a result that nobody took when it goes
    assert not unraisable and not caplog.records


def test_a_save_that_has_no_room_is_not_begun(saved, monkeypatch):
    checkpoints = Checkpoints(saved, 1, 0, False)
    usage = shutil.disk_usage(saved)._replace(free=16_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UsageError, match=r"checkpoints/4: it needs 0 MB and 0 MB are"):
        checkpoints.save(4, state(4))
    checkpoints.close()
    assert checkpoint.steps(saved / rundir.CHECKPOINTS) == [1, 2, 3]


def test_another_failure_of_the_background_is_not_swallowed(saved, monkeypatch):
    def broken(*_):
        raise PermissionError("no")

    checkpoints = Checkpoints(saved, 3, 0, False)
    monkeypatch.setattr(files, "write_json", broken)
    checkpoints.save(4, state(4))
    with pytest.raises(PermissionError):
        checkpoints.wait()
    monkeypatch.undo()
    checkpoints.close()


def test_a_run_or_one_of_its_steps_can_be_named(saved):
    assert checkpoint.locate(str(saved)) == (saved, 3)
    assert checkpoint.locate(str(folder(saved, 2))) == (saved, 2)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere", "nowhere is no run"),
        ("{run}/checkpoints/9", "kept no step 9; it has 1, 2, 3"),
    ],
)
def test_a_source_that_is_not_there_is_named(saved, source, said):
    with pytest.raises(UsageError, match=said):
        checkpoint.locate(source.format(run=saved))


def test_a_damaged_step_that_is_asked_for_is_refused(saved):
    largest_file(saved, 2).write_bytes(b"")
    with pytest.raises(UsageError, match=r"checkpoints/2: .* has 0 bytes"):
        checkpoint.locate(str(folder(saved, 2)))


def test_parameters_are_read_without_the_optimiser(saved):
    params = checkpoint.restore_params(saved, 2, shapes().params)
    np.testing.assert_array_equal(params["layer"]["kernel"], np.arange(4096) + 2)


def test_a_finished_run_is_read_at_its_end_alone(straight, tmp_path):
    """FAULTS 40: an older step would be another answer."""
    run = shutil.copytree(straight, tmp_path / "run")
    assert checkpoint.chosen(run, None) == STEPS
    (run / rundir.CHECKPOINTS / str(STEPS) / manifest.FILE).write_text("{}")
    with pytest.raises(UsageError, match=rf"checkpoints/{STEPS}: .*manifest.json"):
        checkpoint.chosen(run, None)
    assert checkpoint.chosen(run, STEPS - 3) == STEPS - 3
