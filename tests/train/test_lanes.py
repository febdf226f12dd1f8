"""Runs trained by one step: each is what it would be by itself."""

import json
import signal
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from bert_jax.run import exits, rundir
from bert_jax.run.config import UsageError
from bert_jax.train import lanes, loop
from tests.running import (
    CHANGES,
    Started,
    final_state,
    metrics,
    reached,
    start_command,
    wait_until,
)

OWN = ({}, {"seed": 1}, {"seed": 1, "optim.learning_rate": 2e-3})


@pytest.fixture(scope="module")
def configs_of(tiny):
    """The configs of three lanes, with changes to all of them."""

    def of(changes):
        return [tiny({**CHANGES, **changes, **own}) for own in OWN]

    return of


@pytest.fixture(scope="module")
def alone(configs_of, straight, tmp_path_factory) -> list[Path]:
    """The same runs, each by itself."""
    folder = tmp_path_factory.mktemp("alone")
    others = [folder / "b", folder / "c"]
    for config, workdir in zip(configs_of({})[1:], others):
        assert loop.run(config, workdir) == exits.DONE
    return [straight, *others]


@pytest.fixture(scope="module")
def together(configs_of, tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("lanes")
    workdirs = [folder / name for name in "abc"]
    assert lanes.run(list(zip(configs_of({}), workdirs))) == exits.DONE
    return workdirs


def assert_close(workdir: Path, other: Path):
    """The same metrics at the same steps, and the same state, but for rounding."""
    found, expected = metrics(workdir), metrics(other)
    assert found.keys() == expected.keys()
    for step, values in expected.items():
        assert found[step].keys() == values.keys()
        for name, value in values.items():
            assert found[step][name] == pytest.approx(value, rel=1e-5, abs=1e-5), name
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5),
        final_state(workdir),
        final_state(other),
    )


def files(workdir: Path) -> set[str]:
    """What stands in a run's directory; TensorBoard's names hold the time."""
    kept = {path.relative_to(workdir) for path in workdir.rglob("*") if path.is_file()}
    return {str(path) for path in kept if path.parts[0] == "checkpoints"} | {
        path.parts[0] for path in kept
    }


def test_a_lane_is_the_run_by_itself(together, alone):
    for workdir, other in zip(together, alone, strict=True):
        assert_close(workdir, other)
        assert rundir.read(workdir, "config.json") == rundir.read(other, "config.json")
        names = {path.split("/d/")[0] for path in files(workdir)}
        assert names == {path.split("/d/")[0] for path in files(other)}
        result, expected = (
            rundir.read(each, rundir.RESULT) for each in (workdir, other)
        )
        assert result.keys() == expected.keys()
        for key in ("fingerprint", "steps", "tokens", "flops"):
            assert result[key] == expected[key]


def test_lanes_differ_as_their_seeds_and_rates_do(together):
    first, other, faster = (metrics(workdir) for workdir in together)
    assert first[0]["train/loss"] != other[0]["train/loss"]
    assert other[0]["train/loss"] == faster[0]["train/loss"]
    last = max(step for step in other if "train/lr" in other[step])
    assert faster[last]["train/lr"] == pytest.approx(
        other[last]["train/lr"] * 2e-3 / 1e-3
    )


def test_lanes_that_are_done_are_left_alone(together, configs_of, capsys):
    before = [(w / "metrics.jsonl").read_bytes() for w in together]
    assert lanes.run(list(zip(configs_of({}), together))) == exits.DONE
    assert capsys.readouterr().err.count("is done") == 3
    assert [(w / "metrics.jsonl").read_bytes() for w in together] == before


def begin(configs, folder: Path) -> tuple[Started, list[Path]]:
    """`launch.py train` of several runs, in a process of its own."""
    command, workdirs = ["train"], []
    for name, config in zip("abc", configs):
        (folder / f"{name}.json").write_text(json.dumps(config.to_dict()))
        workdirs.append(folder / name)
        command += [f"--config={folder / name}.json", f"--workdir={workdirs[-1]}"]
    return start_command(command, folder, {}), workdirs


def test_stopped_lanes_go_on_together_or_by_themselves(
    configs_of, together, alone, tmp_path
):
    process, workdirs = begin(configs_of({}), tmp_path)
    wait_until(partial(reached, workdirs[0], 4), process)
    process.send(signal.SIGTERM)
    code, said = process.end()
    assert code == exits.PREEMPTED, said
    assert not any((workdir / rundir.RESULT).exists() for workdir in workdirs)
    first, *others = configs_of({})
    assert loop.run(first, workdirs[0]) == exits.DONE
    assert lanes.run(list(zip(others, workdirs[1:]))) == exits.DONE
    for workdir, other in zip(workdirs, alone, strict=True):
        assert_close(workdir, other)


def test_a_lane_that_diverges_disturbs_no_other_of_its_device(
    configs_of, alone, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(lanes.jax, "local_device_count", lambda: 1)
    first, _, other = configs_of({})
    wild = configs_of({"optim.learning_rate": 1e30})[1]
    asked = list(zip((first, wild, other), (tmp_path / n for n in "abc")))
    assert lanes.run(asked) == exits.DIVERGED
    assert "b: train/loss is" in capsys.readouterr().err
    assert not (tmp_path / "b" / rundir.RESULT).exists()
    assert_close(tmp_path / "a", alone[0])
    assert_close(tmp_path / "c", alone[2])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.dropout": 0.2}, "differ in nothing but seed and optim.learning_rate"),
        ({"model.dropout": 0.2}, "model.dropout"),
        ({"parallel.mesh": "1x2x1"}, "a lane lives on one device"),
    ],
)
def test_runs_of_another_shape_are_refused_before_anything_is_written(
    tiny, tmp_path, changes, said
):
    asked = [(tiny({}), tmp_path / "a"), (tiny(changes), tmp_path / "b")]
    with pytest.raises(UsageError, match=said):
        lanes.run(asked[::-1] if "mesh" in str(changes) else asked)
    assert not list(tmp_path.iterdir())


def test_one_directory_for_two_lanes_is_refused(tiny, tmp_path):
    with pytest.raises(UsageError, match="two lanes have one --workdir"):
        lanes.check([(tiny({}), tmp_path), (tiny({"seed": 1}), tmp_path)])


def test_names_are_what_tells_the_directories_apart():
    assert lanes.names([Path("runs/a/seed_0/x"), Path("runs/a/seed_1/x")]) == [
        "seed_0/x",
        "seed_1/x",
    ]
    assert lanes.names([Path("runs/a")]) == [""]
