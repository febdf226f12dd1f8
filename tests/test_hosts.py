"""Two processes that are the two hosts of one run."""

import signal

import pytest

from bert_jax.run import exits, rundir
from bert_jax.train import checkpoint, loop
from tests.finetuning import scores
from tests.running import SHALLOW, logged, metrics, start_two_hosts, wait_until


def test_two_hosts_give_the_losses_of_one(tiny, tmp_path):
    """By jit, shared rows too; by pmap the task below."""
    rows = {"eval.rows": "single,pair", "eval.length": 32}
    changes = {**SHALLOW, **rows, "train.steps": 6}
    alone = tiny({**changes, "parallel.mesh": "4x1x1"})
    loop.run(alone, tmp_path / "alone")
    together = tiny({**changes, "parallel.mesh": "-1x1x1"})
    processes = start_two_hosts(together, tmp_path / "together", devices=2)
    codes, said = zip(*(process.end() for process in processes), strict=True)
    assert codes == (exits.DONE, exits.DONE), said
    found = metrics(tmp_path / "together")
    for step, row in metrics(tmp_path / "alone").items():
        assert found[step] == pytest.approx(row, rel=1e-5), step
    one, two = (
        rundir.read(tmp_path / name, rundir.RESULT)["measured"]
        for name in ("alone", "together")
    )
    assert one == two
    assert set(one) == {"valid", "valid/single", "valid/pair"}


def test_two_hosts_start_from_a_run_and_evaluate_a_task_as_one(tuned, task, tmp_path):
    changes = {"parallel.placement": "pmap", "parallel.mesh": "-1x1x1"}
    processes = start_two_hosts(task("tag", changes), tmp_path / "run", devices=2)
    codes, said = zip(*(process.end() for process in processes), strict=True)
    assert codes == (exits.DONE, exits.DONE), said
    found, alone = scores(tmp_path / "run"), scores(tuned("tag"))
    assert found.keys() == alone.keys()
    for step, row in alone.items():
        # A loss of 0.1 keeps the rounding of the larger ones that it came from.
        assert found[step] == pytest.approx(row, rel=1e-5, abs=1e-5), step


def test_a_signal_to_one_host_stops_both(tiny, tmp_path):
    config = tiny({**SHALLOW, "parallel.mesh": "-1x1x1", "train.steps": 2000})
    processes = start_two_hosts(config, tmp_path / "run", devices=1)
    wait_until(lambda: logged(tmp_path / "run") >= 2, processes[0])
    processes[1].send(signal.SIGTERM)
    codes, said = zip(*(process.end() for process in processes), strict=True)
    assert codes == (exits.PREEMPTED, exits.PREEMPTED), said
    assert checkpoint.newest(tmp_path / "run" / "checkpoints", print) is not None
