"""The whole loop on a shrunken config: what it writes, stops, resumes and refuses."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from bert_jax import checkpoint, rundir, setup, stop, train
from bert_jax import config as configs
from bert_jax.config import UsageError
from bert_jax.writer import Writer

ROOT = Path(__file__).parents[1]
STEPS = 24
CHANGES = {
    "train.steps": STEPS,
    "train.save_every": 3,
    "eval.every": 6,
    "model.dropout": 0.1,
    "model.attention_dropout": 0.1,
}


@pytest.fixture(scope="module")
def config(tiny):
    return tiny(CHANGES)


@pytest.fixture(scope="module")
def straight(config, tmp_path_factory):
    """The run that nothing interrupts."""
    workdir = tmp_path_factory.mktemp("runs") / "straight"
    assert train.run(config, workdir) == stop.DONE
    return workdir


def final_state(workdir: Path):
    """Everything in the newest checkpoint, as numpy."""
    parts = setup.reopen(workdir)
    checkpoints = checkpoint.Checkpoints(workdir, 3, 0, False)
    step = checkpoints.newest(print)
    assert step is not None
    state = jax.device_get(checkpoints.restore(step, parts.shapes()))
    checkpoints.close()
    return state


def metrics(workdir: Path):
    """metrics.jsonl without what depends on the clock."""
    return {
        step: {k: v for k, v in values.items() if not k.startswith("time/")}
        for step, values in rundir.read_metrics(workdir).items()
    }


def assert_same_run(workdir: Path, other: Path):
    """Parameters, optimiser and metrics, bit for bit."""
    jax.tree.map(
        np.testing.assert_array_equal, final_state(workdir), final_state(other)
    )
    assert metrics(workdir) == metrics(other)


def start(config, workdir: Path, **environment: str) -> subprocess.Popen:
    """`launch.py train` in a process of its own."""
    path = workdir.with_suffix(".json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(configs.canonical(config))
    command = [sys.executable, "launch.py", "train", f"--config={path}"]
    return subprocess.Popen(
        [*command, f"--workdir={workdir}"],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two_hosts(config, workdir: Path, devices: int) -> list[subprocess.Popen]:
    """Two processes of one run, each with its own simulated devices."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    return [
        start(
            config,
            workdir,
            JAX_COORDINATOR_ADDRESS=f"localhost:{port}",
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=str(number),
            XLA_FLAGS=f"--xla_force_host_platform_device_count={devices}",
        )
        for number in range(2)
    ]


def wait_until(done, process: subprocess.Popen):
    """Looks often, and gives up when the process has ended."""
    while not done() and process.poll() is None:
        time.sleep(0.002)


def logged(workdir: Path) -> int:
    """The last step in metrics.jsonl, -1 before there is one."""
    return max(rundir.read_metrics(workdir), default=-1)


def reached(workdir: Path, step: int) -> bool:
    return logged(workdir) >= step


def test_a_run_directory_holds_what_the_design_says(straight, config):
    names = {path.name for path in straight.iterdir()} - {rundir.LEASE}
    assert names == {
        "config.json",
        "run.json",
        "tokenizer.json",
        "metrics.jsonl",
        "checkpoints",
        "tensorboard",
        "result.json",
    }
    assert (straight / "config.json").read_text() == configs.canonical(config)
    facts = json.loads((straight / "run.json").read_text())
    assert facts["fingerprint"] == configs.fingerprint(config, "")
    assert facts.keys() >= {
        "data",
        "tokenizer",
        "versions",
        "devices",
        "seed",
        "parent",
    }
    result = json.loads((straight / "result.json").read_text())
    assert (result["steps"], result["tokens"]) == (STEPS, STEPS * 8 * 32)
    assert result["flops"] > 0 < result["seconds"]
    assert result["metrics"]["valid/mlm_loss"] > 0


def test_metrics_have_their_names(straight):
    log = rundir.read_metrics(straight)
    assert log[4].keys() >= {"train/loss", "train/mlm_loss", "train/pair_loss"}
    assert log[4].keys() >= {"train/grad_norm", "train/lr", "time/step_ms"}
    assert log[STEPS].keys() >= {
        "valid/mlm_loss",
        "valid/mlm_accuracy",
        "valid/pair_accuracy",
        "valid/unigram_loss",
    }
    assert sorted(step for step, row in log.items() if "valid/mlm_loss" in row) == [
        6,
        12,
        18,
        24,
    ]


def test_the_loss_falls(straight):
    log = rundir.read_metrics(straight)
    assert log[STEPS]["valid/mlm_loss"] < log[6]["valid/mlm_loss"]


def test_the_last_checkpoints_are_kept(straight):
    assert checkpoint.steps(straight / "checkpoints") == [18, 21, 24]


def test_a_finished_run_is_left_alone(straight, config, capsys):
    before = (straight / "metrics.jsonl").read_bytes()
    assert train.run(config, straight) == stop.DONE
    assert "is done" in capsys.readouterr().err
    assert (straight / "metrics.jsonl").read_bytes() == before


def test_the_same_seed_gives_the_same_run_and_another_gives_another(
    straight, tiny, config, tmp_path
):
    assert train.run(config, tmp_path / "again") == stop.DONE
    assert_same_run(tmp_path / "again", straight)
    assert train.run(tiny({**CHANGES, "seed": 1}), tmp_path / "other") == stop.DONE
    assert metrics(tmp_path / "other") != metrics(straight)


def test_each_signal_saves_and_the_same_command_continues(straight, config, tmp_path):
    workdir = tmp_path / "run"
    for number, step in (signal.SIGTERM, 4), (signal.SIGINT, 10), (signal.SIGUSR1, 16):
        process = start(config, workdir)
        wait_until(partial(reached, workdir, step), process)
        process.send_signal(number)
        _, said = process.communicate()
        assert process.returncode == stop.PREEMPTED, said
        assert "the same command continues" in said
        assert ("continuing from step" in said) == (number != signal.SIGTERM)
        assert not (workdir / "result.json").exists()
    process = start(config, workdir)
    _, said = process.communicate()
    assert process.returncode == stop.DONE, said
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
            killed_in_a_save += process.poll() is None
        else:
            target = logged(workdir) + draw.randint(0, 3)
            wait_until(partial(reached, workdir, target), process)
            time.sleep(draw.uniform(0, 0.1))
        process.kill()
        process.communicate()
        if (workdir / "result.json").exists():
            break
    assert killed_in_a_save
    assert train.run(config, workdir) == stop.DONE
    assert_same_run(workdir, straight)


def test_what_four_devices_saved_goes_on_with_one_two_and_eight(tiny, tmp_path):
    def on(devices: int, workdir: Path):
        train.run(tiny({**CHANGES, "parallel.mesh": f"{devices}x1x1"}), workdir)
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


@pytest.mark.parametrize("placement", ["jit", "pmap"])
def test_two_hosts_give_the_losses_of_one(placement, tiny, tmp_path):
    changes = {**CHANGES, "parallel.placement": placement, "train.steps": 6}
    alone = tiny({**changes, "parallel.mesh": "4x1x1"})
    train.run(alone, tmp_path / "alone")
    together = tiny({**changes, "parallel.mesh": "-1x1x1"})
    processes = start_two_hosts(together, tmp_path / "together", devices=2)
    said = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    found = metrics(tmp_path / "together")
    for step, row in metrics(tmp_path / "alone").items():
        assert found[step] == pytest.approx(row, rel=1e-5), step


def test_a_signal_to_one_host_stops_both(tiny, tmp_path):
    config = tiny({**CHANGES, "parallel.mesh": "-1x1x1", "train.steps": 2000})
    processes = start_two_hosts(config, tmp_path / "run", devices=1)
    wait_until(lambda: logged(tmp_path / "run") >= 2, processes[0])
    processes[1].send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [75, 75], said
    assert checkpoint.newest(tmp_path / "run" / "checkpoints", print) is not None


def test_every_config_trains_when_shrunk(tiny, tmp_path):
    """Those that differ in size alone are the same run by then: it is done once."""
    files = sorted((ROOT / "configs").rglob("*.py"))
    distinct = {configs.canonical(tiny({}, str(file))): file for file in files}
    assert 1 < len(distinct) < len(files)
    for file in distinct.values():
        assert train.run(tiny({}, str(file)), tmp_path / file.stem) == stop.DONE


def test_phase_two_starts_from_the_parameters_of_phase_one(straight, tiny, tmp_path):
    changes = {"data.length": 48, "train.steps": 2, "optim.warmup_steps": 1}
    config = tiny({"init_from": straight, **changes})
    assert train.run(config, tmp_path / "two") == stop.DONE
    facts = rundir.read(tmp_path / "two", rundir.RUN)
    parent = rundir.read(straight, rundir.RUN)["fingerprint"]
    assert facts["parent"] == f"{parent}/{STEPS}"
    first = rundir.read_metrics(tmp_path / "two")[0]
    fresh = rundir.read_metrics(straight)[0]
    assert first["train/mlm_loss"] < fresh["train/mlm_loss"]
    assert first["train/lr"] == 0.0


def test_a_model_of_another_shape_is_not_started_from(straight, tiny, tmp_path):
    config = tiny({"init_from": straight, "model.mlp_dim": 64})
    with pytest.raises(UsageError, match="other parameters than this config"):
        train.run(config, tmp_path / "run")
    assert not checkpoint.steps(tmp_path / "run" / "checkpoints")


def test_step_zero_and_the_powers_of_two_are_kept_for_good(tiny, tmp_path):
    config = tiny({"train.keep_powers": "true", "train.keep_last": 1})
    assert train.run(config, tmp_path / "run") == stop.DONE
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [0, 1, 2, 4, 6]


def test_a_loss_that_is_no_number_ends_the_run_and_spares_the_checkpoints(
    tiny, tmp_path
):
    config = tiny(
        {
            "optim.learning_rate": 1e38,
            "optim.clip_norm": 0,
            "optim.warmup_steps": 4,
            "train.steps": 12,
            "train.save_every": 1,
        }
    )
    assert train.run(config, tmp_path / "run") == stop.DIVERGED
    newest = checkpoint.newest(tmp_path / "run" / "checkpoints", print)
    assert newest is not None
    log = rundir.read_metrics(tmp_path / "run")
    assert not np.isfinite(log[max(log)]["train/loss"])
    state = final_state(tmp_path / "run")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_config_that_changed_is_shown_and_refused(straight, tiny):
    changed = tiny({**CHANGES, "optim.learning_rate": 0.5, "seed": 3})
    with pytest.raises(UsageError) as error:
        train.run(changed, straight)
    assert "optim.learning_rate: 0.002 -> 0.5" in str(error.value)
    assert "seed: 0 -> 3" in str(error.value)


def test_how_a_run_is_executed_may_change(straight, tiny):
    changed = tiny({**CHANGES, "train.log_every": 2, "data.prefetch": 1})
    assert train.run(changed, straight) == stop.DONE


def test_data_that_changed_are_refused(config, tiny, story, straight, tmp_path):
    folder, workdir = tmp_path / "story", tmp_path / "run"
    shutil.copytree(story, folder)
    own = tiny({**CHANGES, "data.files": folder, "train.steps": 3})
    assert train.run(own, workdir) == stop.DONE
    (workdir / "result.json").unlink()
    with (folder / "00.txt").open("a") as file:
        file.write("The king found a red stone.\n")
    with pytest.raises(UsageError, match=r"the data changed since .* began"):
        train.run(own, workdir)


def test_a_vocabulary_of_another_size_than_the_model_is_refused(tiny, tmp_path):
    with pytest.raises(
        UsageError, match="model.vocab_size is 300 but the tokenizer has"
    ):
        train.run(tiny({"model.vocab_size": 300}), tmp_path / "run")
    assert not rundir.is_run(tmp_path / "run")


def test_fewer_examples_than_a_batch_are_refused(tiny, tmp_path):
    with pytest.raises(UsageError, match="fewer than a batch of 100000"):
        train.run(tiny({"train.batch": 100_000}), tmp_path / "run")
    assert not rundir.is_run(tmp_path / "run")


def test_two_processes_on_one_directory(config, tmp_path):
    (tmp_path / "run").mkdir()
    with (
        rundir.lease(tmp_path / "run"),
        pytest.raises(UsageError, match=f"being written by process {os.getpid()}"),
    ):
        train.run(config, tmp_path / "run")


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
        train.run(config, workdir)
    monkeypatch.undo()
    assert train.run(config, workdir) == stop.DONE
