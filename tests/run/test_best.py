"""Which step is the best, and when there has been no better for long enough."""

import math
from types import SimpleNamespace

import pytest

from bert_jax.run import best
from bert_jax.run.history import History


def config(patience=0, keep_best=True, metric="", kind="classify"):
    return SimpleNamespace(
        train=SimpleNamespace(keep_best=keep_best, patience=patience),
        task=SimpleNamespace(metric=metric),
        objective=SimpleNamespace(kind=kind),
    )


def history(*scores: float, name="valid/accuracy"):
    found = History()
    for i, score in enumerate(scores):
        found.add(10 * (i + 1), {name: score, "time/seconds": 1.0 * i})
    return found


def test_the_best_is_the_first_of_equals():
    assert best.step(config(), history(0.5, 0.7, 0.6, 0.7), 40) == 20


def test_what_comes_later_does_not_count():
    assert best.step(config(), history(0.5, 0.7, 0.9), 20) == 20
    assert best.step(config(), history(0.5), 5) is None


def test_without_keep_best_there_is_none():
    assert best.step(config(keep_best=False), history(0.5, 0.7), 20) is None
    assert not best.is_patience_exhausted(
        config(1, keep_best=False), history(0.9, 0.1), 20
    )


def test_nonfinite_score_is_worst():
    assert best.step(config(), history(math.nan, -0.3, math.nan), 30) == 20
    assert best.step(config(), history(math.nan, math.inf), 20) is None


def test_the_metric_is_the_one_that_decides():
    steps = history(0.1, 0.9, name="valid/exact")
    steps.add(30, {"valid/f1": 0.2})
    assert best.step(config(kind="span"), steps, 30) == 30
    assert best.step(config(kind="span", metric="exact"), steps, 30) == 20


@pytest.mark.parametrize(
    ("until", "expected"), [(10, False), (20, False), (30, False), (40, True)]
)
def test_patience_counts_evaluations_after_the_best(until, expected):
    found = history(0.5, 0.7, 0.6, 0.7, 0.9)
    assert best.is_patience_exhausted(config(patience=2), found, until) is expected


def test_patience_counts_evaluations_since_best():
    found = history(0.5, 0.4, 0.6, 0.5)
    found.add(45, {"train/loss": 1.0})
    assert not best.is_patience_exhausted(config(patience=2), found, 45)
    assert not best.is_patience_exhausted(
        config(patience=0), history(0.9, 0.1, 0.1), 30
    )
