"""A run that goes on from the state of another, for more steps than that took."""

import jax
import numpy as np
import pytest

from bert_jax.run import exits, rundir
from bert_jax.run.config import UsageError
from bert_jax.train import loop
from tests.running import final_state, metrics

SHORT, LONG = 6, 10
CONSTANT = {
    "optim.schedule": "constant",
    "model.num_layers": 1,
    "model.dropout": 0.1,
    "train.steps": SHORT,
    "eval.every": 3,
}
MORE = {**CONSTANT, "train.steps": LONG, "init_state": "true"}


@pytest.fixture(scope="module")
def short(tiny, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "short"
    assert loop.run(tiny(CONSTANT), workdir) == exits.DONE
    return workdir


def test_lengthened_is_the_run_that_was_never_shorter(short, tiny, tmp_path, capsys):
    """FAULTS 12: bit for bit, with the optimiser, the data and the dropout."""
    assert loop.run(tiny({**MORE, "init_from": short}), tmp_path / "more") == exits.DONE
    assert "the learning rate is 0.001 there; the parent's last was 0.001" in (
        capsys.readouterr().err
    )
    once = {**CONSTANT, "train.steps": LONG}
    assert loop.run(tiny(once), tmp_path / "once") == exits.DONE
    whole = metrics(tmp_path / "once")
    assert metrics(tmp_path / "more") == {k: v for k, v in whole.items() if k >= SHORT}
    began = rundir.read(tmp_path / "more", rundir.RUN)
    parent = rundir.read(short, rundir.RUN)["fingerprint"]
    assert began["parent"] == f"{parent}/{SHORT}"
    result = rundir.read(tmp_path / "more", rundir.RESULT)
    assert (result["steps"], result["tokens"]) == (LONG, (LONG - SHORT) * 8 * 32)
    more, once = final_state(tmp_path / "more"), final_state(tmp_path / "once")
    jax.tree.map(np.testing.assert_array_equal, more, once)


def test_other_schedules_say_how_the_rate_goes_on(short, tiny, tmp_path, capsys):
    changes = {"init_from": short, "optim.schedule": "linear", "train.steps": 7}
    assert loop.run(tiny(MORE | changes), tmp_path / "more") == exits.DONE
    said = capsys.readouterr().err
    assert "the learning rate is 0.000143 there; the parent's last was 0.001" in said
    assert rundir.read_metrics(tmp_path / "more")[SHORT]["train/lr"] == pytest.approx(
        1e-3 / 7
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optim.name": "lamb"}, "another optimiser made: optim.name: adamw -> lamb"),
        ({"optim.beta2": 0.9}, "another optimiser made: optim.beta2: 0.98 -> 0.9"),
        ({"train.steps": SHORT}, "at step 6 already and train.steps is 6"),
        ({"optim.warmup_share": 0.9}, "warm-up of 9 steps would begin anew at step 6"),
        ({"data.pairs": "single", "objective.pair": "none"}, "other parameters"),
    ],
)
def test_what_cannot_go_on_is_refused_before_it_begins(
    short, tiny, tmp_path, changes, said
):
    with pytest.raises(UsageError, match=said):
        loop.run(tiny({**MORE, "init_from": short, **changes}), tmp_path / "run")
    assert not rundir.is_run(tmp_path / "run")


def test_state_without_a_run_to_take_it_from_is_refused(tiny):
    with pytest.raises(UsageError, match="set init_from, and leave out init_leave"):
        tiny(MORE)


def test_a_done_run_names_the_way_to_more_steps(short, tiny):
    """FAULTS 12."""
    with pytest.raises(UsageError, match=r"--config.init_from=\S+ --config.init_state"):
        loop.run(tiny({**CONSTANT, "train.steps": LONG}), short)
    with pytest.raises(UsageError) as error:
        loop.run(tiny({**CONSTANT, "train.steps": LONG, "seed": 1}), short)
    assert "init_state" not in str(error.value)
