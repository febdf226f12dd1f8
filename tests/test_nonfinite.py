"""Numbers that are not finite: told by the update, skipped, and never kept."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bert_jax.objectives.base import Objective
from bert_jax.run import config as configs
from bert_jax.run import exits, record, rundir
from bert_jax.run.config import UsageError
from bert_jax.run.history import History
from bert_jax.train import checkpoint, loop, optim, session, state
from bert_jax.train.parallel import placement as parallel
from bert_jax.train.state import TrainState
from bert_jax.train.step import MOST_SKIPPED, make_step

OWN = {"masking": np.uint32(0), "dropout": np.uint32(0)}
PLACES = [("jit", "8x1x1"), ("jit", "2x4x1"), ("jit", "2x2x2"), ("pmap", "8x1x1")]
RATE = np.float32(0.5)


def product(params, batch, key, counts):
    """The mean product of rows and one vector."""
    rows = batch["x"] @ params["w"]
    return rows.sum() / counts["task"], {"task_loss": (rows.sum(), jnp.float32(8))}


LINEAR = Objective(
    init=lambda key: {"w": jnp.ones((4, 1))},
    prepare=lambda batch, key: (batch, {"task": jnp.float32(len(batch["x"]))}),
    loss=product,
    predict=lambda params, batch: {},
)
ADAM = optax.with_extra_args_support(
    optax.chain(optax.scale_by_adam(), optim.scale_by_rate(lambda step, peak: peak))
)


def identity(tree):
    return tree


def begun(skips):
    params = LINEAR.init(None)
    return TrainState(jnp.int32(0), params, ADAM.init(params), skips)


def step_of(psum, objective=LINEAR, accumulate=1, schedule=lambda s, peak: peak):
    none = optim.matches("")
    return make_step(objective, ADAM, schedule, accumulate, psum, none)


def batch(*values: float) -> dict:
    """Eight rows, the last ones of these values."""
    x = np.ones((8, 4), np.float32)
    x[8 - len(values) :] = np.array(values, np.float32).reshape(-1, 1)
    return {"x": x}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3e38])
@pytest.mark.parametrize(("placement", "mesh"), PLACES)
def test_every_device_tells_of_one_bad_row(placement, mesh, bad):
    """FAULTS 4, 37: whatever holds the row, and however often a step sums."""
    place = parallel.place(placement, mesh, {})
    objective = place.objective(LINEAR)
    step = place.step(step_of(place.psum, objective))
    put = jax.device_put(begun(()), place.shardings(begun(())))
    own = OWN | {"learning_rate": RATE}
    after, good = step(place.local(put), place.batch(batch()), own)
    _, told = step(after, place.batch(batch(bad)), own)
    assert (bool(good["finite"]), bool(told["finite"])) == (True, False)


@pytest.mark.parametrize("accumulate", [1, 4])
@pytest.mark.parametrize(
    ("rows", "rate"), [([math.nan], 0.5), ([1e30], 0.5), ([], 3.4e38), ([], math.inf)]
)
def test_what_was_not_finite_once_stays_so(rows, rate, accumulate):
    """FAULTS 37: so it is seen whenever somebody looks."""
    step = jax.jit(step_of(identity, accumulate=accumulate))
    now, own = begun(()), OWN | {"learning_rate": np.float32(rate)}
    found = []
    for each in ([], rows, [], []):
        now, metrics = step(now, batch(*each), own)
        found.append(bool(metrics["finite"]))
    assert found[1:] == [False] * 3
    assert state.not_finite(now.params) == "w"


def test_skipped_updates_keep_the_state_and_count():
    step = jax.jit(step_of(identity, schedule=lambda s, peak: peak * s))
    now, own = begun(state.no_skips()), OWN | {"learning_rate": RATE}
    now, _ = step(now, batch(), own)
    after, told = step(now, batch(math.nan), own)
    jax.tree.map(np.testing.assert_array_equal, after[1:3], now[1:3])
    assert (int(after.step), int(told["skipped"]), bool(told["finite"])) == (2, 1, True)
    third, told = step(after, batch(), own)
    assert float(told["lr"]) == 2 * RATE
    assert (third.skips["all"], third.skips["in_a_row"]) == (1, 0)
    assert not np.array_equal(third.params["w"], after.params["w"])


def test_too_many_skips_in_a_row_end_updates_for_good():
    step, now = jax.jit(step_of(identity)), begun(state.no_skips())
    own, told = OWN | {"learning_rate": RATE}, []
    for number in range(MOST_SKIPPED + 3):
        bad = number < MOST_SKIPPED
        now, metrics = step(now, batch(math.nan) if bad else batch(), own)
        told.append(bool(metrics["finite"]))
    assert told == [True] * (MOST_SKIPPED - 1) + [False] * 4
    assert int(now.skips["all"]) == MOST_SKIPPED
    np.testing.assert_array_equal(now.params["w"], begun(())[1]["w"])


def test_one_lane_skips_without_the_others():
    step = jax.jit(jax.vmap(step_of(identity), in_axes=(None, 0, None)))
    rows = {"x": np.stack([batch()["x"], batch(math.nan)["x"]])}
    after, told = step(begun(state.no_skips()), rows, OWN | {"learning_rate": RATE})
    assert after.skips["all"].tolist() == [0, 1]
    assert told["finite"].tolist() == [True, True]
    assert np.isfinite(after.params["w"]).all()


SPIKE = {
    "optim.learning_rate": 3.4e38,
    "optim.clip_norm": 0,
    "optim.warmup_steps": 0,
    "model.num_layers": 1,
    "train.steps": 20,
    "train.save_every": 1,
    "train.keep_last": 1,
    "eval.every": 100,
}


def test_the_newest_checkpoint_of_a_diverged_run_is_finite(tiny, tmp_path, capsys):
    """FAULTS 4, 37: the spike is in the first update; the only one kept is before it."""
    for _ in range(2):  # a rerun goes on from there, and ends alike
        assert loop.run(tiny(SPIKE), tmp_path / "run") == exits.DIVERGED
        assert "end here again" in capsys.readouterr().err
        kept = checkpoint.steps(tmp_path / "run" / rundir.CHECKPOINTS)
        assert len(kept) <= 1
        for step in kept:
            checkpoint.restore_alone(tmp_path / "run", step)
    assert not (tmp_path / "run" / rundir.RESULT).exists()
    lines = (tmp_path / "run" / rundir.METRICS).read_text().splitlines()
    for line in lines:
        json.loads(line, parse_constant=pytest.fail)


def test_a_run_that_skips_everything_ends_with_its_reason(tiny, tmp_path, capsys):
    config = tiny({**SPIKE, "train.on_nonfinite": "skip"})
    assert loop.run(config, tmp_path / "run") == exits.DIVERGED
    said = capsys.readouterr().err
    assert f"too many skipped in a row ({MOST_SKIPPED} in all)" in said
    newest = checkpoint.steps(tmp_path / "run" / rundir.CHECKPOINTS)[-1]
    assert newest <= MOST_SKIPPED
    checkpoint.restore_alone(tmp_path / "run", newest)


def test_a_checkpoint_that_is_not_finite_is_refused(tiny, tmp_path):
    """FAULTS 4: as an older version may have saved it; predict, evaluate, export and
    init_from read it by these functions."""
    saved = begun(())._replace(step=jnp.int32(7))
    bad = saved._replace(params={"w": saved.params["w"].at[2].set(jnp.nan)})
    texts = dict.fromkeys(("fingerprint", "parent", "data", "tokenizer"), "")
    began = {**texts, "seed": 0, "versions": {}, "devices": []}
    record.write_began(tmp_path, configs.load("configs/demo.py", {}), began)
    store = checkpoint.Checkpoints(tmp_path, 3, 0, False)
    store.save(7, bad)
    store.wait()
    with pytest.raises(UsageError, match="checkpoints/7: w holds numbers that are not"):
        checkpoint.restore_alone(tmp_path, 7)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), bad)
    with pytest.raises(UsageError, match="had diverged"):
        store.restore(7, checkpoint.on_one_device(shapes))
    store.close()


def test_no_older_number_stands_in_a_result():
    """One that is absent at the end, or not finite, is absent."""
    lines = {
        0: {"train/loss": 5.0, "time/step_ms": 3.0},
        5: {"valid/mlm_loss": 4.0, "valid/mlm_accuracy": 0.5, "train/loss": 3.0},
        9: {"train/loss": math.nan, "train/grad_norm": 2.0},
        10: {"valid/mlm_loss": math.nan, "time/seconds": 7.0},
    }
    history = History()
    for step, values in lines.items():
        history.add(step, values)
    times = {"time/step_ms": 3.0, "time/seconds": 7.0}
    assert session.final(history, 10) == {**times, "train/grad_norm": 2.0}
    best = {"train/loss": 3.0, "valid/mlm_loss": 4.0, "valid/mlm_accuracy": 0.5}
    assert session.final(history, 5) == {**times, **best}


def test_a_validation_that_is_not_finite_ends_the_run(tiny, tmp_path, monkeypatch):
    """At its end alone, and again if the same command is given again."""
    config = tiny({"train.steps": 4, "eval.every": 2, "model.num_layers": 1})
    monkeypatch.setattr(
        loop.evaluate, "of_prefixes", lambda *_: {"valid/mlm_loss": math.nan}
    )
    for _ in range(2):
        assert loop.run(config, tmp_path / "run") == exits.DIVERGED
        log = rundir.read_metrics(tmp_path / "run")
        assert log[4][rundir.FINITE] == 0
        assert rundir.FINITE not in log[2]
    assert not (tmp_path / "run" / rundir.RESULT).exists()
