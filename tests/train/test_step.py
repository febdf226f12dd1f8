"""One update: whole or in micro-batches, and with nothing but its own inputs."""

import jax
import numpy as np
import optax
import pytest

from bert_jax.train import optim, setup, state
from bert_jax.train.step import make_evaluation, make_step


def same(tree):
    return tree


@pytest.fixture(scope="module")
def parts(tiny):
    changes = {
        "model.dropout": 0.1,
        "model.attention_dropout": 0.1,
        "objective.mask_rate": 0.15,
        "objective.mask_unit": "token",
    }
    return setup.build(tiny(changes), None)


NONE = optim.matches("")  # no parameter is frozen


@pytest.fixture(scope="module")
def gradients(parts):
    """The gradients of one update of 32 rows, as the step of plain descent took it."""
    plain = optax.with_extra_args_support(optax.sgd(1.0))
    before = state.initialise(parts.objective.init, plain, 0, parts.placement.shardings)
    batch = parts.placement.batch(parts.train.batch(0, 32, np.arange(32)))

    objective, scalars = parts.objective, state.scalars(parts.config)

    def of(accumulate: int):
        step = make_step(
            objective, plain, lambda step, peak: peak, accumulate, same, NONE
        )
        after, metrics = jax.jit(step)(before, batch, scalars)
        return jax.tree.map(np.subtract, before.params, after.params), metrics

    return of


def test_micro_batches_give_the_gradients_of_the_whole_batch(gradients):
    whole, one = gradients(1)
    parts, two = gradients(4)
    largest = jax.tree.map(lambda a, b: np.abs(a - b).max(), whole, parts)
    assert max(jax.tree.leaves(largest)) < 1e-6
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-6, err_msg=name)


def test_every_parameter_but_unused_rows_gets_a_gradient(gradients):
    whole, _ = gradients(1)
    silent = [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(whole)
        if not np.any(leaf)
    ]
    assert not silent


def test_the_loss_is_the_sum_of_both_losses(gradients):
    _, metrics = gradients(1)
    total = metrics["mlm_loss"] + metrics["pair_loss"]
    np.testing.assert_allclose(metrics["loss"], total, rtol=1e-6)


def test_filler_rows_change_no_evaluation(parts):
    """A batch of eight, and five of its rows with three fillers of weight 0."""
    evaluate = jax.jit(make_evaluation(parts.held_out, same, same, ""))
    create = parts.objective.init, parts.optimiser, 0, parts.placement.shardings
    params = state.initialise(*create).params
    whole = parts.valid.batch(0, 8, np.arange(8))
    weights = np.where(np.arange(8) < 5, 1, 0).astype(np.float32)
    filled, _ = evaluate(params, whole | {"weights": weights})
    alone, _ = evaluate(params, {name: array[:5] for name, array in whole.items()})
    for name, (total, count) in alone.items():
        np.testing.assert_allclose(filled[name][0], total, rtol=1e-5, err_msg=name)
        assert filled[name][1] == count


def test_evaluation_masks_do_not_change(parts):
    evaluate = jax.jit(make_evaluation(parts.held_out, same, same, ""))
    create = parts.objective.init, parts.optimiser, 0, parts.placement.shardings
    params = state.initialise(*create).params
    batch = parts.valid.batch(0, 8, np.arange(8))
    later = batch | {"epochs": batch["epochs"] + 3}
    (one, _), (two, _) = evaluate(params, batch), evaluate(params, later)
    assert one["mlm_loss"][0] == two["mlm_loss"][0]
