"""The same numbers on one device and on eight, placed by jit and by pmap."""

import functools

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from bert_jax.run.config import UsageError
from bert_jax.train import loop, setup, state
from bert_jax.train.parallel import placement as parallel
from bert_jax.train.parallel import sharding
from bert_jax.train.step import make_evaluation

STEPS = 20
PLACEMENTS = [
    ("jit", "8x1x1"),
    ("jit", "4x2x1"),
    ("jit", "2x2x2"),
    ("pmap", "8x1x1"),
]
MESHES = ["1x1x2", "1x1x4", "1x1x8", "1x8x1", "1x2x4", "2x1x4"]
HEADS = {"steps": 4, "num_layers": 1, "num_heads": 8}
# Fields that families differ in, together where they can be.
FAMILIES = {
    "modern": {
        "norm": "pre_embed",
        "bias": "none",
        "positions": "rotary",
        "window": 8,
        "activation": "geglu",
        "num_layers": 4,
    },
    "shared": {
        "share": "all",
        "embed_dim": 8,
        "positions": "alibi",
        "norm": "pre_rms",
        "num_types": 0,
    },
}


@pytest.fixture(scope="module")
def losses(tiny):
    """Losses and gradient norms of some steps with dropout, for a placement."""

    @functools.cache
    def run(
        placement: str, mesh: str, steps=STEPS, **model: int | str
    ) -> dict[str, np.ndarray]:
        changes = {
            **{f"model.{key}": value for key, value in model.items()},
            "parallel.placement": placement,
            "parallel.mesh": mesh,
            "model.dropout": 0.1,
            "model.attention_dropout": 0.1,
            "train.steps": steps,
            "train.batch": 16,
        }
        parts = setup.build(tiny(changes), None)
        place = parts.placement
        create = parts.objective.init, parts.optimiser, 0, place.shardings
        current = place.local(state.initialise(*create))
        step, scalars = place.step(loop.step_of(parts)), state.scalars(parts.config)
        logs = []
        for number in range(steps):
            batch = parts.train.batch(number, 16, place.rows(16))
            current, metrics = step(current, place.batch(batch), scalars)
            logs.append(jax.device_get(metrics))
        return {name: np.array([log[name] for log in logs]) for name in logs[0]}

    return run


@pytest.mark.parametrize(("placement", "mesh"), PLACEMENTS)
def test_eight_devices_give_the_losses_of_one(losses, placement, mesh):
    alone, together = losses("jit", "1x1x1"), losses(placement, mesh)
    for name in ("loss", "mlm_loss", "pair_loss", "grad_norm", "unigram_loss"):
        np.testing.assert_allclose(together[name], alone[name], rtol=1e-5)


@pytest.mark.parametrize("mesh", MESHES)
def test_every_shape_of_mesh_gives_the_losses(losses, mesh):
    """FAULTS 6: also where an axis of the batch has one device."""
    alone = losses("jit", "1x1x1", **HEADS)["loss"]
    together = losses("jit", mesh, **HEADS)["loss"]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


@pytest.mark.parametrize(("placement", "mesh"), [("jit", "2x2x2"), ("pmap", "8x1x1")])
@pytest.mark.parametrize("family", FAMILIES)
def test_fields_of_families_give_the_losses_of_one(losses, family, placement, mesh):
    alone = losses("jit", "1x1x1", steps=4, **FAMILIES[family])["loss"]
    together = losses(placement, mesh, steps=4, **FAMILIES[family])["loss"]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


@pytest.mark.parametrize("mesh", ["8x1x1", "1x1x2", "2x2x2"])
def test_eight_devices_evaluate_as_one(tiny, mesh):
    """The sums, and what the network says of each row."""

    def evaluated(mesh):
        parts = setup.build(tiny({"parallel.mesh": mesh}), None)
        place, held_out = parts.placement, parts.held_out
        whole = make_evaluation(held_out, place.psum, place.all_gather, "pair_logits")
        create = held_out.init, parts.optimiser, 0, place.shardings
        batch = place.batch(parts.train.batch(0, 8, place.rows(8)))
        params = state.initialise(*create).params
        return jax.device_get(place.evaluate(whole)(params, batch))

    (sums, seen), (others, shown) = evaluated("1x1x1"), evaluated(mesh)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), sums, others)
    assert (seen["example_ids"] == shown["example_ids"]).all()
    np.testing.assert_allclose(seen["output"], shown["output"], atol=1e-5)


def test_dropout_and_masks_do_something(losses):
    log = losses("jit", "1x1x1")
    assert len(np.unique(log["unigram_loss"])) == STEPS
    assert log["mlm_loss"][-1] < log["mlm_loss"][0]


def test_parameters_are_divided_as_the_rules_say():
    mesh = parallel.grid(jax.devices(), (2, 2, 2))

    def spec(path, *shape):
        return sharding.spec(path, shape, mesh)

    block = "encoder/block_00/"
    assert spec(block + "attention/query/kernel", 16, 16) == P("fsdp", "tensor")
    assert spec(block + "attention/out/kernel", 16, 16) == P("tensor", "fsdp")
    assert spec(block + "mlp/up/bias", 32) == P("tensor")
    assert spec("encoder/embeddings/token/embedding", 100, 16) == P("tensor", "fsdp")
    assert spec("encoder/embeddings/token/embedding", 101, 16) == P(None, "fsdp")
    assert spec("pooler/kernel", 16, 16) == P(None, "fsdp")
    assert spec(block + "mlp_norm/scale", 16) == P(None)
    # Moments follow their parameters: their paths end alike.
    moment = "opt_state/1/0/mu/" + block + "mlp/down/kernel"
    assert spec(moment, 32, 16) == P("tensor", "fsdp")


def test_runs_that_differ_in_seed_and_rate_are_one_program(tiny):
    def program(seed: int, rate: float) -> tuple[str, dict]:
        changes = {"seed": seed, "optim.learning_rate": rate, "model.dropout": 0.1}
        parts = setup.build(tiny(changes), None)
        batch = parts.placement.batch(parts.train.batch(0, 8, np.arange(8)))
        scalars = state.scalars(parts.config)
        step = parts.placement.step(loop.step_of(parts))
        return step.lower(parts.shapes(), batch, scalars).as_text(), scalars

    (one, first), (other, second) = program(0, 1e-3), program(1, 2e-3)
    assert one == other
    assert not any(first[name] == second[name] for name in first)


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(UsageError, match="train.batch 12 is not divisible by the 8"):
        parallel.place("jit", "8x1x1", {"train.batch": 12})


def test_pmap_refuses_a_mesh_of_more_than_one_axis():
    with pytest.raises(UsageError, match="pmap needs mesh Nx1x1, not 4x2x1"):
        parallel.place("pmap", "4x2x1", {})
