"""Devices to compile for, of which there need not be any."""

import jax
import pytest

from bert_jax.run.config import UsageError
from bert_jax.train.plan import topology


def test_simulated_devices_are_those_of_this_process():
    assert topology.devices("cpu:2") == jax.devices()[:2]
    with pytest.raises(UsageError, match="only 8 devices are simulated here"):
        topology.devices("cpu:9")


def test_gpus_come_in_machines_of_eight():
    with pytest.raises(UsageError, match="12 H100 are no whole machines of 8"):
        topology.devices("h100:12")
