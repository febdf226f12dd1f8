"""Stopped by signals, kills and crashes, a run ends as if nothing had happened."""

import json
import os
import random
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from bert_jax.run import exits, history, rundir
from bert_jax.run.config import UsageError
from bert_jax.train import loop
from bert_jax.train.writer import Writer
from tests.running import (
    CHANGES,
    SHALLOW,
    assert_same_run,
    logged,
    metrics,
    reached,
    start,
    unchecked,
    wait_until,
)


def test_a_finished_run_is_left_alone(straight, config, capsys):
    before = (straight / "metrics.jsonl").read_bytes()
    assert loop.run(config, straight) == exits.DONE
    assert "is done" in capsys.readouterr().err
    assert (straight / "metrics.jsonl").read_bytes() == before


def test_each_signal_saves_and_the_same_command_continues(straight, config, tmp_path):
    workdir = tmp_path / "run"
    for number, step in (signal.SIGTERM, 4), (signal.SIGINT, 10), (signal.SIGUSR1, 16):
        process = start(config, workdir)
        wait_until(partial(reached, workdir, step), process)
        process.send(number)
        code, said = process.end()
        assert code == exits.PREEMPTED, said
        assert "the same command continues" in said
        assert ("continuing from step" in said) == (number != signal.SIGTERM)
        assert not (workdir / "result.json").exists()
    process = start(config, workdir)
    code, said = process.end()
    assert code == exits.DONE, said
    assert_same_run(workdir, straight)


def test_killed_ten_times_also_while_saving_it_ends_the_same(
    straight, config, tmp_path
):
    workdir = tmp_path / "run"
    draw = random.Random(0)
    folder, killed_in_a_save = workdir / "checkpoints", 0
    for kill in range(10):
        process = start(config, workdir)
        if kill % 2:
            wait_until(lambda: any(folder.glob("*.orbax-checkpoint-tmp*")), process)
            killed_in_a_save += process.is_running()
        else:
            target = logged(workdir) + draw.randint(0, 3)
            wait_until(partial(reached, workdir, target), process)
            time.sleep(draw.uniform(0, 0.1))
        process.send(signal.SIGKILL)
        process.end()
        if (workdir / "result.json").exists():
            break
    assert killed_in_a_save
    assert loop.run(config, workdir) == exits.DONE
    assert_same_run(workdir, straight)


def test_what_four_devices_saved_goes_on_with_one_two_and_eight(tiny, tmp_path):
    def on(devices: int, workdir: Path):
        loop.run(tiny({**SHALLOW, "parallel.mesh": f"{devices}x1x1"}), workdir)
        return metrics(workdir)

    expected = on(4, tmp_path / "four")
    for devices in (1, 2, 8):
        workdir = tmp_path / str(devices)
        shutil.copytree(tmp_path / "four", workdir)
        (workdir / "result.json").unlink()
        shutil.rmtree(workdir / "checkpoints" / "21")
        shutil.rmtree(workdir / "checkpoints" / "24")
        lines = (workdir / "metrics.jsonl").read_text().splitlines(keepends=True)
        kept = [line for line in lines if before(line, 18)]
        (workdir / "metrics.jsonl").write_text("".join(kept))
        found = on(devices, workdir)
        assert found.keys() == expected.keys()
        for step, row in expected.items():
            assert found[step] == pytest.approx(row, rel=1e-5), (devices, step)


def before(line: str, step: int) -> bool:
    return json.loads(line)["step"] <= step


def test_a_config_that_changed_is_shown_and_refused(straight, tiny):
    changed = tiny({**CHANGES, "optim.learning_rate": 0.5, "seed": 3})
    with pytest.raises(UsageError) as error:
        loop.run(changed, straight)
    assert "optim.learning_rate: 0.001 -> 0.5" in str(error.value)
    assert "seed: 0 -> 3" in str(error.value)


def test_how_a_run_is_executed_may_change(straight, tiny):
    changed = tiny({**CHANGES, "train.log_every": 2, "data.prefetch": 1})
    assert loop.run(changed, straight) == exits.DONE


def test_a_run_from_before_a_key_existed_continues(straight, config, tmp_path):
    workdir = shutil.copytree(straight, tmp_path / "run")
    old = config.to_dict()
    del old["objective"]["pair_weight"]
    (workdir / rundir.CONFIG).write_text(json.dumps(old))
    for name in (rundir.RUN, rundir.RESULT):
        unchecked(workdir / name)
    assert loop.run(config, workdir) == exits.DONE


def test_data_that_changed_are_refused(config, tiny, story, straight, tmp_path):
    folder, workdir = tmp_path / "story", tmp_path / "run"
    shutil.copytree(story, folder)
    own = tiny({**CHANGES, "data.files": folder, "train.steps": 3})
    assert loop.run(own, workdir) == exits.DONE
    (workdir / "result.json").unlink()
    with (folder / "00.txt").open("a") as file:
        file.write("The king found a red stone.\n")
    with pytest.raises(UsageError, match=r"the data changed since .* began"):
        loop.run(own, workdir)


def test_two_processes_on_one_directory(config, tmp_path):
    (tmp_path / "run").mkdir()
    with (
        rundir.lease(tmp_path / "run", "--workdir"),
        pytest.raises(UsageError, match=f"being written by process {os.getpid()}"),
    ):
        loop.run(config, tmp_path / "run")


def test_what_is_written_is_flushed_before_a_crash(config, tmp_path, monkeypatch):
    """A bug in the loop leaves a run that continues."""
    workdir = tmp_path / "run"
    later = Writer.later

    def crash(self, step, metrics):
        later(self, step, metrics)
        if step == 7:
            raise RuntimeError("a bug")

    monkeypatch.setattr(Writer, "later", crash)
    with pytest.raises(RuntimeError):
        loop.run(config, workdir)
    monkeypatch.undo()
    read, found = history.read, []
    monkeypatch.setattr(history, "read", lambda path: found.append(path) or read(path))
    assert loop.run(config, workdir) == exits.DONE
    # FAULTS 53: once to go on, and once for the result.
    assert found == [workdir / rundir.METRICS] * 2
