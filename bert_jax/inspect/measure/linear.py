"""The linear probe: deterministic multinomial logistic regression."""

from typing import NamedTuple

import numpy as np
from scipy import optimize

from bert_jax.run.config import UsageError

PENALTY = 1.0  # scikit-learn's C=1, its default
RANK = 1e-12  # share of the largest variance below which a direction is rounding
MOST = 1000  # iterations
SMALL = 1e-5  # largest entry of the gradient at the optimum


class LinearProbe(NamedTuple):
    """A linear classifier: logits are x @ weights + bias, of raw features."""

    weights: np.ndarray  # (D, C) float64
    bias: np.ndarray  # (C,) float64; -inf for a class without examples


def fit(x: np.ndarray, y: np.ndarray, classes: int, penalty: float) -> LinearProbe:
    """Fit a probe to features x (n, D) and classes y (n,) int in [0, `classes`).

    With z the features less their mean over their standard deviation, 0 where a feature
    is constant, it minimises the mean over examples of -log softmax(z W + b)[y], plus
    penalty / (2 n) times the sum of W squared; b has no penalty. UsageError for
    features that are not finite.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y)
    if not np.isfinite(x).all():
        raise UsageError("a probe of vectors that are not finite: this run diverged")
    present, labels = np.unique(y, return_inverse=True)
    centre, scale = _standard(x)
    standard = (x - centre) / scale
    basis, damping = _basis(standard, penalty)
    z = standard @ basis
    shape = (z.shape[1] + 1, len(present))
    optimum = optimize.minimize(
        _flat,
        np.zeros(shape).ravel(),
        (z, labels, penalty * damping),
        method="L-BFGS-B",
        jac=True,
        options={"maxiter": MOST, "gtol": SMALL, "ftol": 0.0, "maxcor": 20},
    ).x.reshape(shape)
    weights = np.zeros((x.shape[1], classes))
    weights[:, present] = basis @ optimum[:-1] / scale[:, None]
    bias = np.full(classes, -np.inf)
    bias[present] = optimum[-1] - centre @ weights[:, present]
    return LinearProbe(weights, bias)


def predict(probe: LinearProbe, x: np.ndarray) -> np.ndarray:
    """Predicted classes (n,) int of features (n, D); ties go to the lower number."""
    logits = np.asarray(x, np.float64) @ probe.weights + probe.bias
    return logits.argmax(axis=-1)


def objective(
    parameters: np.ndarray, z: np.ndarray, y: np.ndarray, penalty: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the loss of (K + 1, C) parameters, and its gradient.

    The last row of the parameters is the bias. The loss is the mean over z (n, K) and y
    (n,), plus penalty (K,) / (2 n) times the squares of each row of weights.
    """
    weights, count = parameters[:-1], len(z)
    logits = z @ weights + parameters[-1]
    logits -= logits.max(axis=1, keepdims=True)
    exponentials = np.exp(logits)
    sums = exponentials.sum(axis=1)
    shrunk = penalty[:, None] * weights / count
    loss = np.log(sums).mean() - logits[np.arange(count), y].mean()
    loss += np.sum(shrunk * weights) / 2
    error = exponentials / sums[:, None]
    error[np.arange(count), y] -= 1
    error /= count
    return float(loss), np.vstack([z.T @ error + shrunk, error.sum(axis=0)])


def _flat(parameters: np.ndarray, z, y, penalty) -> tuple[float, np.ndarray]:
    """`objective` of a flat parameter vector, as scipy passes it."""
    loss, gradient = objective(parameters.reshape(z.shape[1] + 1, -1), z, y, penalty)
    return loss, gradient.ravel()


def _standard(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the standard deviation of each feature; a constant's value and 1."""
    constant = (x == x[0]).all(axis=0)  # the computed deviation may differ from 0
    centre = np.where(constant, x[0], x.mean(axis=0))
    return centre, np.where(constant, 1.0, x.std(axis=0))


def _basis(z: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """A preconditioner: `basis` (D, K) and `damping` (K,), with W = basis V.

    The sum of W squared is that of V squared, weighted by `damping`. The columns are
    principal directions, scaled so that the loss is about equally curved along all of
    V. The optimum is that of W, reached in far fewer iterations: vectors of one layer
    vary ten thousand times more in some directions than in others.
    """
    variances, directions = np.linalg.eigh(z.T @ z / len(z))
    kept = variances > RANK * max(variances[-1], np.finfo(float).tiny)
    curved = variances[kept] / 4 + penalty / len(z)  # p (1 - p) is at most 1/4
    return directions[:, kept] / np.sqrt(curved), 1 / curved
