"""Schedules and optimisers against numbers worked out by hand or by plain numpy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bert_jax.run.config import UsageError
from bert_jax.train import optim
from configs import base

PARAMS = {
    "encoder": {"dense": {"kernel": [[1.0, -2.0], [0.5, 4.0]], "bias": [0.5, -0.5]}},
    "head": {"kernel": [3.0, -1.0], "bias": [0.0]},
}
GRADIENTS = [
    {
        "encoder": {"dense": {"kernel": [[0.3, -0.1], [0.2, 0.0]], "bias": [0.1, 0.4]}},
        "head": {"kernel": [-0.2, 0.1], "bias": [0.05]},
    },
    {
        "encoder": {"dense": {"kernel": [[0.1, 0.2], [-0.3, 0.2]], "bias": [0.0, 0.1]}},
        "head": {"kernel": [0.1, 0.3], "bias": [-0.02]},
    },
    {
        "encoder": {"dense": {"kernel": [[0.2, 0.0], [0.1, 0.1]], "bias": [0.3, -0.1]}},
        "head": {"kernel": [0.4, -0.1], "bias": [0.01]},
    },
]


def config(**changes):
    settings = base.get_config().optim
    settings.schedule = "constant"
    settings.warmup_steps = 0
    settings.learning_rate = 0.1
    settings.weight_decay = 0.0
    settings.clip_norm = 0.0
    settings.update(changes)
    return settings


def arrays(tree):
    return jax.tree.map(
        lambda leaf: np.asarray(leaf, np.float32),
        tree,
        is_leaf=lambda node: isinstance(node, list),
    )


def run(settings, gradients=GRADIENTS, steps=100):
    """The parameters after one update for each gradient."""
    optimiser = optim.make(settings, steps)
    params = jax.tree.map(jnp.asarray, arrays(PARAMS))
    state = optimiser.init(params)
    update = jax.jit(partial(optimiser.update, learning_rate=settings.learning_rate))
    for step, gradient in enumerate(gradients):
        updates, state = update(arrays(gradient), state, params, step=step)
        params = optax.apply_updates(params, updates)
    return jax.tree.map(np.asarray, params)


def once(optimiser, gradients, params):
    """The updates and the state after one update."""
    state = optimiser.init(params)
    return optimiser.update(gradients, state, params, learning_rate=0.1, step=0)


def by_hand(path, direction, rates=(0.1, 0.1, 0.1)):
    """One parameter moved by `direction(mean, square, step, value)` at each step."""

    def leaf(tree):
        for name in path.split("/"):
            tree = tree[name]
        return np.asarray(tree, np.float64)

    value = leaf(PARAMS)
    mean, square = np.zeros_like(value), np.zeros_like(value)
    for step, (gradient, rate) in enumerate(zip(GRADIENTS, rates, strict=True), 1):
        mean = 0.9 * mean + 0.1 * leaf(gradient)
        square = 0.999 * square + 0.001 * leaf(gradient) ** 2
        value = value - rate * direction(mean, square, step, value)
    return value


def adam(mean, square, step, value):
    mean, square = mean / (1 - 0.9**step), square / (1 - 0.999**step)
    return mean / (np.sqrt(square) + 1e-6)


def bert_adam(mean, square, step, value):
    return mean / (np.sqrt(square) + 1e-6)


@pytest.mark.parametrize(
    ("correction", "direction"), [(True, adam), (False, bert_adam)]
)
def test_adam_with_and_without_bias_correction(correction, direction):
    params = run(config(bias_correction=correction))
    kernel = params["encoder"]["dense"]["kernel"]
    expected = by_hand("encoder/dense/kernel", direction)
    np.testing.assert_allclose(kernel, expected, rtol=2e-5)


def test_the_first_corrected_step_is_one_rate_long_and_the_uncorrected_3_16_times():
    gradients = [{"x": jnp.array([0.5, -0.2])}]
    params = {"x": jnp.zeros(2)}
    for correction, length in [(True, 1.0), (False, 0.1 / np.sqrt(0.001))]:
        optimiser = optim.make(config(bias_correction=correction), 10)
        updates, _ = once(optimiser, gradients[0], params)
        np.testing.assert_allclose(updates["x"], [-0.1 * length, 0.1 * length], 1e-3)


def test_both_adams_keep_the_same_moments():
    params = {"x": jnp.ones(2)}
    states = []
    for correction in (True, False):
        optimiser = optim.make(config(bias_correction=correction), 10)
        states.append(once(optimiser, params, params)[1])
    assert jax.tree.structure(states[0]) == jax.tree.structure(states[1])
    jax.tree.map(np.testing.assert_array_equal, *states)


def test_weight_decay_is_decoupled_and_spares_norms_and_biases():
    params = run(config(weight_decay=0.01))
    decayed = by_hand(
        "head/kernel", lambda m, v, t, value: adam(m, v, t, value) + 0.01 * value
    )
    np.testing.assert_allclose(params["head"]["kernel"], decayed, rtol=2e-5)
    spared = by_hand("encoder/dense/bias", adam)
    np.testing.assert_allclose(params["encoder"]["dense"]["bias"], spared, rtol=2e-5)


def test_an_empty_rule_spares_nothing():
    params = run(config(weight_decay=0.01, no_decay=""))
    decayed = by_hand(
        "encoder/dense/bias", lambda m, v, t, value: adam(m, v, t, value) + 0.01 * value
    )
    np.testing.assert_allclose(params["encoder"]["dense"]["bias"], decayed, rtol=2e-5)


def test_lamb_scales_each_weight_matrix_by_its_trust_ratio_but_no_bias():
    params = run(config(name="lamb", weight_decay=0.01))

    def lamb(mean, square, step, value):
        direction = adam(mean, square, step, value) + 0.01 * value
        return direction * np.linalg.norm(value) / np.linalg.norm(direction)

    expected = by_hand("encoder/dense/kernel", lamb)
    kernel = params["encoder"]["dense"]["kernel"]
    np.testing.assert_allclose(kernel, expected, rtol=2e-5)
    bias = by_hand("encoder/dense/bias", adam)
    np.testing.assert_allclose(params["encoder"]["dense"]["bias"], bias, rtol=2e-5)


def test_lamb_without_bias_correction_uses_the_raw_moments():
    params = run(config(name="lamb", bias_correction=False))

    def lamb(mean, square, step, value):
        direction = bert_adam(mean, square, step, value)
        return direction * np.linalg.norm(value) / np.linalg.norm(direction)

    expected = by_hand("head/kernel", lamb)
    np.testing.assert_allclose(params["head"]["kernel"], expected, rtol=2e-5)


def first_moment(settings, gradient):
    optimiser = optim.make(settings, 10)
    params = jax.tree.map(jnp.asarray, arrays(PARAMS))
    _, state = once(optimiser, arrays(gradient), params)
    return state[1][0].mu


@pytest.mark.parametrize(("limit", "factor"), [(0.3, 0.5), (0.6, 1.0), (0.0, 1.0)])
def test_clipping_scales_all_gradients_by_one_factor_and_only_above_the_limit(
    limit, factor
):
    gradient = jax.tree.map(np.zeros_like, arrays(PARAMS))
    gradient["encoder"]["dense"]["kernel"][0, 0] = 0.36
    gradient["head"]["bias"][0] = 0.48  # the norm of both is 0.6
    mean = first_moment(config(clip_norm=limit), gradient)
    np.testing.assert_allclose(
        mean["encoder"]["dense"]["kernel"][0, 0], 0.1 * 0.36 * factor, rtol=1e-6
    )
    np.testing.assert_allclose(mean["head"]["bias"][0], 0.1 * 0.48 * factor, rtol=1e-6)


def test_frozen_parameters_stay_bit_for_bit_and_the_others_move_as_if_alone():
    settings = config(freeze="^encoder/", weight_decay=0.01, clip_norm=0.1)
    params = run(settings)
    jax.tree.map(
        np.testing.assert_array_equal, params["encoder"], arrays(PARAMS)["encoder"]
    )
    huge = [
        {
            **gradient,
            "encoder": jax.tree.map(
                lambda leaf: leaf * 1e6, arrays(gradient)["encoder"]
            ),
        }
        for gradient in GRADIENTS
    ]
    again = run(settings, huge)  # the norm that clips leaves the frozen ones out
    jax.tree.map(np.testing.assert_array_equal, params["head"], again["head"])
    assert not np.array_equal(params["head"]["bias"], arrays(PARAMS)["head"]["bias"])


def test_frozen_parameters_have_no_moments():
    optimiser = optim.make(config(freeze="^encoder/"), 10)
    leaves = jax.tree.leaves(optimiser.init(jax.tree.map(jnp.asarray, arrays(PARAMS))))
    shapes = sorted(leaf.shape for leaf in leaves)
    assert shapes == [(), (), (1,), (1,), (2,), (2,)]


def test_a_freeze_rule_that_matches_nothing_is_refused():
    with pytest.raises(
        UsageError, match="optim.freeze = 'encodr' matches no parameter"
    ):
        run(config(freeze="encodr"))


def rates(steps, at, **changes):
    rate = optim.schedule(config(**changes), steps)
    return [float(rate(step, 2.0)) for step in at]


# Warm-up over 10 of 110 steps, peak 2: at its first step, half way, at its end, half
# way down from there, at the last step and past it.
AT = (0, 5, 10, 60, 110, 111, 1000)


@pytest.mark.parametrize(
    ("schedule", "decay_from", "end_share", "expected"),
    [
        ("linear", "warmup_end", 0.0, [0, 1, 2, 1, 0, 0, 0]),
        ("linear", "warmup_end", 0.1, [0, 1, 2, 1.1, 0.2, 0.2, 0.2]),
        ("linear", "start", 0.0, [0, 1, 200 / 110, 100 / 110, 0, 0, 0]),
        (
            "linear",
            "start",
            0.1,
            [0, 1, 0.2 + 180 / 110, 0.2 + 90 / 110, 0.2, 0.2, 0.2],
        ),
        ("cosine", "warmup_end", 0.0, [0, 1, 2, 1, 0, 0, 0]),
        ("cosine", "warmup_end", 0.1, [0, 1, 2, 1.1, 0.2, 0.2, 0.2]),
        (
            "cosine",
            "start",
            0.0,
            [0, 1, 1 + np.cos(np.pi / 11), 1 + np.cos(np.pi * 6 / 11), 0, 0, 0],
        ),
        ("constant", "start", 0.0, [0, 1, 2, 2, 2, 2, 2]),
        ("constant", "warmup_end", 0.1, [0, 1, 2, 2, 2, 2, 2]),
    ],
)
def test_the_rate_at_each_landmark(schedule, decay_from, end_share, expected):
    found = rates(
        110,
        AT,
        schedule=schedule,
        decay_from=decay_from,
        end_share=end_share,
        warmup_steps=10,
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("decay_from", ["start", "warmup_end"])
def test_without_warmup_the_first_update_has_the_peak_rate(decay_from):
    found = rates(4, (0, 1, 4), schedule="linear", decay_from=decay_from)
    np.testing.assert_allclose(found, [2, 1.5, 0], atol=1e-6)


def test_a_warmup_of_the_whole_run_only_rises():
    found = rates(
        4, range(5), schedule="linear", decay_from="warmup_end", warmup_steps=4
    )
    np.testing.assert_allclose(found, [0, 0.5, 1, 1.5, 2], atol=1e-6)


def test_the_rate_of_an_update_is_the_schedule_at_the_number_of_updates_before():
    settings = config(schedule="linear", decay_from="warmup_end", warmup_steps=2)
    expected = by_hand("head/kernel", adam, rates=(0, 0.05, 0.1))
    found = run(settings, steps=10)["head"]["kernel"]
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def deep():
    """Two blocks between embeddings and a head, all ones."""
    names = ["embeddings", "block_00", "block_01", "final_norm"]
    leaf = {"kernel": jnp.ones(2)}
    return {"encoder": {name: leaf for name in names}, "pooler": leaf}


def test_each_layer_is_trained_at_a_share_of_the_rate_of_the_one_above():
    """Adam's first update is the rate itself, whatever the gradient."""
    optimiser = optim.make(config(layer_decay=0.5, epsilon=1e-12), 10)
    updates, _ = once(optimiser, deep(), deep())
    moved = {name: -leaf["kernel"][0] for name, leaf in updates["encoder"].items()}
    expected = {"embeddings": 0.0125, "block_00": 0.025, "block_01": 0.05}
    # 1 - 0.999 has five digits in float32.
    assert moved == pytest.approx(expected | {"final_norm": 0.1}, rel=1e-5)
    assert -updates["pooler"]["kernel"][0] == pytest.approx(0.1, rel=1e-5)


def test_what_is_frozen_stays_so_beside_layers_of_other_rates():
    settings = config(layer_decay=0.5, freeze="block_01", weight_decay=0.1)
    optimiser = optim.make(settings, 10)
    updates, _ = once(optimiser, deep(), deep())
    assert not updates["encoder"]["block_01"]["kernel"].any()
    assert updates["encoder"]["block_00"]["kernel"].all()


def test_without_layer_decay_the_optimiser_is_what_it_was():
    optimiser = optim.make(config(), 10)
    assert len(optimiser.init(deep())) == 3
