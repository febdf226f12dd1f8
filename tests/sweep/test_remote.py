"""Runs that are handed to a cluster: what is handed over, and to whom."""

from pathlib import Path

import pytest
import yaml

import launch
from bert_jax.run import config as configs
from bert_jax.run import exits
from bert_jax.run.config import UsageError
from bert_jax.sweep import inputs, plan, remote, snapshot
from bert_jax.sweep.cluster import slurm
from bert_jax.sweep.cluster.task import RunTask
from tests.sweep import checkout, pretending

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "configs/cluster/example.toml"


@pytest.fixture
def experiment(tmp_path, tiny, monkeypatch) -> Path:
    """Two arms, two seeds, a task; nothing is read and nothing copied but three files."""
    monkeypatch.setattr(snapshot, "ROOT", checkout.write(tmp_path, ROOT))
    monkeypatch.setattr(inputs, "prepare", lambda *_: None)
    (tmp_path / "base.json").write_text(configs.canonical(tiny({})))
    return pretending.write_experiment(
        tmp_path / "try.py",
        text="Why?",
        arms={"a": {}, "b": {"optim.learning_rate": 1e-4}},
        BASE=str(tmp_path / "base.json"),
        METRIC="valid/mlm_loss",
        BASELINE="a",
        SEEDS=2,
        THEN={"sst2": str(ROOT / "configs/finetune/sst2.py")},
    )


@pytest.fixture
def cluster(tmp_path) -> Path:
    """A profile whose volume is the test's own folder, of one device a run."""
    text = EXAMPLE.read_text().replace("/mnt/bert", str(tmp_path))
    text = text.replace("hosts = 2", "hosts = 1").replace("_host = 4", "_host = 1")
    text = text.replace('topology = "2x4"', 'topology = ""')
    (tmp_path / "cluster.toml").write_text(text)
    return tmp_path / "cluster.toml"


@pytest.fixture
def submitted(monkeypatch) -> list[tuple]:
    """What SLURM was given."""
    given = []

    def submit(chains, code, folder, profile, name):
        (folder / slurm.RECORDS).mkdir(exist_ok=True)
        given.append(([[task.name for task in c] for c in chains], code, name))
        return "submitted"

    monkeypatch.setattr(slurm, "submit", submit)
    return given


def sweep(experiment: Path, *options: str) -> int:
    root = experiment.parent / "runs"
    return launch.main(["sweep", str(experiment), f"--root={root}", *options])


def test_slurm_gets_unfinished_chains(experiment, cluster, submitted):
    folder = experiment.parent / "runs/try"
    assert sweep(experiment, "--on=slurm", f"--cluster={cluster}") == exits.DONE
    for run in plan.read(folder).runs[:3]:
        score = {"valid/mlm_loss": 3.0, "test/accuracy": 0.5}
        pretending.finish(folder, run, score)
    assert sweep(experiment, "--on=slurm", f"--cluster={cluster}") == exits.DONE
    every = [
        [f"{arm}/seed_{seed}/{stage}" for stage in ("pretrain", "sst2")]
        for arm in "ab"
        for seed in (0, 1)
    ]
    assert submitted == [
        (every, folder / "code", "try"),
        (every[1:], folder / "code", "try"),
    ]
    assert (folder / "a/seed_0/pretrain.json").is_file()


def test_status_shows_states_and_queue(
    experiment, cluster, submitted, monkeypatch, capsys
):
    sweep(experiment, "--on=slurm", f"--cluster={cluster}")
    known = {"a/seed_0": "running on n1", "b/seed_1": "queued (Resources)"}
    monkeypatch.setattr(slurm, "status", lambda folder, name: known)
    monkeypatch.setattr(remote.shutil, "which", lambda name: name)
    capsys.readouterr()
    assert sweep(experiment, "--status") == exits.DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split(maxsplit=1)[1].strip() == "running on n1"
    assert lines[2].split()[1] == "ready"
    assert "queued (Resources)" in lines[-2]
    assert lines[-1].split()[1] == "waiting"


def test_cancelling_says_how_many(experiment, cluster, submitted, monkeypatch, capsys):
    sweep(experiment, "--on=slurm", f"--cluster={cluster}")
    monkeypatch.setattr(slurm, "cancel", lambda folder, name: 3)
    assert sweep(experiment, "--cancel") == exits.DONE
    assert "3 jobs cancelled" in capsys.readouterr().out


def test_kubernetes_manifest_has_one_jobset_per_chain(
    experiment, cluster, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # in the volume
    assert sweep(experiment, "--on=kubernetes", f"--cluster={cluster}") == exits.DONE
    path = experiment.parent / "runs/try/kubernetes.yaml"
    documents = list(yaml.safe_load_all(path.read_text()))
    assert [document["kind"] for document in documents] == ["JobSet"] * 4
    assert f"4 JobSets: kubectl apply -f {path}" in capsys.readouterr().out


def test_single_run_is_submitted_with_code_copy(
    experiment, cluster, submitted, tmp_path
):
    base, workdir = tmp_path / "base.json", tmp_path / "runs/one"
    workdir.parent.mkdir()
    options = ["--on=slurm", f"--cluster={cluster}"]
    command = ["train", f"--config={base}", f"--workdir={workdir}", *options]
    assert launch.main(command) == exits.DONE
    code = tmp_path / "runs/one.job/code"
    assert submitted == [([["one/train"]], code, "one")]
    assert (code / "launch.py").is_file()
    assert configs.load(str(tmp_path / "runs/one.json"), {}) == configs.load(
        str(base), {}
    )
    (code / "launch.py").write_text("# of the job that is queued\n")
    assert launch.main(command) == exits.DONE
    assert (code / "launch.py").read_text() == "# of the job that is queued\n"


def test_a_run_that_is_refused_leaves_nothing(
    experiment, cluster, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("PATH", "")  # no sbatch
    workdir = tmp_path / "runs/one"
    command = ["train", f"--config={tmp_path / 'base.json'}", f"--workdir={workdir}"]
    command += ["--on=slurm", f"--cluster={cluster}"]
    assert launch.main(command) == exits.USAGE
    assert "is not on the PATH" in capsys.readouterr().err
    left = {path.name for path in (tmp_path / "runs").rglob("*")}
    assert left <= {"one.job", "slurm", "lock", "lease"}


def test_seeds_of_one_config_are_no_job(tmp_path, experiment, cluster, capsys):
    command = ["train", f"--config={tmp_path / 'base.json'}", "--seeds=2"]
    command += [f"--workdir={tmp_path / 'x'}", "--on=slurm", f"--cluster={cluster}"]
    assert launch.main(command) == exits.USAGE
    assert "on a cluster they are a sweep's" in capsys.readouterr().err


@pytest.mark.parametrize("on", ["slurm", "kubernetes"])
def test_a_cluster_needs_a_profile_with_its_table(on, tmp_path):
    with pytest.raises(UsageError, match=f"--on={on} needs --cluster=FILE"):
        remote.launcher(on, None)
    path = tmp_path / "none.toml"
    path.write_text("flops_per_second = 1e12\n")
    with pytest.raises(UsageError, match=rf"has no table \[{on}\]"):
        remote.launcher(on, path)
    assert remote.launcher("local", path).flops_per_second == 1e12


def test_run_devices_are_those_of_its_hosts():
    assert remote.launcher("slurm", EXAMPLE).devices == 1
    assert remote.launcher("kubernetes", EXAMPLE).devices == 8
    assert remote.launcher("local", None).devices == 0


def test_tasks_of_one_folder_are_one_chain():
    names = ["a/seed_0/pretrain", "a/seed_0/sst2", "a/seed_1/pretrain"]
    tasks = [RunTask(name, Path("x") / name, "") for name in names]
    assert [len(chain) for chain in remote.group_chains(tasks)] == [2, 1]


@pytest.mark.parametrize(
    ("on", "name"),
    [
        ("slurm", "100%"),
        ("slurm", "%j"),
        ("slurm", "a\\b"),
        ("slurm", "a:b"),
        ("kubernetes", "a:b"),
    ],
)
def test_a_root_that_jobs_read_otherwise_is_refused(
    experiment, cluster, tmp_path, capsys, on, name
):
    """FAULTS 29: in the name of an output file SLURM reads %j as a number."""
    root = tmp_path / name
    arguments = [
        str(experiment),
        f"--root={root}",
        f"--on={on}",
        f"--cluster={cluster}",
    ]
    assert launch.main(["sweep", *arguments]) == exits.USAGE
    message = capsys.readouterr().err
    assert repr(next(c for c in name if c in "%\\:")) in message
    assert "which jobs cannot have in their paths: choose a --root" in message
    assert message.count("\n") == 1 and not root.exists()
