"""Eight simulated devices, shapes checked at run time, no network."""

import os
import socket

# Read by XLA and by jax at their import, here and in the processes that tests start.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"

import hypothesis
import jaxtyping
import pytest

# Not on the whole package: it breaks pytrees that eval_shape rebuilds.
jaxtyping.install_import_hook(
    ["bert_jax.models", "bert_jax.objectives"], "beartype.beartype"
)

hypothesis.settings.register_profile("house", deadline=None, max_examples=50)
hypothesis.settings.load_profile("house")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Fails a test that connects to anything but this machine."""
    connect = socket.socket.connect

    def local_only(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            assert host in ("127.0.0.1", "::1", "localhost"), f"network: {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)
