"""Meshes: their sizes, and batches that do not divide over them."""

import pytest

from bert_jax.run import mesh
from bert_jax.run.config import UsageError


def test_minus_one_axis_takes_remaining_devices():
    assert mesh.sizes("-1x1x1", 8) == (8, 1, 1)
    assert mesh.sizes("2x-1x2", 8) == (2, 2, 2)
    assert mesh.sizes("1x1x1", 8) == (1, 1, 1)


@pytest.mark.parametrize("text", ["3x-1x1", "16x1x1", "-1x5x1"])
def test_a_mesh_that_does_not_fit_is_refused(text):
    with pytest.raises(
        UsageError, match=f"parallel.mesh={text} does not fit 8 devices"
    ):
        mesh.sizes(text, 8)


def test_batches_are_per_update_and_device_group():
    assert mesh.fitted("4x2x1", 8, {"train.batch": 16}) == (4, 2, 1)
    with pytest.raises(UsageError, match="eval.batch 12 is not divisible by the 8"):
        mesh.fitted("4x2x1", 8, {"train.batch": 16, "eval.batch": 12})
