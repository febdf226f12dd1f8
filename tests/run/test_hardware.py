"""Chips, topologies, and the roofline in numbers worked out by hand."""

import importlib.machinery
import importlib.util
import sys

import pytest

from bert_jax.run import hardware
from bert_jax.run.config import UsageError
from bert_jax.run.hardware import CHIPS, Bounds


def test_the_slowest_part_binds():
    v5e = CHIPS["v5e"]  # 197 TFLOP/s, 819 GB/s, 200 GB/s
    bounds = hardware.roofline(v5e, operations=394e9, moved=8.19e9, sent=0.4e9)
    assert bounds == pytest.approx((0.002, 0.010, 0.002))
    assert bounds.together == pytest.approx(0.010)
    assert bounds.in_turn == pytest.approx(0.014)
    assert bounds.binding == "memory bandwidth"
    assert Bounds(3, 2, 1).binding == "arithmetic"
    assert Bounds(1, 2, 3).binding == "links between chips"


@pytest.mark.parametrize("name", CHIPS)
def test_every_chip_has_a_peak(name):
    assert 1e14 < CHIPS[name].peak < 1e15


def test_a_topology_names_its_chip():
    assert hardware.chip("v5e:2x4") is CHIPS["v5e"]
    assert hardware.chip("v5p:2x2x1") is CHIPS["v5p"]
    assert hardware.chip("h100:8") is CHIPS["h100"]
    assert hardware.chip("cpu:8") is None


@pytest.mark.parametrize(
    "text", ["v5e", "v5e:8", "v9:2x2", "cpu:2x2", "cpu:0", "h100:2x4", ""]
)
def test_another_is_refused(text):
    with pytest.raises(UsageError, match="there is no topology '.*': give v5e:4x4"):
        hardware.chip(text)


def test_simulated_devices_extend_xla_flags(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--some=1")
    flags = hardware.environment("cpu:4")["XLA_FLAGS"]
    assert flags == "--some=1 --xla_force_host_platform_device_count=4"


def test_h100_needs_cuda_plugin(monkeypatch, tmp_path):
    found = importlib.machinery.ModuleSpec("jax_plugins", None, is_package=True)
    found.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    with pytest.raises(UsageError, match=r"needs JAX's CUDA plugin.*'jax\[cuda12\]=="):
        hardware.environment("h100:8")
    (tmp_path / "xla_cuda12").mkdir()
    assert "--xla_gpu_autotune_level=0" in hardware.environment("h100:8")["XLA_FLAGS"]


def test_libtpu_search_paths(monkeypatch, tmp_path):
    monkeypatch.delenv("TPU_LIBRARY_PATH", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    beside = tmp_path / "tpu" / "libtpu" / "libtpu.so"
    monkeypatch.setattr(hardware, "LIBTPU", beside)
    with pytest.raises(UsageError) as refusal:
        hardware.environment("v5e:2x4")
    assert f"{sys.executable} -m pip install" in str(refusal.value)
    assert f"--target {tmp_path / 'tpu'} " in str(refusal.value)
    beside.parent.mkdir(parents=True)
    beside.touch()
    assert hardware.environment("v5e:2x4")["TPU_LIBRARY_PATH"] == str(beside)
    library = tmp_path / "own.so"
    library.touch()
    monkeypatch.setenv("TPU_LIBRARY_PATH", str(library))
    assert hardware.environment("v5e:2x4")["TPU_LIBRARY_PATH"] == str(library)
