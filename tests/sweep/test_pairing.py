"""Arms of one seed see the same data in the same order, under the same masks, from the
same initial values: everything that they do not change themselves."""

import hashlib

import jax
import numpy as np
import pytest
from jax.tree_util import tree_flatten_with_path

from bert_jax.train import setup, state
from bert_jax.train.optim import path_name

BASE = {
    "data.pairs": "single",
    "objective.pair": "none",
    "objective.mask_unit": "token",
    "objective.mask_rate": 0.15,
}
ARMS = {
    "rate": {"objective.mask_rate": 0.4},
    "deeper": {"model.num_layers": 3},
    "dropout": {"model.dropout": 0.3},
    "optimiser": {"optim.name": "lamb", "optim.learning_rate": 1e-4},
    "causal": {"objective.kind": "clm", "model.attention": "causal"},
    "post": {"model.norm": "post"},
}


@pytest.fixture(scope="module")
def build(tiny):
    made = {}

    def make(changes):
        known = repr(changes)
        made[known] = made.get(known) or setup.build(
            tiny({"seed": 5, **BASE, **changes}), None
        )
        return made[known]

    return make


@pytest.fixture(scope="module")
def base(build):
    return build({})


def digest(array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def batches(parts: setup.Setup, names: list[str]) -> list[str]:
    """Of the first twenty."""
    rows = parts.placement.rows(parts.config.train.batch)
    found = [parts.train.batch(n, parts.config.train.batch, rows) for n in range(20)]
    return [digest(batch[name]) for batch in found for name in names or sorted(batch)]


def initial(parts: setup.Setup) -> dict[str, tuple[tuple[int, ...], str]]:
    params = jax.jit(parts.objective.init)(state.named_key(parts.config.seed, "init"))
    leaves, _ = tree_flatten_with_path(params)
    return {path_name(path): (leaf.shape, digest(leaf)) for path, leaf in leaves}


def masked(parts: setup.Setup) -> list[set[int]]:
    """The predicted positions of each row of the first batch."""
    size = parts.config.train.batch
    batch = parts.train.batch(0, size, parts.placement.rows(size))
    key = jax.random.key(state.scalars(parts.config)["masking"])
    prepared, _ = jax.jit(parts.objective.prepare)(batch, key)
    found = zip(prepared["positions"], prepared["target_weights"], strict=True)
    return [set(np.asarray(p)[np.asarray(w) > 0].tolist()) for p, w in found]


@pytest.mark.parametrize("arm", ARMS)
def test_arms_of_one_seed_read_equal_batches(build, base, arm):
    assert batches(build(ARMS[arm]), []) == batches(base, [])


@pytest.mark.parametrize("arm", ["deeper", "causal", "post"])
def test_arms_of_one_seed_share_initial_values(build, base, arm):
    ours, theirs = initial(build(ARMS[arm])), initial(base)
    shared = [n for n in ours if n in theirs and ours[n][0] == theirs[n][0]]
    assert len(shared) > 20
    assert {name: ours[name] for name in shared} == {n: theirs[n] for n in shared}


def test_another_seed_is_another_order_and_other_values(build, base):
    other = build({"seed": 6})
    assert not set(batches(other, ["ids"])) & set(batches(base, ["ids"]))
    ours, theirs = initial(other), initial(base)
    random = [name for name in ours if name.endswith(("kernel", "embedding"))]
    assert all(ours[name] != theirs[name] for name in random)


def test_masks_depend_on_rate_only_and_are_nested(build, base):
    assert masked(build({"model.num_layers": 3})) == masked(base)
    replaced = {"objective.mask_token_share": 1.0, "objective.mask_random_share": 0.0}
    assert masked(build(replaced)) == masked(base)
    pairs = zip(masked(build(ARMS["rate"])), masked(base), strict=True)
    assert all(more >= fewer for more, fewer in pairs)
