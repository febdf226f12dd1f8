"""The linear probe: multinomial logistic regression, the same every time."""

from typing import NamedTuple

import numpy as np
from scipy import optimize

from bert_jax.run.config import UsageError

PENALTY = 1.0  # scikit-learn's C=1, its default
RANK = 1e-12  # of the largest variance: a direction of less is rounding
MOST = 1000  # iterations
SMALL = 1e-5  # of the gradient's largest entry: it is at the optimum


class Linear(NamedTuple):
    """Logits are x @ weights + bias, of features as they come."""

    weights: np.ndarray  # (D, C) float64
    bias: np.ndarray  # (C,) float64; -inf of a class without example


def fit(x: np.ndarray, y: np.ndarray, classes: int, penalty: float) -> Linear:
    """The probe of features x (n, D) and classes y (n,) int in [0, `classes`).

    With z the features less their mean over their deviation, 0 where a feature is
    constant, it minimises the mean over examples of -log softmax(z W + b)[y], plus
    penalty / (2 n) times the sum of W squared; b is free. UsageError for features that
    are not finite.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y)
    if not np.isfinite(x).all():
        raise UsageError("a probe of vectors that are not finite: this run diverged")
    held, labels = np.unique(y, return_inverse=True)
    centre, scale = _standard(x)
    standard = (x - centre) / scale
    basis, damping = _basis(standard, penalty)
    z = standard @ basis
    shape = (z.shape[1] + 1, len(held))
    found = optimize.minimize(
        _flat,
        np.zeros(shape).ravel(),
        (z, labels, penalty * damping),
        method="L-BFGS-B",
        jac=True,
        options={"maxiter": MOST, "gtol": SMALL, "ftol": 0.0, "maxcor": 20},
    ).x.reshape(shape)
    weights = np.zeros((x.shape[1], classes))
    weights[:, held] = basis @ found[:-1] / scale[:, None]
    bias = np.full(classes, -np.inf)
    bias[held] = found[-1] - centre @ weights[:, held]
    return Linear(weights, bias)


def predict(linear: Linear, x: np.ndarray) -> np.ndarray:
    """(n, D) -> (n,) int: the likeliest class, the lowest number of equal ones."""
    logits = np.asarray(x, np.float64) @ linear.weights + linear.bias
    return logits.argmax(axis=-1)


def objective(
    parameters: np.ndarray, z: np.ndarray, y: np.ndarray, penalty: np.ndarray
) -> tuple[float, np.ndarray]:
    """The mean loss of (K + 1, C) parameters, the last line the bias, on z (n, K) and
    y (n,), with penalty (K,) / (2 n) of each line's squares; and its gradient."""
    weights, count = parameters[:-1], len(z)
    logits = z @ weights + parameters[-1]
    logits -= logits.max(axis=1, keepdims=True)
    chances = np.exp(logits)
    sums = chances.sum(axis=1)
    shrunk = penalty[:, None] * weights / count
    loss = np.log(sums).mean() - logits[np.arange(count), y].mean()
    loss += np.sum(shrunk * weights) / 2
    error = chances / sums[:, None]
    error[np.arange(count), y] -= 1
    error /= count
    return float(loss), np.vstack([z.T @ error + shrunk, error.sum(axis=0)])


def _flat(parameters: np.ndarray, z, y, penalty) -> tuple[float, np.ndarray]:
    """`objective` of a vector, as scipy has it."""
    loss, gradient = objective(parameters.reshape(z.shape[1] + 1, -1), z, y, penalty)
    return loss, gradient.ravel()


def _standard(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the deviation of each feature; of a constant its value and 1."""
    constant = (x == x[0]).all(axis=0)  # their computed deviation may differ from 0
    centre = np.where(constant, x[0], x.mean(axis=0))
    return centre, np.where(constant, 1.0, x.std(axis=0))


def _basis(z: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """(D, K) and (K,): W = basis V has the squares of `damping` times those of V.

    The principal directions, scaled so that the loss is about equally curved along all
    of V. The optimum is that of W, and is reached in far fewer iterations: vectors of
    one layer vary ten thousand times more in some directions than in others.
    """
    variances, directions = np.linalg.eigh(z.T @ z / len(z))
    kept = variances > RANK * max(variances[-1], np.finfo(float).tiny)
    curved = variances[kept] / 4 + penalty / len(z)  # p (1 - p) is at most 1/4
    return directions[:, kept] / np.sqrt(curved), 1 / curved
