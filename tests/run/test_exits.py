import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bert_jax.run import exits

ROOT = Path(__file__).parents[2]


def alone(requested):
    return requested


def test_exit_codes_are_those_that_scripts_rely_on():
    assert (exits.DONE, exits.USAGE, exits.PREEMPTED, exits.DIVERGED) == (0, 2, 75, 77)
    assert exits.STALLED == 76
    assert exits.STALLED not in exits.FINAL


@pytest.mark.parametrize("number", exits.SIGNALS)
def test_signal_requests_stop_and_prints_once(number, capfd):
    with exits.Stopping(alone) as stopping:
        assert not stopping()
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)
        assert stopping()
        assert stopping()
    message = capfd.readouterr().err
    name = signal.Signals(number).name
    assert message.strip() == f"{name}: stopping after this step; saving"


def test_a_second_interrupt_ends_at_once():
    with exits.Stopping(alone) as stopping:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert stopping()


def test_interrupt_after_other_signal_is_first_interrupt():
    with exits.Stopping(alone) as stopping:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert stopping()


def test_one_host_asked_stops_them_all():
    asked = []

    def any_host(requested):
        asked.append(requested)
        return True

    with exits.Stopping(any_host) as stopping:
        assert stopping()
    assert asked == [False]


def test_the_handlers_before_come_back():
    before = [signal.getsignal(number) for number in exits.SIGNALS]
    with exits.Stopping(alone):
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    assert [signal.getsignal(number) for number in exits.SIGNALS] == before


# What XLA's notifier does when jax.distributed starts, done here by hand.
STOLEN = """
import ctypes, os, signal
from bert_jax.run.exits import Stopping
handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: None)
with Stopping(lambda requested: requested) as stopping:
    ctypes.CDLL(None).signal(signal.SIGTERM, handler)
    os.kill(os.getpid(), signal.SIGTERM)
    print(stopping())
    stopping.install()
    os.kill(os.getpid(), signal.SIGTERM)
    print(stopping())
"""


def test_replaced_handlers_can_be_installed_again():
    command = [sys.executable, "-c", STOLEN]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["False", "True"]
