"""Held-out numbers: complete, each example once, summed in float64."""

from types import SimpleNamespace

import numpy as np
import pytest

from bert_jax.train import evaluate


def sums_of(params, batch):
    return {"loss": (batch["x"], batch["n"])}, {}


def test_the_last_batch_is_not_dropped():
    """Two batches of sums, one partly filled, against their sum by hand."""
    batches = iter([{"x": 3.0, "n": 4.0}, {"x": 1.5, "n": 1.0}])
    found = evaluate.total(sums_of, None, batches, lambda: False)
    assert found == evaluate.Evaluated({"loss": (4.5, 5.0)}, {})
    parts = SimpleNamespace(data=None)
    assert evaluate.named(parts, "valid", found) == {"valid/loss": pytest.approx(0.9)}


def test_outputs_go_by_the_number_of_the_example_and_fillers_have_none():
    batches = iter([([4, 2], [1, 1]), ([7, 7], [1, 0])])

    def function(params, batch):
        ids, weights = (np.array(x) for x in batch)
        seen = {"output": ids * 10.0, "example_ids": ids, "weights": weights}
        return {}, seen

    found = evaluate.total(function, None, batches, lambda: False)
    assert found is not None
    assert found.outputs == {4: 40.0, 2: 20.0, 7: 70.0}


def test_a_signal_ends_an_evaluation():
    batches = iter([{}] * 3)
    assert evaluate.total(lambda *_: {}, None, batches, lambda: True) is None


def test_sums_are_added_in_float64():
    many = [{"x": np.float32(16_777_217), "n": np.float32(1)}] * 3
    found = evaluate.total(sums_of, None, iter(many), lambda: False)
    assert found is not None
    assert found.sums["loss"] == (3 * 16_777_216.0, 3.0)
