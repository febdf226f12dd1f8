"""What divides a step over eight devices sends, and the plan of it as a table."""

import collections
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import jax
import numpy as np
import pytest

import launch
from bert_jax.run import config as configs
from bert_jax.run import hardware
from bert_jax.run.config import UsageError
from bert_jax.train import loop, setup, state
from bert_jax.train.parallel import placement
from bert_jax.train.plan import main as plan
from bert_jax.train.plan import program
from bert_jax.train.plan.program import Collective

ROOT = Path(__file__).parents[3]
SCALARS = 1000  # bytes: counts, losses, norms
SMALL = {  # and alike, so that equal programs are compiled once
    "train.batch": 16,
    "model.num_layers": 1,
    "model.dropout": 0.1,
    "model.attention_dropout": 0.1,
}


@pytest.fixture(scope="module")
def planned(tiny):
    """The plan of a tiny config on eight simulated devices, with changes."""

    def make(mesh: str, changes: dict[str, object]) -> plan.Plan:
        return plan.make(tiny(SMALL | {"parallel.mesh": mesh} | changes), "cpu:8")

    return make


@pytest.fixture(scope="module")
def by_rows(planned):
    return planned("8x1x1", {})


def sizes(found: Iterable[Collective]) -> dict[str, int]:
    """Bytes by kind; nothing may be sent in a loop."""
    total = collections.Counter()
    for each in found:
        assert each.rounds == 1
        total[each.kind] += each.bytes
    return dict(total)


def check_sends_the_gradient_once(found: plan.Plan) -> None:
    assert {each.group for each in found.collectives} == {8}
    assert sizes(found.collectives).keys() == {"all-reduce"}
    extra = sizes(found.collectives)["all-reduce"] - 4 * found.parameters
    assert 0 < extra < SCALARS


def test_data_parallelism_sends_the_gradient_and_scalars(by_rows):
    check_sends_the_gradient_once(by_rows)


def test_so_it_does_with_micro_batches_in_bfloat16(planned):
    changes = {"model.dtype": "bfloat16", "train.accumulate": 2}
    check_sends_the_gradient_once(planned("8x1x1", changes))


def test_a_mesh_of_tensors_alone_is_planned(tiny):
    """FAULTS 6."""
    config = tiny(SMALL | {"parallel.mesh": "1x1x2"})
    assert plan.make(config, "cpu:2").mesh == (1, 1, 2)


def test_pmap_sends_the_same(tiny):
    changes = {"parallel.placement": "pmap", "parallel.mesh": "8x1x1"}
    parts = setup.build(tiny(SMALL | changes), None)
    place = parts.placement
    batch = place.batch(parts.train.batch(0, 16, np.arange(16)))
    step = place.step(loop.step_of(parts))
    compiled = step.lower(parts.shapes(), batch, state.scalars(parts.config)).compile()
    found = program.collectives(compiled.as_text(), 8)
    assert sizes(found).keys() == {"all-reduce"}
    whole = sum(leaf.size for leaf in jax.tree.leaves(parts.param_shapes()))
    assert 0 < sizes(found)["all-reduce"] - 4 * whole < SCALARS


@pytest.mark.parametrize("mesh", ["1x8x1", "2x4x1"])
def test_fsdp_gathers_parameters_and_scatters_gradients(planned, capfd, mesh):
    """Each once. What is too small to be divided is summed as a whole; over the axis
    data, only the share of a device."""
    found = planned(mesh, {})
    data, fsdp, _ = found.mesh
    grid = placement.grid(jax.devices(), found.mesh)
    leaves = jax.tree.leaves(plan.described(found.config, grid).param_shapes())
    divided = 4 * sum(leaf.size for leaf in leaves if "fsdp" in leaf.sharding.spec)
    sent = sizes(found.collectives)
    assert sent.keys() == {"all-gather", "reduce-scatter", "all-reduce"}
    assert sent["all-gather"] == sent["reduce-scatter"] == divided
    whole = 4 * found.parameters - divided
    shares = divided // fsdp if data > 1 else 0
    assert 0 < sent["all-reduce"] - whole - shares < SCALARS
    assert "rematerialization" not in capfd.readouterr().err


def test_fsdp_divides_the_state(planned, by_rows):
    divided = planned("1x8x1", {})
    assert divided.memory.arguments < by_rows.memory.arguments / 4


def test_the_verb_prints_a_table(tiny, tmp_path, monkeypatch, capsys):
    path = tmp_path / "tiny.json"
    path.write_text(configs.canonical(tiny(SMALL)))

    def run(topology: str, *overrides: str) -> tuple[int, str, str]:
        for name in hardware.environment("cpu:8"):
            monkeypatch.setenv(name, os.environ[name])  # restored at the end
        command = ["plan", f"--config={path}", f"--topology={topology}", *overrides]
        return launch.main(command), *capsys.readouterr()

    code, out, err = run("cpu:8", "--config.parallel.mesh=8x1x1")
    assert code == 0
    assert "mesh data 8 x fsdp 1 x tensor 1" in out
    assert "a vocabulary of 256 at most (tokenizer.vocab_size)" in out
    assert "all-reduce" in out and "GB a device: state" in out
    assert "compiling for 8 devices" in err
    for wrong, said in {
        "--config.parallel.mesh=16x1x1": "does not fit 8 devices",
        "--config.train.batch=12": "12 is not divisible by the 8 devices",
        "--config.tokenizer.path=nowhere": "no vocabulary at nowhere",
    }.items():
        code, out, err = run("cpu:8", "--config.parallel.mesh=8x1x1", wrong)
        assert (code, out) == (2, ""), err
        assert said in err and len(err.splitlines()) == 1
    code, out, err = run("v7:2x2")
    assert (code, out) == (2, "") and "there is no topology 'v7:2x2'" in err


def test_a_task_is_not_planned():
    config = configs.load("configs/finetune/topics.py", {})
    with pytest.raises(UsageError, match="a plan is of pretraining"):
        plan.make(config, "cpu:8")


def test_times_are_those_of_the_roofline(by_rows):
    simulated = by_rows
    assert simulated.bounds is None
    assert "no times" in plan.table(simulated)[-1]
    chip = hardware.CHIPS["v5e"]
    found = simulated._replace(chip=chip, work=program.Work(1.97e12, 8.19e9))
    assert found.bounds is not None
    assert found.bounds[:2] == pytest.approx((0.010, 0.010))
    text = "\n".join(plan.table(found))
    assert "step, at best       10 ms, 51,200 tokens/s" in text
    assert "fits" in text and "What this leaves out" in text
    small = found._replace(chip=chip._replace(memory=10.0))
    assert "DOES NOT FIT" in "\n".join(plan.table(small))


def has_compiler(topology: str) -> bool:
    try:
        return bool(hardware.environment(topology))
    except UsageError:
        return False


@pytest.mark.parametrize(
    "topology, devices", [("v5e:2x4", "8 x TPU v5e"), ("h100:8", "8 x NVIDIA H100")]
)
def test_a_machine_is_planned_without_one(tiny, tmp_path, topology, devices):
    if not has_compiler(topology):
        pytest.skip(f"nothing here compiles for {topology}")
    path = tmp_path / "tiny.json"
    path.write_text(
        configs.canonical(tiny({"model.num_layers": 1, "parallel.mesh": "8x1x1"}))
    )
    command = [sys.executable, "launch.py", "plan", f"--config={path}"]
    done = subprocess.run(
        [*command, f"--topology={topology}"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert devices in done.stdout and "what binds" in done.stdout
