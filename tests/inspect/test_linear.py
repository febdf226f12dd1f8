"""The linear probe against its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from bert_jax.inspect.measure import linear
from bert_jax.run.config import UsageError


def drawn(seed: int, count: int, size: int, classes: int):
    """Features of very different scales that partly determine the classes."""
    draw = np.random.default_rng(seed)
    y = draw.integers(classes, size=count)
    x = draw.normal(size=(count, size)) + draw.normal(size=(classes, size))[y]
    return (x * 10.0 ** draw.integers(-3, 3, size) + draw.normal(size=size)), y


def loss(x, y, classes, penalty, weights, bias):
    """The objective of `fit` as documented, for weights on standardised features."""
    z = (x - x.mean(0)) / x.std(0)
    logits = z @ weights + bias
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return (
        -logs[np.arange(len(y)), y].mean() + penalty / 2 / len(y) * (weights**2).sum()
    )


@settings(max_examples=10)
@given(st.integers(0, 99), st.integers(1, 4), st.integers(1, 4))
def test_gradient_is_that_of_finite_differences(seed, size, classes):
    z, y = drawn(seed, 9, size, classes)
    z = (z - z.mean(0)) / z.std(0)
    penalty = np.linspace(0.5, 2, size)
    parameters = np.random.default_rng(seed).normal(size=(size + 1, classes))

    def value(flat):
        return linear.objective(flat.reshape(parameters.shape), z, y, penalty)[0]

    wanted = optimize.approx_fprime(parameters.ravel(), value, 1e-6)
    found = linear.objective(parameters, z, y, penalty)[1]
    np.testing.assert_allclose(found.ravel(), wanted, atol=1e-5)


@pytest.mark.parametrize(("classes", "penalty"), [(2, 1.0), (3, 0.1), (4, 10.0)])
def test_it_reaches_the_optimum_of_another_method(classes, penalty):
    x, y = drawn(1, 40, 3, classes)
    size = 3 * classes

    def value(flat):
        return loss(x, y, classes, penalty, flat[:size].reshape(3, -1), flat[size:])

    wanted = optimize.minimize(value, np.zeros(size + classes), method="BFGS")
    fitted = linear.fit(x, y, classes, penalty)
    weights = fitted.weights * x.std(0)[:, None]
    bias = fitted.bias + x.mean(0) @ fitted.weights
    assert loss(x, y, classes, penalty, weights, bias) <= wanted.fun + 1e-6
    np.testing.assert_allclose(weights, wanted.x[:size].reshape(3, -1), atol=2e-3)


def test_two_points_have_an_optimum_known_by_hand():
    """z = -1, 1 of classes 0, 1: by symmetry W = (-w, w), b = 0, and with s the chance
    of the wrong class, 1 / (1 + e^2w), the derivative w - 2 s vanishes."""
    fitted = linear.fit(np.array([[3.0], [7.0]]), np.array([0, 1]), 2, 1.0)
    w = optimize.brentq(lambda w: w - 2 / (1 + np.exp(2 * w)), 0, 2)
    np.testing.assert_allclose(fitted.weights, [[-w / 2, w / 2]], atol=1e-5)
    np.testing.assert_allclose(fitted.bias, [5 * w / 2, -5 * w / 2], atol=1e-4)


def test_constant_features_give_the_class_frequencies():
    x, y = np.full((10, 3), 0.1), np.array([2] * 6 + [0] * 3 + [3])
    fitted = linear.fit(x, y, 5, 1.0)
    assert not fitted.weights.any()
    chances = np.exp(fitted.bias) / np.exp(fitted.bias).sum()
    np.testing.assert_allclose(chances, [0.3, 0, 0.6, 0.1, 0][:5], atol=1e-4)
    assert linear.predict(fitted, x).tolist() == [2] * 10


def test_a_class_without_example_is_never_predicted():
    x, y = drawn(2, 30, 4, 2)
    fitted = linear.fit(x, y * 2 + 1, 5, 1.0)
    assert set(linear.predict(fitted, 100 * x)) <= {1, 3}


def test_one_class_alone():
    fitted = linear.fit(np.eye(3), np.ones(3, int), 3, 1.0)
    assert linear.predict(fitted, np.eye(3)).tolist() == [1, 1, 1]


@settings(max_examples=4)
@given(st.integers(0, 99))
def test_scale_and_place_of_features_do_not_matter(seed):
    x, y = drawn(seed, 30, 5, 3)
    draw = np.random.default_rng(seed)
    moved = x * draw.uniform(0.1, 10, 5) + draw.normal(size=5)
    one, two = linear.fit(x, y, 3, 1.0), linear.fit(moved, y, 3, 1.0)
    np.testing.assert_allclose(
        one.weights * x.std(0)[:, None], two.weights * moved.std(0)[:, None], atol=1e-3
    )


def test_more_features_than_examples_are_fitted_deterministically():
    x, y = drawn(3, 12, 50, 3)
    one = linear.fit(x.astype(np.float32), y, 3, 1.0)
    assert linear.predict(one, x).tolist() == y.tolist()
    assert (linear.fit(x.astype(np.float32), y, 3, 1.0).weights == one.weights).all()


def test_the_penalty_shrinks():
    x, y = drawn(4, 50, 4, 3)
    sizes = [
        np.sum((linear.fit(x, y, 3, p).weights * x.std(0)[:, None]) ** 2)
        for p in (0.1, 1.0, 10.0)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_vectors_of_a_run_that_diverged_are_refused():
    with pytest.raises(UsageError, match="not finite"):
        linear.fit(np.array([[1.0], [np.nan]]), np.array([0, 1]), 2, 1.0)
