"""A machine in equal parts."""

import pytest

from bert_jax.run.config import UsageError
from bert_jax.sweep.cluster import slots


@pytest.fixture
def machine(monkeypatch):
    """machine(cores, gpus): what there is."""

    def use(cores: int, gpus: str):
        monkeypatch.setattr(slots, "_cores", lambda: list(range(cores)))
        monkeypatch.delenv("JAX_PLATFORMS", raising=False)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)

    return use


def test_one_slot_has_all_devices(machine):
    machine(2, "")
    assert slots.split_machine(1) == [((), {}, 1)]


@pytest.mark.parametrize(
    ("count", "cores"),
    [
        (2, [(0, 1), (2, 3)]),
        (3, [(0,), (1,), (2, 3)]),
        (6, [(0,), (1,), (2,), (3,), (0,), (1,)]),
    ],
)
def test_cores_are_shared_out(machine, count, cores):
    machine(4, "")
    assert [slot.cores for slot in slots.split_machine(count)] == cores


def test_gpus_are_shared_out(machine):
    machine(4, "4,5,6,7")
    found = [(slot.environment, slot.devices) for slot in slots.split_machine(2)]
    visible = [{"CUDA_VISIBLE_DEVICES": names} for names in ("4,5", "6,7")]
    assert found == [(visible[0], 2), (visible[1], 2)]


def test_gpus_of_no_use_are_not_counted(machine, monkeypatch):
    machine(2, "0,1,2")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert [slot.devices for slot in slots.split_machine(2)] == [1, 1]


@pytest.mark.parametrize(
    ("count", "message"), [(0, "one or more"), (3, "does not divide")]
)
def test_an_uneven_share_is_refused(machine, count, message):
    machine(4, "0,1")
    with pytest.raises(UsageError, match=f"--slots={count}.*{message}"):
        slots.split_machine(count)
