"""Runs in slots: order, retries by exit code, Ctrl-C, and a launcher that is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bert_jax.run import exits
from bert_jax.sweep.cluster.local import BUSY, OVER, READY, WAITING, Local
from bert_jax.sweep.cluster.slots import Slot
from tests.sweep.cluster import fake

ROOT = Path(__file__).parents[3]
FREE = Slot((), {}, 1)


def look_at(tasks):
    """As a sweep does: by what is in the directories."""
    by_name = {task.name: task for task in tasks}

    def look(task):
        if fake.is_done(task):
            return OVER
        waits = task.needs and not fake.is_done(by_name[task.needs])
        return WAITING if waits else READY

    return look


def launcher(folder, tasks, slots=1, retries=2, look=None) -> Local:
    code = fake.code(folder)
    return Local(tasks, look or look_at(tasks), code, folder, [FREE] * slots, retries)


def events(local: Local):
    return [event for event in local.run() if event is not None]


def test_every_task_runs_once_and_in_order(tmp_path):
    tasks = [fake.task(tmp_path, f"a/{number}") for number in range(3)]
    seen = events(launcher(tmp_path, tasks))
    assert [(e.task.name, e.code) for e in seen] == [
        (f"a/{number}", code) for number in range(3) for code in (None, 0)
    ]
    assert [fake.starts(task) for task in tasks] == [1, 1, 1]


def test_concurrent_runs_equal_slots(tmp_path):
    tasks = [fake.task(tmp_path, f"a/{number}", "sleep 0.5") for number in range(4)]
    local = launcher(tmp_path, tasks, slots=2)
    most = max(len(local.running) for _ in local.run())
    assert most == 2


def test_task_waits_for_its_parent(tmp_path):
    child = fake.task(tmp_path, "a/child", needs="a/parent")
    parent = fake.task(tmp_path, "a/parent", "sleep 0.2")
    seen = events(launcher(tmp_path, [child, parent], slots=2))
    names = [event.task.name for event in seen]
    assert names == ["a/parent", "a/parent", "a/child", "a/child"]


@pytest.mark.parametrize(
    ("plan", "starts", "last"),
    [
        (["exit 75", "exit 75", "exit 0"], 3, exits.DONE),
        (["exit 2"], 1, exits.USAGE),
        (["exit 77"], 1, exits.DIVERGED),
        (["exit 1", "kill"], 3, exits.DONE),
        (["exit 76", "exit 76"], 3, exits.DONE),
        (["exit 1", "exit 1", "exit 1"], 3, 1),
        (["kill", "exit 75", "kill", "kill"], 4, -signal.SIGKILL),
    ],
)
def test_exit_code_decides_restart(tmp_path, plan, starts, last):
    """75 always; 2 and 77 never; a crash or a stall twice."""
    task, other = fake.task(tmp_path, "a", *plan), fake.task(tmp_path, "b")
    local = launcher(tmp_path, [task, other])
    events(local)
    assert fake.starts(task) == starts
    assert local.codes == {"a": last, "b": 0}


def test_children_of_failed_task_do_not_start(tmp_path):
    parent = fake.task(tmp_path, "a/parent", "exit 2")
    child = fake.task(tmp_path, "a/child", needs="a/parent")
    events(launcher(tmp_path, [parent, child]))
    assert fake.starts(child) == 0


def test_run_of_another_process_is_awaited(tmp_path):
    task = fake.task(tmp_path, "a")
    answers = iter([BUSY, BUSY, READY])
    begun = time.monotonic()
    events(launcher(tmp_path, [task], look=lambda _: next(answers)))
    assert fake.starts(task) == 1
    assert time.monotonic() - begun > 1


def test_signal_stops_all_runs(tmp_path):
    tasks = [fake.task(tmp_path, f"a/{number}", "sleep 60") for number in range(3)]
    local = launcher(tmp_path, tasks, slots=2)
    seen, before = [], signal.getsignal(signal.SIGINT)
    for event in local.run():
        seen += [event] if event else []
        if all(map(fake.starts, tasks[:2])) and not local.stopping:
            os.kill(os.getpid(), signal.SIGINT)
    assert local.stopping
    assert [e.code for e in seen if e.code is not None] == [75, 75]
    assert fake.starts(tasks[2]) == 0
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_signal_kills(tmp_path):
    code = fake.code(tmp_path)
    deaf = fake.LAUNCH.replace("lambda *_: sys.exit(75)", "signal.SIG_IGN")
    (code / "launch.py").write_text(deaf)
    task = fake.task(tmp_path, "a", "sleep 60")
    local = Local([task], look_at([task]), code, tmp_path, [FREE], 2)
    for _ in local.run():
        if (tmp_path / "a.log").exists() and "start" in task.log.read_text():
            os.kill(os.getpid(), signal.SIGTERM)
    assert local.codes == {"a": -signal.SIGKILL}


LAUNCHER = """\
import sys
from pathlib import Path
from tests.sweep.cluster import fake, test_local
folder = Path(sys.argv[1])
tasks = [fake.task(folder, f"a/{number}", "sleep 60") for number in range(2)]
for _ in test_local.launcher(folder, tasks, slots=2).run():
    pass
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_launcher_leaves_no_orphan_however_it_ends(tmp_path, number):
    command = [sys.executable, "-c", LAUNCHER, str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    logs = [tmp_path / f"a/{number}.log" for number in range(2)]
    while not all(log.exists() and "start" in log.read_text() for log in logs):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    process.wait()
    starts = [tmp_path / f"a/{number}/starts" for number in range(2)]
    children = [int(path.read_text().split()[0]) for path in starts]
    deadline = time.monotonic() + 5
    while any(map(alive, children)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
    return "State:\tZ" not in status


def test_slot_limits_cores_and_devices(tmp_path):
    core = min(os.sched_getaffinity(0))
    task = fake.task(tmp_path, "a")
    slot = Slot((core,), {"CUDA_VISIBLE_DEVICES": "3"}, 1)
    local = Local([task], look_at([task]), fake.code(tmp_path), tmp_path, [slot], 0)
    events(local)
    assert (task.workdir / "starts").read_text().split(" ", 1)[1] == f"[{core}]\n"
