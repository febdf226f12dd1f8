"""The benchmarks' arithmetic on given numbers, their workers, and a step of our own."""

import sys

import numpy as np
import pytest

from benchmarks import cases, ours, saving, step, tables, worker
from benchmarks.cases import Side

CASE = cases.case_of("tiny-128", 2, 0.1)


def test_a_ratio_pairs_the_rounds():
    # In each round we take half of their time, whatever the machine does meanwhile.
    assert tables.ratio([2.0, 20.0, 8.0], [1.0, 10.0, 4.0]) == 2.0
    assert tables.ratio([3.0, 4.0, 9.0], [1.0, 2.0, 3.0]) == 3.0


def test_numbers_have_three_digits():
    numbers = [0, 0.06321, 0.5, 10.44, 102.6, 7_214_000]
    assert list(map(tables.number, numbers)) == [
        "0",
        "0.0632",
        "0.5",
        "10.4",
        "103",
        "7,210,000",
    ]
    assert tables.spread([3.0, 1.0, 2.0]) == "2 (1 to 3)"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (9.9, "short of 10"),
        (10.0, "reach of 10 reached, stretch of 30 not"),
        (30.0, "stretch of 30 reached"),
    ],
)
def test_a_verdict_names_the_target(value, said):
    assert tables.verdict(value, 10, 30) == said


def test_a_table_is_markdown():
    assert tables.markdown(["a", "b"], [["x", "1"]]) == (
        "| a | b |\n| --- | ---: |\n| x | 1 |"
    )


def test_the_summary_of_a_row():
    def facts(seconds, device):
        about = {"device": device, "memory": 2**30, "first_step": 9.0}
        return {"seconds": seconds, **about}

    found = {
        "ours:bfloat16": facts([0.1, 0.2, 0.1], "NVIDIA H100 80GB HBM3"),
        "stock:bfloat16": facts([0.2, 0.4, 0.3], "NVIDIA H100 80GB HBM3"),
        "flax:bfloat16": {"failed": "ModuleNotFoundError: flax"},
    }
    sides = step.summary(CASE, found)["sides"]
    own, stock = sides["ours:bfloat16"], sides["stock:bfloat16"]
    assert own["tokens_per_s"] == pytest.approx(2 * 128 / 0.1)
    assert own["mfu"] == pytest.approx(CASE.flops / 0.1 / 989e12)
    assert stock["ours_is_faster"] == {"ours:bfloat16": pytest.approx(2.0)}
    lines = step.table({CASE.name: {"sides": sides}}).splitlines()
    assert lines[3].startswith("| tiny-128, dropout 0.1 | stock:bfloat16 | 300 (200")
    assert lines[4].endswith("| flax:bfloat16 | ModuleNotFoundError: flax |")


def test_the_first_save_is_told_beside_the_later_ones():
    ours, orbax = [{"first": [x], "later": [y, y]} for x, y in ((0.5, 0.1), (2, 0.3))]
    lines = saving.report(CASE, {"ours": ours, "orbax": orbax}, 3).splitlines()
    first, later = (line.split(" | ") for line in lines[2:4])
    assert first[0] == "| tiny-128, 8 devices, first save"
    assert first[1:] == ["500 (500 to 500)", "2,000 (2,000 to 2,000)", "4 |"]
    assert later[1:] == ["100 (100 to 100)", "300 (300 to 300)", "3 |"]
    assert lines[-1].startswith("1 rounds of 3 saves; ")


def test_a_masked_batch_has_what_peers_are_to_predict():
    batch, plain = cases.masked(CASE), cases.unmasked(CASE)
    assert batch["positions"].shape == (2, 19)  # ceil(0.15 * 126), as in bert_jax
    labelled = batch["labels"] != cases.NOT_PREDICTED
    np.testing.assert_array_equal(np.nonzero(labelled)[1], batch["positions"].ravel())
    np.testing.assert_array_equal(batch["labels"][labelled], batch["targets"].ravel())
    np.testing.assert_array_equal(batch["ids"] == cases.MASK_ID, labelled)
    back = np.where(labelled, batch["labels"], batch["ids"])
    np.testing.assert_array_equal(back, plain["ids"])


SIDE = """
from benchmarks.worker import Stepper
def build(kind):
    if kind == "refuses":
        raise MemoryError("out of memory\\nand more")
    taken = []
    def run(steps):
        taken.append(steps)
        if kind == "dies":
            print("the last words", flush=True)
            raise SystemExit(3)
    return Stepper(run, lambda: sum(taken), {"device": kind})
"""


@pytest.fixture
def running(tmp_path, monkeypatch):
    (tmp_path / "a_side.py").write_text(SIDE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda kind: worker.running(
        sys.executable, "a_side", (kind,), tmp_path / f"{kind}.log", {}
    )


def test_workers_take_their_turns(running):
    with running("one") as one, running("two") as two:
        for steps, total in ((2, 2), (3, 5)):
            for each, name in ((one, "one"), (two, "two")):
                answer = worker.ask(each, steps, 60)
                assert (answer["memory"], answer["about"]["device"]) == (total, name)
                assert answer["seconds"] >= 0
    assert (one.process.poll(), two.process.poll()) == (0, 0)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("refuses", "^MemoryError: out of memory$"), ("dies", "with 3: the last words")],
)
def test_a_side_that_fails_says_why(running, kind, reason):
    with running(kind) as failing, pytest.raises(worker.Failed, match=reason):
        worker.ask(failing, 1, 60)
    assert failing.process.poll() not in (None, 0)


def test_our_own_side_takes_steps():
    stepper = ours.build(CASE, Side("ours", "float32"))
    stepper.run(2)
    assert stepper.memory() > 0
    assert stepper.about["device"]
