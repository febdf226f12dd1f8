"""Job arrays, against stand-ins for SLURM's commands that keep a queue in a file."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bert_jax.run.config import UsageError
from bert_jax.sweep.cluster import profiles, slurm
from bert_jax.sweep.cluster.task import RunTask, join_lanes
from tests.running import ROOT

COMMANDS = {
    "sbatch": """
touch "$HERE/began"; sleep "${SLOW:-0}"
name=$(sed -n 's/^#SBATCH --job-name=//p' "$2")
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' "$2")
id=$(($(cat "$HERE/count") + 1)); echo $id >"$HERE/count"
for index in $(seq 0 "$last"); do
  echo "$name|$id|$index|PENDING||None" >>"$HERE/queue"
done
[ -z "$LATE" ] || { echo "sbatch: error: Socket timed out" >&2; exit 1; }
echo "$id;cluster"
""",
    "squeue": 'cat "$HERE/queue"',
    "scancel": 'echo "$@" >>"$HERE/cancelled"; : >"$HERE/queue"',
    "scontrol": """
case "$1" in
  show) [ "$2" = config ] && echo "MaxArraySize            = ${LIMIT:-1001}" ||
    echo "   JobState=${STATE:-RUNNING} Reason=None" ;;
  requeue) echo "requeue $2" >>"$HERE/requeued" ;;
esac
""",
    "srun": "",
    "sleep60": "",
}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """Where the stand-ins keep what they were told."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in COMMANDS.items():
        (programs / name).write_text(f"#!/bin/bash\n{text}\n")
        (programs / name).chmod(0o755)
    (tmp_path / "count").write_text("0")
    (tmp_path / "queue").touch()
    monkeypatch.setenv("HERE", str(tmp_path))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return tmp_path


PROFILE = profiles.load(ROOT / profiles.EXAMPLE)


def chains(
    folder: Path, count: int, stages=("pretrain", "sst2")
) -> list[list[RunTask]]:
    names = [f"a/seed_{seed}" for seed in range(count)]
    return [
        [RunTask(f"{name}/{s}", folder / name / s, f"{name}/pretrain") for s in stages]
        for name in names
    ]


def submit(folder: Path, count: int, **changes) -> str:
    assert PROFILE.slurm is not None
    profile = PROFILE._replace(slurm=PROFILE.slurm._replace(**changes))
    return slurm.submit(chains(folder, count), ROOT, folder, profile, "X")


def queue(here: Path) -> list[str]:
    """The jobs as ARRAY_INDEX."""
    rows = [line.split("|") for line in (here / "queue").read_text().splitlines()]
    return [f"{array}_{index}" for _, array, index, *_ in rows]


def test_chains_are_one_array_with_indexed_jobs(here):
    message = submit(here / "X", 3)
    assert re.fullmatch(r"submitted 3 as job array 1, named X-\w{6}-0001", message)
    assert queue(here) == ["1_0", "1_1", "1_2"]
    listed = json.loads((here / "X/slurm/0001.json").read_text())
    assert listed["code"] == str(ROOT)
    assert listed["chains"][2][1] == {
        "name": "a/seed_2/sst2",
        "workdir": str(here / "X/a/seed_2/sst2"),
        "needs": "a/seed_2/pretrain",
        "beside": [],
    }
    assert slurm.status(here / "X", "X") == {f"a/seed_{s}": "queued" for s in range(3)}


def test_batch_script_requests_profile_resources(here):
    submit(here / "X", 2, setup=["module load cuda"], options={"qos": "high"}, nodes=2)
    lines = (here / "X/slurm/0001.sh").read_text().splitlines()
    flags = {line.removeprefix("#SBATCH --") for line in lines if "SBATCH" in line}
    assert flags >= {
        "array=0-1%2",
        "cpus-per-task=8",
        "gpus-per-node=1",
        "mem=64G",
        "nodes=2",
        "ntasks-per-node=1",
        "open-mode=append",
        "partition=gpu",
        "qos=high",
        "requeue",
        "signal=USR2@300",
        "time=1440",
    }
    assert not [flag for flag in flags if flag.startswith("account")]
    [run] = [line for line in lines if line.startswith("srun ")]
    assert "--cpus-per-task=8" in run
    assert run.endswith(
        f"{sys.executable} -P -m bert_jax.sweep.cluster.chain {here}/X/slurm/0001.json "
        "$SLURM_ARRAY_TASK_ID"
    )
    path = next(line for line in lines if line.startswith("export PYTHONPATH="))
    assert lines.index("module load cuda") < lines.index(path) < lines.index(run)
    shell = ["bash", "-c", f"PYTHONPATH=old; {path}; echo $PYTHONPATH"]
    assert subprocess.check_output(shell, text=True) == f"{ROOT}:old\n"


def test_what_is_queued_is_not_submitted_again(here):
    submit(here / "X", 2)
    assert submit(here / "X", 2) == "2 are in the queue already"
    assert submit(here / "X", 3).endswith("-0002\n2 are in the queue already")
    assert queue(here) == ["1_0", "1_1", "2_0"]
    rest = chains(here / "X", 3, stages=("sst2",))  # of a chain that has gone on
    message = slurm.submit(rest, ROOT, here / "X", PROFILE, "X")
    assert message == "3 are in the queue already"


def test_lanes_are_one_job_of_all_chains(here):
    first, second = ([task] for task, *_ in chains(here / "X", 2))
    both = [join_lanes([*first, *second])]
    assert PROFILE.slurm is not None
    give = [[both], ROOT, here / "X", PROFILE, "X"]
    slurm.submit(*give)
    assert slurm.status(here / "X", "X") == {f"a/seed_{s}": "queued" for s in range(2)}
    give[0] = [second]
    assert "1 are in the queue already" in slurm.submit(*give)


def test_an_ended_job_is_submitted_again(here):
    submit(here / "X", 2)
    rows = (here / "queue").read_text().splitlines()
    (here / "queue").write_text(f"{rows[1]}\n")
    assert submit(here / "X", 2).startswith("submitted 1 as job array 2")
    assert slurm.status(here / "X", "X").keys() == {"a/seed_0", "a/seed_1"}


def test_a_launcher_killed_before_sbatch_loses_nothing(here):
    (here / "bin/sbatch").rename(here / "sbatch")
    (here / "bin/sbatch").write_text("#!/bin/sh\nkill -9 $PPID\n")
    (here / "bin/sbatch").chmod(0o755)
    launch(here).wait(30)
    assert queue(here) == []
    (here / "sbatch").rename(here / "bin/sbatch")
    assert submit(here / "X", 2).startswith("submitted 2 as job array 1")


def test_a_launcher_killed_during_sbatch_doubles_nothing(here):
    process = launch(here, SLOW="1")
    while not (here / "began").exists():
        time.sleep(0.01)
    process.kill()
    process.wait(30)
    assert queue(here) == []  # sbatch has not come so far, and goes on by itself
    assert submit(here / "X", 2) == "2 are in the queue already"
    assert queue(here) == ["1_0", "1_1"]


def launch(here: Path, **environment: str) -> subprocess.Popen:
    """A launcher of two chains in a process of its own."""
    code = f"""
from pathlib import Path
from bert_jax.sweep.cluster import profiles as profile, slurm
from bert_jax.sweep.cluster.task import RunTask
folder = Path({str(here)!r}) / "X"
tasks = [[RunTask(f"a/seed_{{s}}/pretrain", folder / f"a/seed_{{s}}/pretrain", "")]
         for s in range(2)]
found = profile.load(Path({str(ROOT / profiles.EXAMPLE)!r}))
slurm.submit(tasks, Path({str(ROOT)!r}), folder, found, "X")
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen([sys.executable, "-c", code], env=environment)


def test_job_of_failed_sbatch_is_found(here, monkeypatch):
    monkeypatch.setenv("LATE", "1")
    with pytest.raises(UsageError, match="^sbatch refused: Socket timed out$"):
        submit(here / "X", 2)
    assert submit(here / "X", 2) == "2 are in the queue already"


def test_many_chains_are_several_arrays(here, monkeypatch):
    monkeypatch.setenv("LIMIT", "2")
    message = submit(here / "X", 5, max_parallel=6).splitlines()
    assert [line.split()[1] for line in message] == ["2", "2", "1"]
    assert queue(here) == ["1_0", "1_1", "2_0", "2_1", "3_0"]
    scripts = [(here / f"X/slurm/000{n}.sh").read_text() for n in (1, 2, 3)]
    arrays = [re.search("array=(.*)", script) for script in scripts]
    assert [found and found[1] for found in arrays] == ["0-1%2", "0-1%2", "0-0%1"]


def test_status_uses_slurm_states(here):
    submit(here / "X", 4)
    rows = [line.rsplit("|", 3)[0] for line in (here / "queue").read_text().split()]
    ends = ("RUNNING|n1|None", "PENDING||Resources", "COMPLETING|n2|None", "PENDING||")
    text = "".join(f"{row}|{end}\n" for row, end in zip(rows, ends))
    (here / "queue").write_text(text)
    states = ["running on n1", "queued (Resources)", "completing", "queued"]
    assert list(slurm.status(here / "X", "X").values()) == states


def test_cancel_counts_jobs_of_live_arrays(here):
    assert slurm.cancel(here / "X", "X") == 0
    submit(here / "X", 2)
    submit(here / "X", 3)
    assert slurm.cancel(here / "X", "X") == 3
    assert (here / "cancelled").read_text() == "1 2\n"
    assert slurm.cancel(here / "X", "X") == 0


def test_equal_sweep_names_in_two_roots_are_separate(here):
    submit(here / "one" / "X", 1)
    first = (here / "queue").read_text()
    (here / "queue").write_text("")  # squeue would filter by name
    assert submit(here / "two" / "X", 1).startswith("submitted 1")
    assert (here / "queue").read_text().split("|")[0] != first.split("|")[0]


@pytest.mark.parametrize("missing", ["sbatch", "squeue", "scancel"])
def test_a_missing_command_is_named(missing, here, monkeypatch):
    (here / "bin" / missing).unlink()
    monkeypatch.setenv("PATH", str(here / "bin"))
    with pytest.raises(UsageError, match=f"{missing} is not on the PATH"):
        submit(here / "X", 1)


REFUSAL = """
echo 'sbatch: error: invalid partition specified: gpu' >&2
echo 'sbatch: error: Batch job submission failed: Invalid partition name' >&2
exit 1
"""
REFUSED = """sbatch refused: invalid partition specified: gpu; Batch job submission \
failed: Invalid partition name"""


@pytest.mark.parametrize(
    ("command", "text", "message"),
    [
        ("sbatch", REFUSAL, REFUSED),
        ("squeue", "echo gibberish", "squeue says what cannot be read: 'gibberish'"),
        ("squeue", "exit 3", "squeue refused: code 3"),
        ("scontrol", "echo down >&2; exit 1", "scontrol refused: down"),
    ],
)
def test_slurm_refusal_is_one_line(command, text, message, here):
    submit(here / "X", 1)
    (here / "bin" / command).write_text(f"#!/bin/sh\n{text}\n")
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        submit(here / "X", 2)


def test_a_profile_without_slurm_is_refused(here):
    with pytest.raises(UsageError, match=r"has no table \[slurm\]"):
        slurm.submit([], ROOT, here, PROFILE._replace(slurm=None), "X")


@pytest.mark.parametrize(
    ("code", "nodes", "restarts", "state", "again"),
    [
        (0, 1, 0, "RUNNING", False),
        (2, 1, 0, "RUNNING", False),
        (77, 2, 0, "RUNNING", False),
        (75, 1, 9, "RUNNING", True),
        (75, 1, 0, "CANCELLED", False),
        (75, 1, 0, "COMPLETING", False),
        (1, 1, 0, "RUNNING", False),  # the chain has retried it
        (1, 2, 0, "RUNNING", True),
        (1, 2, 2, "RUNNING", False),
        (76, 2, 1, "RUNNING", True),
        (137, 1, 1, "RUNNING", True),
        (137, 1, 2, "RUNNING", False),
    ],
)
def test_job_is_requeued_by_exit_code(code, nodes, restarts, state, again, here):
    submit(here / "X", 1, nodes=nodes, retries=2)
    (here / "bin/srun").write_text(f"#!/bin/sh\nexit {code}\n")
    (here / "bin/sleep").symlink_to("sleep60")
    ended = subprocess.run(
        ["bash", here / "X/slurm/0001.sh"],
        check=False,
        env={
            **os.environ,
            "SLURM_JOB_ID": "7",
            "SLURM_RESTART_COUNT": str(restarts),
            "STATE": state,
        },
    )
    assert ended.returncode == code
    assert (here / "requeued").exists() == again


@pytest.mark.parametrize("name", ["100%", "%A_%a", "%%", "back\\slash", "a:b"])
def test_folder_named_like_pattern_is_refused(here, name):
    """FAULTS 29."""
    with pytest.raises(UsageError, match="which jobs cannot have in their paths"):
        submit(here / name, 1)
    assert not (here / name).exists() and not queue(here)


@pytest.mark.parametrize(
    "name", ["two words", "it's", "$HOME", "`id`", "a;b", '"', "#"]
)
def test_a_folder_of_any_other_name_is_itself(here, name):
    """FAULTS 51: each path of the batch script is one word of the shell."""
    submit(here / name, 1)
    script = (here / name / "slurm/0001.sh").read_text()
    words = [
        w for line in script.splitlines() if "srun" in line for w in shlex.split(line)
    ]
    assert str(here / name / "slurm/0001.json") in words
