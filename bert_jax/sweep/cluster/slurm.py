"""SLURM job arrays of chains: submitted, queried and cancelled.

submitit writes the batch script. `sbatch` is called here, so that no job depends on a
file that the launcher writes afterwards. Each submission first writes
SWEEP/slurm/NNNN.json, and NNNN is part of its jobs' names: a launcher killed at any
moment neither loses nor duplicates jobs. Only squeue, scontrol, sbatch and scancel are
called; sacct needs a daemon that not every cluster has.
"""

import contextlib
import hashlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import submitit

from bert_jax.run import files
from bert_jax.run.config import UsageError
from bert_jax.sweep.cluster import chain as chains_
from bert_jax.sweep.cluster.profiles import EXAMPLE, Profile, Slurm
from bert_jax.sweep.cluster.task import PYTHONPATH, RunTask, check_path

RECORDS = "slurm"
LOCK = "lock"
COMMANDS = ("sbatch", "srun", "squeue", "scontrol", "scancel")
QUEUE = "%j|%F|%K|%T|%N|%r"  # name, array's id, index, state, nodes, reason
# Output file names expand %j and the like. submitit expands patterns of its own too, so
# % cannot be escaped by doubling; a backslash disables expansion.
PATTERNS = "%\\"
NOT_IN_NAMES = re.compile(r"[^\w.-]")
SIGNALLED = 128  # shell exit codes above this name the signal that killed a process

# Runs in the batch shell after srun, once for all hosts. A job that was cancelled or
# preempted is not RUNNING any more; SLURM decides about it.
AFTERWARDS = """\
code=$?
again=no
case $code in
  0|2|77) ;;        # done; a mistake; diverged
  75) again=yes ;;  # saved
  *) if [ $code -gt {retried} ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {retries} ]; then
       again=yes    # killed; lesser crashes were retried in place
     fi ;;
esac
if [ $again = yes ] && scontrol show job "$SLURM_JOB_ID" | grep -q JobState=RUNNING; then
  scontrol requeue "$SLURM_JOB_ID" && sleep 60
fi
exit $code"""


class Job(NamedTuple):
    """An unfinished element of a SLURM job array."""

    tasks: list[str]  # by name
    array: str
    state: str
    nodes: str
    reason: str

    @property
    def chains(self) -> set[str]:
        """The chains of the job, `ARM/seed_S`: several if its runs are lanes."""
        return {task.rpartition("/")[0] for task in self.tasks}

    def __str__(self) -> str:
        match self.state:
            case "PENDING":
                return f"queued ({self.reason})" if self.reason else "queued"
            case "RUNNING":
                return f"running on {self.nodes}"
            case other:
                return other.lower()


def submit(
    chains: Sequence[Sequence[RunTask]],
    code: Path,
    folder: Path,
    profile: Profile,
    name: str,
) -> str:
    """Submit the chains that are not in the queue; a message for the user.

    Raises UsageError, with SLURM's message if it refuses.
    """
    if profile.slurm is None:
        raise UsageError(f"{profile.path} has no table [slurm]; see {EXAMPLE}")
    check(folder)
    records = folder / RECORDS
    records.mkdir(parents=True, exist_ok=True)
    with _locked(records) as lock:
        known = {task for job in _jobs(folder, name) for task in job.tasks}
        new = [c for c in chains if known.isdisjoint(_names(c))]
        parts = _split(new)
        slurm = _shared(profile.slurm, len(parts))
        messages = [_array(part, code, folder, slurm, name, lock) for part in parts]
    if len(new) < len(chains):
        messages.append(f"{len(chains) - len(new)} are in the queue already")
    return "\n".join(messages)


def check(folder: Path) -> None:
    """Refuse a folder that a batch script cannot name. Raises UsageError."""
    check_path(folder, PATTERNS + PYTHONPATH)


def status(folder: Path, name: str) -> dict[str, str]:
    """The SLURM state of each unfinished chain: "queued (Resources)", "running on n1".
    Raises UsageError."""
    jobs = _jobs(folder, name)
    return {chain: str(job) for job in jobs for chain in job.chains}


def cancel(folder: Path, name: str) -> int:
    """Cancel the sweep's jobs; their number. Running jobs save first."""
    jobs = _jobs(folder, name)
    if jobs:
        _call("scancel", *sorted({job.array for job in jobs}))
    return len(jobs)


@contextlib.contextmanager
def _locked(records: Path) -> Iterator[TextIO]:
    """Lock the records for one submission. An sbatch that outlives its launcher keeps
    the lock, so the next launcher sees its job in the queue."""
    with files.lock(records / LOCK, waiting=lambda: None) as lock:
        yield lock


def _jobs(folder: Path, name: str) -> list[Job]:
    """The jobs of this sweep in SLURM's queue, by the names of the submissions."""
    _check_installed()
    records = {
        _job_name(folder, name, path.stem): path
        for path in sorted((folder / RECORDS).glob("[0-9]*.json"))
    }
    if not records:
        return []
    names = f"--name={','.join(records)}"
    rows = _call("squeue", "--noheader", "--array", f"--format={QUEUE}", names)
    jobs = []
    for line in rows.splitlines():
        try:
            job, array, index, state, nodes, reason = line.split("|")
            listed = chains_.read(records[job])["chains"][int(index)]
        except (ValueError, LookupError):
            raise UsageError(f"squeue says what cannot be read: {line!r}") from None
        reason = "" if reason == "None" else reason
        jobs.append(Job(chains_.names(listed), array, state, nodes, reason))
    return jobs


def _names(chain: Sequence[RunTask]) -> list[str]:
    return [lane.name for task in chain for lane in task.lanes]


def _job_name(folder: Path, name: str, number: str) -> str:
    """The name of a submission's jobs, unique among sweeps of one name in several
    roots."""
    mark = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:6]
    return f"{NOT_IN_NAMES.sub('_', name)}-{mark}-{number}"


def _split(chains: list[Sequence[RunTask]]) -> list[list[Sequence[RunTask]]]:
    """Split chains into arrays of at most the cluster's MaxArraySize."""
    match = re.search(r"MaxArraySize\s*=\s*(\d+)", _call("scontrol", "show", "config"))
    size = (match and int(match[1])) or len(chains) or 1
    return [chains[start : start + size] for start in range(0, len(chains), size)]


def _shared(slurm: Slurm, arrays: int) -> Slurm:
    """The profile with max_parallel divided among several arrays."""
    return slurm._replace(max_parallel=max(1, slurm.max_parallel // max(1, arrays)))


def _next(records: Path) -> Path:
    last = max((int(path.stem) for path in records.glob("[0-9]*.json")), default=0)
    return records / f"{last + 1:04d}.json"


def _array(
    chains: list[Sequence[RunTask]],
    code: Path,
    folder: Path,
    slurm: Slurm,
    name: str,
    lock: TextIO,
) -> str:
    """Submit one job array; a message for the user."""
    listed = _next(folder / RECORDS)
    # Kept even if sbatch fails: after a time-out the job may exist.
    chains_.save(listed, code, folder, chains, slurm.retries)
    job = _job_name(folder, name, listed.stem)
    script = listed.with_suffix(".sh")
    files.write_text(script, _script(listed, code, len(chains), slurm, job))
    number = _call("sbatch", "--parsable", str(script.absolute()), keep=lock).strip()
    number = number.partition(";")[0]  # what follows is the cluster's name
    return f"submitted {len(chains)} as job array {number}, named {job}"


def _script(listed: Path, code: Path, count: int, slurm: Slurm, job: str) -> str:
    """The batch script of an array; each element runs the chain of its index."""
    executor = submitit.SlurmExecutor(listed.parent.absolute())
    executor.update_parameters(
        job_name=job,
        partition=slurm.partition or None,
        account=slurm.account or None,
        time=slurm.time_limit,
        nodes=slurm.nodes,
        ntasks_per_node=1,
        gpus_per_node=slurm.gpus_per_node or None,
        cpus_per_task=slurm.cpus_per_task,
        mem=f"{slurm.memory_gb}G",
        signal_delay_s=slurm.signal_seconds,
        array_parallelism=slurm.max_parallel,
        stderr_to_stdout=True,
        additional_parameters={"requeue": True, **slurm.options},
        # srun does not inherit --cpus-per-task from sbatch.
        srun_args=[f"--cpus-per-task={slurm.cpus_per_task}", "--open-mode=append"]
        + [
            "--kill-on-bad-exit=0"
        ],  # 75 counts as a bad exit: the other hosts still save
        setup=[*slurm.setup, *_setup(code)],
        teardown=[
            AFTERWARDS.format(
                retries=slurm.retries, retried=SIGNALLED if slurm.nodes == 1 else 0
            )
        ],
    )
    executor.parameters["map_count"] = count
    python = shlex.join([sys.executable, "-P", "-m", "bert_jax.sweep.cluster.chain"])
    command = f"{python} {shlex.quote(str(listed.absolute()))} $SLURM_ARRAY_TASK_ID"
    return executor._make_submission_file_text(command, "")


def _setup(code: Path) -> list[str]:
    return [
        f"export PYTHONPATH={shlex.quote(str(code.absolute()))}${{PYTHONPATH:+:$PYTHONPATH}}",
        "trap : TERM USR1 USR2  # srun passes them on; this shell must outlive it",
    ]


def _check_installed() -> None:
    for command in COMMANDS:
        if not shutil.which(command):
            raise UsageError(
                f"{command} is not on the PATH: run this where SLURM's commands are, "
                "or use --on=local"
            )


def _call(command: str, *arguments: str, keep: TextIO | None = None) -> str:
    """Return the output of a SLURM command, which inherits `keep`. Raises
    UsageError."""
    process = subprocess.run(
        [command, *arguments],
        check=False,
        capture_output=True,
        text=True,
        pass_fds=[keep.fileno()] if keep else [],
    )
    if process.returncode:
        words = [
            line.strip() for line in (process.stderr or process.stdout).splitlines()
        ]
        message = "; ".join(word.removeprefix(f"{command}: error: ") for word in words)
        raise UsageError(
            f"{command} refused: {message or f'code {process.returncode}'}"
        )
    return process.stdout
