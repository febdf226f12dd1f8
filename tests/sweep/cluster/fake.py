"""A launch.py without jax, and the tasks that it is given: what a launcher is tested on.

Each line of a task's config says what one start of it does: `exit CODE`, `sleep SECONDS`
(a SIGTERM then ends it with 75) or `kill` (by SIGKILL). A start after the last exits 0.
"""

import json
from pathlib import Path

from bert_jax.sweep.cluster.task import RunTask

LAUNCH = """\
import json, os, signal, sys, time
_, verb, config, workdir = sys.argv
workdir = workdir.removeprefix("--workdir=")
os.makedirs(workdir, exist_ok=True)
plan = json.load(open(config.removeprefix("--config=")))
starts = os.path.join(workdir, "starts")
with open(starts, "a") as file:
    file.write(f"{os.getpid()} {sorted(os.sched_getaffinity(0))}\\n")
number = len(open(starts).readlines()) - 1
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
what, _, value = (plan[number] if number < len(plan) else "exit 0").partition(" ")
print("start", number, flush=True)
if what == "sleep":
    time.sleep(float(value))
elif what == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
elif value != "0":
    sys.exit(int(value))
open(os.path.join(workdir, "done"), "w").close()
"""


def code(folder: Path) -> Path:
    (folder / "code").mkdir(parents=True, exist_ok=True)
    (folder / "code" / "launch.py").write_text(LAUNCH)
    return folder / "code"


def task(folder: Path, name: str, *plan: str, needs: str = "") -> RunTask:
    made = RunTask(name, folder / name, needs)
    made.config.parent.mkdir(parents=True, exist_ok=True)
    made.config.write_text(json.dumps(plan))
    return made


def starts(made: RunTask) -> int:
    path = made.workdir / "starts"
    return len(path.read_text().splitlines()) if path.exists() else 0


def is_done(made: RunTask) -> bool:
    return (made.workdir / "done").exists()
