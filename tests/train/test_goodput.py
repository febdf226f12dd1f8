"""Where the seconds of a run went."""

import json
import time

import pytest

from bert_jax.run import exits, rundir
from bert_jax.train import goodput, loop, writer
from bert_jax.train.goodput import ELAPSED, PHASES, Goodput

SMALL = {"model.num_layers": 1}


def test_every_second_stands_in_one_phase(tmp_path):
    now = iter([10.0, 12.0, 17.0, 18.0, 21.0, 25.0]).__next__
    found = Goodput(tmp_path, now)
    found.enter("data_wait")
    found.enter_step(idle=True)
    found.enter("data_wait")
    found.enter_step(idle=False)  # the device was at work: no time lost
    expected = {"start": 2.0, "data_wait": 5.0, "step": 1.0 + 3.0 + 4.0}
    assert found.seconds() == dict.fromkeys(PHASES, 0.0) | expected


def test_what_a_kill_cost_is_loss(tmp_path):
    """Up to the last log before it, less what the checkpoint saw."""
    lines = [{"step": 4, ELAPSED: 9.0}, {"step": 7, ELAPSED: 15.0}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / rundir.METRICS).write_text(text + '{"step": 8, "to')
    now = iter([0.0, 1.0]).__next__
    found = Goodput(tmp_path, now)
    found.resume({"time/goodput/step": 6.0, "time/goodput/save": 3.0})
    lost = {"start": 1.0, "step": 6.0, "save": 3.0, "restart_loss": 6.0}
    assert found.seconds() == dict.fromkeys(PHASES, 0.0) | lost
    assert goodput.describe(lost) == (
        "goodput 37.5 % of 16.0 s: start 1.0 s, save 3.0 s, restart loss 6.0 s"
    )


def test_phases_add_up_over_a_crash(straight, tiny, tmp_path, monkeypatch, capsys):
    """After `straight`, which has paid for what a process does once."""
    real, began = writer.Writer.later, time.perf_counter()

    def crashes(self, step, said):
        if step == 5:
            raise RuntimeError
        real(self, step, said)

    monkeypatch.setattr(writer.Writer, "later", crashes)
    with pytest.raises(RuntimeError):
        loop.run(tiny(SMALL), tmp_path / "run")
    monkeypatch.setattr(writer.Writer, "later", real)
    assert loop.run(tiny(SMALL), tmp_path / "run") == exits.DONE
    wall = time.perf_counter() - began
    found = rundir.read(tmp_path / "run", rundir.RESULT)["goodput"]
    assert found.keys() == set(PHASES)
    assert all(found[name] > 0 for name in PHASES)
    assert sum(found.values()) == pytest.approx(wall, rel=0.05, abs=1)
    assert "goodput" in capsys.readouterr().err


def test_the_seconds_of_a_step_are_shared_by_those_that_take_it(monkeypatch):
    now = iter([0.0, 8.0, 12.0, 14.0]).__next__
    monkeypatch.setattr(goodput.time, "perf_counter", now)
    clock = goodput.SharedClock(4)
    assert clock() == 2.0
    clock.leave()
    clock.leave()  # no time passed
