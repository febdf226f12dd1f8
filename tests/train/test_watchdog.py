"""A process in which nothing moves ends, and says where it stood."""

import os
import subprocess
import sys
import time

import jax
import pytest

from bert_jax.run import config as configs
from bert_jax.run import exits, rundir
from bert_jax.train import loop, watchdog
from bert_jax.train.watchdog import Watchdog
from tests.running import ROOT

SECONDS = 6.0
RUN = """
import pathlib, sys, time
from bert_jax.run import config
from bert_jax.train import checkpoint, loop, writer
from bert_jax.data import pipeline

def hangs(kind, name, calls):
    real, left = getattr(kind, name), iter(range(calls))
    def until(*given):
        if next(left, None) is None:
            time.sleep(3600)
        return real(*given)
    setattr(kind, name, until)

hangs({place})
sys.exit(loop.run(config.load(sys.argv[1], {{}}), pathlib.Path(sys.argv[2])))
"""


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("writer.Writer, 'later', 3", "in loop"),  # a step that is never over
        ("pipeline.Pipeline, 'batch', 7", "in until"),  # in its own thread
        ("checkpoint.Checkpoints, '_finish', 1", "in wait"),
    ],
)
def test_what_hangs_ends_with_its_stacks(tiny, tmp_path, place, said):
    changes = {"model.num_layers": 1, "train.watchdog": SECONDS, "train.save_every": 2}
    config = tiny(changes)
    path, workdir = tmp_path / "config.json", tmp_path / "run"
    path.write_text(configs.canonical(config))
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(place=place), str(path), str(workdir)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == exits.STALLED, done.stderr
    assert (
        f"stalled: no step, no batch of an evaluation and no part of a save for {SECONDS:g} s"
        in done.stderr
    )
    assert said in (workdir / rundir.STACKS).read_text()
    assert loop.run(config, workdir) == exits.DONE


@pytest.fixture
def ends(monkeypatch):
    """The moments at which a watchdog would have ended the process."""
    found: list[float] = []
    monkeypatch.setattr(
        Watchdog, "_end", lambda self: (found.append(time.monotonic()), self.fed())
    )
    return found


def test_compiling_is_waited_for(tmp_path, ends):
    slow = jax.jit(lambda x: (time.sleep(1), x + 1)[1])
    with Watchdog([tmp_path], 0.2):
        slow(1.0)
    assert not ends
    for name in watchdog.COMPILERS:
        assert os.path.exists(os.path.join(os.path.dirname(jax.__file__), "..", name))


def test_what_moves_is_left_alone_and_what_does_not_is_ended(tmp_path, ends):
    with Watchdog([tmp_path], 0.4) as dog:
        asked = dog.feeding(lambda: False)
        for _ in range(10):
            time.sleep(0.1)
            assert not asked()
        assert not ends
        time.sleep(1)
        assert ends
    with Watchdog([tmp_path], 0.0):
        time.sleep(0.1)


def test_a_checkpoint_that_grows_is_waited_for(tmp_path, ends):
    (tmp_path / rundir.CHECKPOINTS).mkdir()
    with (
        Watchdog([tmp_path], 0.4),
        (tmp_path / rundir.CHECKPOINTS / "0").open("w") as f,
    ):
        for _ in range(12):
            f.write("part")
            f.flush()
            time.sleep(0.1)
    assert not ends


@pytest.mark.parametrize(
    ("pauses", "ended"), [([0.1, 1, 0.1], False), ([0.1] * 6, True)]
)
def test_a_suspended_process_is_none_that_stalls(tmp_path, ends, pauses, ended):
    left = iter(pauses)

    def wait(_):
        pause = next(left, None)
        time.sleep(pause or 0)
        return pause is None

    dog = Watchdog([tmp_path], 0.4)
    dog._over.wait = wait
    dog._watch()
    assert bool(ends) == ended
