"""What the launcher of a sweep costs, and what its compilation cache saves.

  python -m benchmarks.sweep

Eight runs of a tiny BERT, one arm under eight seeds, on two slots. Overhead: the wall
time of the launcher over half the sum of its runs' times from spawn to exit. Cache: the
time from spawn to the first step, of the first run against the median of those after the
first two, which start together.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bert_jax.run import rundir
from bert_jax.sweep import main
from bert_jax.sweep.main import Local, machine

RUNS, SLOTS = 8, 2
EXPERIMENT = '''\
"""What does a sweep cost?"""
BASE = "configs/pretrain/short.py"
METRIC = "valid/mlm_loss"
BASELINE = "one"
SEEDS = {runs}

def arms():
    yield "one", {{
        "train.steps": 200, "train.log_every": 1, "eval.every": 200,
        "eval.max_examples": 64, "train.save_every": 200, "data.cache": {cache!r},
    }}
'''


def measure(folder: Path) -> dict[str, float]:
    path = folder / "cost.py"
    path.write_text(EXPERIMENT.format(runs=RUNS, cache=str(folder / "cache")))
    root, share = folder / "runs", machine.split_machine(SLOTS)
    sweep, runs = main.resolve_runs(path, root, 1)
    with main.launching(sweep, runs, 1):
        pass  # the data are prepared before the clock starts
    begun, since = {}, {}
    seconds, first_steps = [], []
    wall = time.perf_counter()
    with main.launching(sweep, runs, 1) as tasks:
        by_name = {run.name: run for run in runs}
        local = Local(
            tasks,
            lambda task: main.TASK_STATES[
                main.states.run_state(sweep, by_name[task.name])
            ],
            sweep / main.snapshot.CODE,
            sweep,
            share,
            0,
        )
        for event in local.run():
            now = time.perf_counter()
            for name in list(since):
                log = sweep / name / rundir.METRICS
                if log.exists() and log.stat().st_size:
                    first_steps.append(now - since.pop(name))
            if event and event.code is None:
                begun[event.task.name] = since[event.task.name] = now
            elif event:
                seconds.append(now - begun[event.task.name])
                print(f"{event.task.name}: {seconds[-1]:.1f} s", file=sys.stderr)
    wall = time.perf_counter() - wall
    return {
        "wall_seconds": wall,
        "spawn_to_exit_over_slots": sum(seconds) / SLOTS,
        "overhead": wall / (sum(seconds) / SLOTS) - 1,
        "first_start_seconds": first_steps[0],
        "later_start_seconds": statistics.median(first_steps[SLOTS:]),
        "later_over_first": statistics.median(first_steps[SLOTS:]) / first_steps[0],
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder)), indent=1))
