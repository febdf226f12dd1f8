"""The verb `sweep`: what it starts, what it skips, and that no kill loses anything."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import launch
from bert_jax.run import config as configs
from bert_jax.run import exits, rundir
from bert_jax.run.config import UsageError
from bert_jax.sweep import inputs, main, plan, snapshot
from tests.sweep import checkout, pretending

ROOT = Path(__file__).parents[2]
STEPS = 8
ARMS = {"a": {}, "b": {"optim.learning_rate": 1e-4}}


@pytest.fixture
def experiment(tmp_path, tiny) -> Path:
    """Two arms of eight steps, with a task, on the text of conftest."""
    base = tiny({"train.steps": STEPS, "train.log_every": 10})
    (tmp_path / "base.json").write_text(configs.canonical(base))
    return write(tmp_path, ARMS, 1)


def write(folder: Path, arms: dict[str, dict[str, object]], seeds: int) -> Path:
    task = folder / "task.py"
    task.write_text(
        "from configs.finetune import topics\n"
        "def get_config():\n"
        "    config = topics.get_config()\n"
        f"    config.train.update(steps={STEPS}, log_every=10)\n"
        "    config.data.length = 32\n"
        "    return config\n"
    )
    return pretending.write_experiment(
        folder / "try.py",
        text="Why?",
        arms=arms,
        BASE=str(folder / "base.json"),
        METRIC="valid/mlm_loss",
        BASELINE="a",
        SEEDS=seeds,
        THEN={"task": str(task)},
    )


@pytest.fixture
def counting(tmp_path, monkeypatch) -> Path:
    """Runs count instead of training, on data that nobody reads; the root."""
    monkeypatch.setattr(snapshot, "ROOT", checkout.write(tmp_path, ROOT))
    monkeypatch.setattr(inputs, "prepare", lambda *_: None)
    return tmp_path / "runs"


def work(root: Path) -> dict[str, int]:
    """The steps that each run of the sweep took, those taken twice counted twice."""
    found = sorted((root / "try").rglob("*.work"))
    return {
        str(path.relative_to(root / "try")): len(path.read_text()) for path in found
    }


def results(root: Path) -> dict[Path, int]:
    """When each result was written."""
    return {p: p.stat().st_mtime_ns for p in (root / "try").rglob(rundir.RESULT)}


def test_a_sweep_runs_everything_once_and_then_nothing(experiment, counting, capfd):
    assert main.local(experiment, counting, 2, 1) == exits.DONE
    assert set(work(counting).values()) == {STEPS}
    before = results(counting)
    assert len(before) == 4
    assert main.local(experiment, counting, 2, 1) == exits.DONE
    assert results(counting) == before
    assert "4 runs ended: python launch.py report" in capfd.readouterr().err


def processes(root: Path) -> list[str]:
    """How many runs each process that was started had."""
    found = sorted((root / "try").rglob("pretrain.lanes"))
    return [line for path in found for line in path.read_text().split()]


def test_runs_of_one_shape_share_a_process(experiment, counting, capfd):
    write(experiment.parent, {**ARMS, "deep": {"model.num_layers": 3}}, 2)
    assert main.local(experiment, counting, 2, 3) == exits.DONE
    assert set(work(counting).values()) == {STEPS}
    # Arms a and b differ in their rate alone: four runs of one shape, two of another.
    assert processes(counting) == ["3", "1", "2"]
    message = capfd.readouterr().err
    assert "a/seed_0/pretrain and 2 beside it: begun" in message
    assert "12 runs ended" in message


def test_only_unfinished_lanes_run_again(experiment, counting):
    write(experiment.parent, ARMS, 2)
    main.local(experiment, counting, 1, 4)
    gone = counting / "try/b/seed_1/pretrain"
    shutil.rmtree(gone)
    gone.with_name("pretrain.work").unlink()
    assert main.local(experiment, counting, 1, 4) == exits.DONE
    assert processes(counting) == ["4", "1"]


def test_a_model_that_is_divided_has_no_lanes(experiment, counting):
    divided = {"parallel.mesh": "1x-1x1", "model.num_layers": 3}
    write(experiment.parent, {"a": {}, "b": divided}, 1)
    with pytest.raises(UsageError, match="a lane lives on one device"):
        main.local(experiment, counting, 1, 2)


def test_a_deleted_result_alone_is_made_again(experiment, counting):
    main.local(experiment, counting, 2, 1)
    before = results(counting)
    gone = counting / "try/b/seed_0/task"
    shutil.rmtree(gone)
    gone.with_name("task.work").unlink()
    assert main.local(experiment, counting, 2, 1) == exits.DONE
    after = results(counting)
    assert {p for p in after if after[p] != before[p]} == {gone / rundir.RESULT}


def test_more_arms_and_seeds_run_what_is_new(experiment, counting):
    main.local(experiment, counting, 2, 1)
    before = results(counting)
    write(experiment.parent, {**ARMS, "c": {"train.batch": 16}}, 2)
    assert main.local(experiment, counting, 2, 1) == exits.DONE
    after = results(counting)
    assert len(after) == 12
    assert {p: after[p] for p in before} == before


def test_another_root_is_another_sweep(experiment, counting, tmp_path):
    main.local(experiment, counting, 2, 1)
    assert main.local(experiment, tmp_path / "other", 2, 1) == exits.DONE
    assert len(results(tmp_path / "other")) == 4


def test_foreign_run_stops_the_launch(experiment, counting):
    folder, runs = main.resolve_runs(experiment, counting, 1)
    plan.freeze(folder, runs)
    pretending.finish(folder, runs[0], {"valid/mlm_loss": 3.0})
    shutil.copytree(folder / runs[0].name, folder / "b/seed_0/pretrain")
    with pytest.raises(UsageError, match="b/seed_0/pretrain holds another run"):
        main.local(experiment, counting, 1, 1)
    assert len(results(counting)) == 2


def test_two_launchers_at_once_are_one_too_many(experiment, counting):
    folder = counting / "try"
    folder.mkdir(parents=True)
    with (
        rundir.lease(folder, "--root"),
        pytest.raises(UsageError, match="try is being written by process .* --root"),
    ):
        main.local(experiment, counting, 1, 1)


def test_a_dry_run_writes_nothing(experiment, counting, capsys):
    assert main.dry_run(experiment, counting, 1, 0) == exits.DONE
    assert not counting.exists()
    message = capsys.readouterr().out
    assert "4 runs" in message
    assert "device hours" in message


def test_status_prints_every_run(experiment, counting, capsys):
    main.local(experiment, counting, 2, 1)
    shutil.rmtree(counting / "try/b/seed_0")
    assert main.status(experiment, counting) == exits.DONE
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["done", "done", "ready", "waiting"]


def test_failed_run_is_reported_with_its_last_line(experiment, counting, capfd):
    broken = (snapshot.ROOT / "launch.py").read_text()
    broken = broken.replace(
        "if stopped:",
        "if step == 2: sys.exit('no space left')\n            if stopped:",
    )
    (snapshot.ROOT / "launch.py").write_text(broken)
    assert main.local(experiment, counting, 2, 1) == main.FAILED
    message = capfd.readouterr().err
    assert "a/seed_0/pretrain: crashed with 1 after" in message
    assert "no space left" in message
    assert "4 of 4 runs did not end" in message


LAUNCHER = """\
import sys
from pathlib import Path
from bert_jax.sweep import inputs, main, snapshot
snapshot.ROOT = Path(sys.argv[3])
inputs.prepare = lambda *_: None
sys.exit(main.local(Path(sys.argv[1]), Path(sys.argv[2]), 2, 1))
"""


def test_killed_launcher_loses_and_repeats_no_run(experiment, counting):
    """Twenty times at random moments, in turn by SIGKILL, SIGTERM and SIGINT."""
    draw = random.Random(0)
    slow = {name: {**arm, "train.log_every": 400} for name, arm in ARMS.items()}
    write(experiment.parent, slow, 2)
    arguments = [str(experiment), str(counting), str(snapshot.ROOT)]
    command = [sys.executable, "-c", LAUNCHER, *arguments]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    killed = 0
    for number in range(20):
        process = subprocess.Popen(command, cwd=ROOT, env=environment, **quiet)
        time.sleep(draw.uniform(0.1, 1.0))
        process.send_signal([signal.SIGKILL, signal.SIGTERM, signal.SIGINT][number % 3])
        message = process.communicate()[1]
        killed += process.returncode != exits.DONE
        assert process.returncode in (-9, -15, 1, exits.PREEMPTED, exits.DONE, -2), (
            message
        )
        assert all(steps <= STEPS for steps in work(counting).values())
    assert killed >= 5
    done = subprocess.run(command, cwd=ROOT, env=environment, **quiet, check=False)
    assert done.returncode == exits.DONE, done.stderr
    assert len(results(counting)) == 8
    assert set(work(counting).values()) == {STEPS}


def test_a_sweep_trains_once_and_later_only_evaluates(experiment, tiny, tmp_path):
    """One arm, one seed, by the copied code; then rows are asked for that it lacks."""
    root = tmp_path / "runs"
    text = experiment.read_text().replace("THEN", "NO_THEN")
    experiment.write_text(text.replace(", 'b': {'optim.learning_rate': 0.0001}", ""))
    assert launch.main(["sweep", str(experiment), f"--root={root}"]) == exits.DONE
    workdir = root / "try/a/seed_0/pretrain"
    assert list(results(root)) == [workdir / rundir.RESULT]
    losses = rundir.read(workdir, rundir.RESULT)["metrics"]
    assert 3 < losses["valid/mlm_loss"] < 8
    began = rundir.read(workdir, rundir.RUN)
    assert began["versions"]["commit"] == plan.read(root / "try").code["commit"]

    saved = (workdir / rundir.CHECKPOINTS).stat().st_mtime_ns
    rows = {"eval.rows": "single,pair", "eval.length": 32}
    base = tiny({"train.steps": STEPS, "train.log_every": 10, **rows})
    (tmp_path / "base.json").write_text(configs.canonical(base))
    assert launch.main(["sweep", str(experiment), f"--root={root}"]) == exits.DONE
    result = rundir.read(workdir, rundir.RESULT)
    assert set(result["measured"]) == {"valid", "valid/single", "valid/pair"}
    unigram = [result["metrics"][f"valid/{r}/unigram_loss"] for r in ("single", "pair")]
    assert unigram[0] == unigram[1]
    assert (workdir / rundir.CHECKPOINTS).stat().st_mtime_ns == saved


def test_mistake_is_one_line_without_writes(tmp_path, capsys):
    root = tmp_path / "runs"
    arguments = ["sweep", str(tmp_path / "nothing.py"), f"--root={root}"]
    assert launch.main(arguments) == exits.USAGE
    message = capsys.readouterr().err
    assert message.endswith("is no experiment file: name one, experiments/X.py\n")
    assert not root.exists()
