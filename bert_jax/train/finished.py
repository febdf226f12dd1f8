"""Finished runs that lack shared rows: evaluated on them, not trained again."""

import math
from collections.abc import Callable, Mapping

import jax

from bert_jax.run import exits, rundir
from bert_jax.train import checkpoint, evaluate, session
from bert_jax.train.session import Run
from bert_jax.train.watchdog import Watchdog

AGREE = 1e-5  # relative: how near another machine comes to what a run measured


def evaluate_rows(run: Run, stopping: Callable[[], bool]) -> int:
    """Adds to a run's results the shared rows of its config that they lack; the exit
    code. Raises UsageError if the data or the last checkpoint are not the run's.

    The run's own rows are evaluated again too where nobody wrote down what they were,
    and said to be these if the numbers are those that the run measured.
    """
    setup, workdir = run.setup, run.workdir
    session.check_data(workdir, setup.data)
    result = rundir.read(workdir, rundir.RESULT)
    step = checkpoint.chosen(workdir, result["steps"])
    params = checkpoint.restore_params(workdir, step, setup.param_shapes())
    params, function = setup.placement.local(params), evaluate.compiled(setup)
    names = rundir.lacking(result, run.config)
    if "valid" not in result.get("measured", {}):
        names = ["valid", *names]
    with Watchdog([workdir], run.config.train.watchdog) as watchdog:
        asked = watchdog.feeding(stopping)
        found = evaluate.of_prefixes(setup, function, params, names, asked)
    if found is None:
        run.say("stopped; the same command evaluates the rows that are left")
        return exits.PREEMPTED
    if jax.process_index() == 0:
        unshared = {name: v for name, v in found.items() if name.count("/") == 1}
        rows = {name: v for name, v in found.items() if name not in unshared}
        known = (
            ["valid"] if unshared and _agree(run, unshared, result["metrics"]) else []
        )
        shared = [name for name in names if name != "valid"]
        session.add_results(run, step, rows, [*known, *shared])
    return exits.DONE


def _agree(run: Run, now: Mapping[str, float], before: Mapping[str, float]) -> bool:
    for name, value in now.items():
        if not math.isclose(value, before.get(name, math.nan), rel_tol=AGREE):
            run.say(
                f"{name} is {value} now and was {before.get(name, 'absent')}: what the "
                "run's own rows were stays unknown"
            )
            return False
    return True
