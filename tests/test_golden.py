"""Runs that an earlier version wrote: read, continued and used by this one.

tests/golden/make.py says what the archives hold.
"""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import launch
from bert_jax.data import store
from bert_jax.run import exits, rundir
from bert_jax.sweep import main as sweeping
from bert_jax.train import checkpoint, evaluate, session

ARCHIVES = Path(__file__).parent / "golden"
FEW = Path("runs/masks/few/seed_0")
PRETRAINED, FINETUNED = FEW / "pretrain", FEW / "classify"
IMPORTED = Path("runs/imported")
RUNS = {PRETRAINED: 8, FINETUNED: 12}  # the last step of each
NAMES = ("pretrained", "finetuned", "imported")


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    for name in NAMES:
        with tarfile.open(ARCHIVES / f"{name}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def inside(unpacked, monkeypatch) -> Path:
    """The golden runs, in the working directory. For tests that change none."""
    monkeypatch.chdir(unpacked)
    return unpacked


@pytest.fixture
def copied(unpacked, tmp_path, monkeypatch) -> Path:
    """A copy of them in the working directory."""
    shutil.copytree(unpacked, tmp_path / "golden")
    monkeypatch.chdir(tmp_path / "golden")
    return tmp_path / "golden"


def expected(workdir: Path) -> dict[str, float]:
    """The metrics of a run that its result.json tells, but for norms and the clock."""
    metrics = json.loads((workdir / rundir.RESULT).read_text())["metrics"]
    return {
        name: value
        for name, value in metrics.items()
        if not name.startswith("time/") and name != "train/grad_norm"
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != rundir.LEASE
    }


def test_the_archives_are_small():
    sizes = [(ARCHIVES / f"{name}.tar.xz").stat().st_size for name in NAMES]
    assert sum(sizes) < 300_000


@pytest.mark.parametrize("workdir", RUNS, ids=str)
def test_golden_runs_are_done(workdir, inside, capsys):
    before = contents(workdir)
    assert launch.main(["train", f"--workdir={workdir}"]) == exits.DONE
    assert f"{workdir} is done: {RUNS[workdir]} steps" in capsys.readouterr().err
    assert contents(workdir) == before


@pytest.mark.parametrize("workdir", RUNS, ids=str)
def test_golden_runs_resume_from_half_way(workdir, copied, capsys):
    before, last = expected(workdir), RUNS[workdir]
    (workdir / rundir.RESULT).unlink()
    shutil.rmtree(workdir / rundir.CHECKPOINTS / str(last))
    assert launch.main(["train", f"--workdir={workdir}"]) == exits.DONE
    assert f"continuing from step {last // 2}" in capsys.readouterr().err
    after = expected(workdir)
    assert {name: after[name] for name in before} == pytest.approx(before, abs=1e-5)


@pytest.mark.parametrize("workdir", RUNS, ids=str)
def test_golden_runs_evaluate_to_their_results(workdir, inside):
    parts = session.reopen(workdir)
    step = checkpoint.chosen(workdir, None)
    params = checkpoint.restore_params(workdir, step, parts.param_shapes())
    function = evaluate.compiled(parts)
    found = {}
    for name in ("valid", "test") if parts.test else ("valid",):
        split = evaluate.split(parts, function, params, name, lambda: False)
        assert split is not None
        found |= split
    wanted = {k: v for k, v in expected(workdir).items() if not k.startswith("train/")}
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_golden_runs_predict_as_before(name, inside, capsys):
    for asked in json.loads(Path(f"expected/{name}.json").read_text()):
        assert launch.main(asked["arguments"]) == exits.DONE
        lines = capsys.readouterr().out.splitlines()
        assert [json.loads(line) for line in lines] == near(asked["lines"])


def near(value):
    """The JSON value, which equals another whose numbers differ by up to 1e-5."""
    if isinstance(value, dict):
        return {key: near(item) for key, item in value.items()}
    if isinstance(value, list):
        return [near(item) for item in value]
    return pytest.approx(value, abs=1e-5) if isinstance(value, float) else value


def test_a_golden_import_exports_what_was_imported(inside, tmp_path):
    target = tmp_path / "exported"
    code = launch.main(["export", f"--workdir={IMPORTED}", f"--to={target}"])
    assert code == exits.DONE
    ours, theirs = (
        load_file(folder / "model.safetensors") for folder in (target, Path("theirs"))
    )
    assert theirs.keys() <= ours.keys()
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array)


@pytest.mark.parametrize("workdir", RUNS, ids=str)
def test_golden_exports_are_imported_again(workdir, inside, tmp_path):
    target, again = tmp_path / "exported", tmp_path / "again"
    launch.main(["export", f"--workdir={workdir}", f"--to={target}"])
    code = launch.main(["import", f"--from={target}", f"--workdir={again}"])
    assert code == exits.DONE
    params, same = (
        checkpoint.restore_alone(run, checkpoint.chosen(run, None))
        for run in (workdir, again)
    )
    assert not checkpoint.differing(params, same)


def test_a_golden_experiment_is_reported(copied, capsys):
    assert launch.main(["report", "masks.py", "--root=runs"]) == exits.DONE
    told = Path("masks.csv").read_text()
    for arm in ("few", "many"):
        for seed in ("seed_0", "seed_1"):
            metrics = expected(Path("runs/masks") / arm / seed / "pretrain")
            assert str(metrics["valid/mlm_loss"]) in told


def test_a_golden_sweep_has_nothing_left_to_do(copied, capsys):
    before = contents(Path("runs"))
    # Imported above: submitit closes what handlers of logging write to.
    assert sweeping and launch.main(["sweep", "masks.py", "--root=runs"]) == exits.DONE
    assert "8 runs ended" in capsys.readouterr().err
    after = contents(Path("runs"))
    del before["runs/masks/plan.json"], after["runs/masks/plan.json"]  # has more keys
    assert after == before


def test_a_golden_store_is_opened(inside):
    opened = store.open("data_cache/9faf9d97eaf910b0")
    began = json.loads((PRETRAINED / rundir.RUN).read_text())
    assert opened.has_fingerprint(began["data"])
    assert opened.tokenizer.has_fingerprint(began["tokenizer"])
