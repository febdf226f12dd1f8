"""Damage to what a manifest describes is found and named."""

import json

import pytest

from bert_jax.run import config as configs
from bert_jax.run import manifest, rundir
from tests.running import amend, begin_run, unchecked

CONFIG = configs.load("configs/demo.py", {})


@pytest.fixture
def folder(tmp_path):
    """The checkpoint of step 7 of a run that wrote one line before it and one after."""
    begin_run(tmp_path, CONFIG)
    folder = tmp_path / rundir.CHECKPOINTS / "7"
    for name in ("params/values", "rest/values", "index"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"0123456789" if "/" in name else b"")
    with rundir.append_metrics(tmp_path) as file:
        size = file.write(rundir.metrics_line(7, {"train/loss": 3.5}))
        file.flush()
        manifest.write(folder, rundir.began(tmp_path)["fingerprint"], size)
        file.write(rundir.metrics_line(8, {"train/loss": 3.4}))
    return folder


def fault(folder) -> str:
    return manifest.fault(folder, rundir.began(folder.parents[1]))


def test_what_was_written_verifies(folder):
    assert fault(folder) == ""
    files = json.loads((folder / manifest.FILE).read_text())["files"]
    assert {name: facts["size"] for name, facts in files.items()} == {
        "index": 0,
        "params/values": 10,
        "rest/values": 10,
    }


def metrics(folder):
    return folder.parents[1] / rundir.METRICS


DAMAGE = [
    (lambda f: (f / "index").unlink(), "index is missing"),
    (
        lambda f: (f / "rest/values").write_bytes(b"01234"),
        "rest/values has 5 bytes instead of 10",
    ),
    (
        lambda f: (f / "params/values").write_bytes(b"012345678:"),
        "params/values does not match its sha256",
    ),
    (lambda f: (f / "more").write_bytes(b""), "more is not in its manifest.json"),
    (lambda f: (f / manifest.FILE).write_text("{"), "manifest.json is not JSON"),
    (lambda f: (f / manifest.FILE).write_text("{}"), "manifest.json is not what"),
    (lambda f: (f / manifest.FILE).unlink(), "its save never finished"),
    (
        lambda f: amend(f / manifest.FILE, {"files": {}}),
        "index is not in its manifest.json",
    ),
    (lambda f: amend(f / manifest.FILE, {"step": 8}), "it is of step 8, not of 7"),
    (
        lambda f: amend(f / manifest.FILE, {"fingerprint": "x"}),
        "it is of run 'x', not of",
    ),
    (lambda f: unchecked(f / manifest.FILE), "manifest.json has no format"),
    (lambda f: metrics(f).write_text("{}"), "metrics.jsonl has 2 bytes instead of 31"),
    (
        lambda f: metrics(f).write_text(metrics(f).read_text().replace("3.5", "3.6")),
        "the first 31 bytes of metrics.jsonl have sha256",
    ),
]


@pytest.mark.parametrize(("spoil", "message"), DAMAGE)
def test_damage_is_named(folder, spoil, message):
    """FAULTS 40."""
    spoil(folder)
    assert message in fault(folder)


def test_a_copy_under_another_step_is_named(folder):
    """FAULTS 50."""
    other = folder.rename(folder.with_name("900"))
    assert fault(other) == "it is of step 7, not of 900"


def test_readers_of_parameters_look_at_them_alone(folder):
    (folder / "rest/values").write_bytes(b"012345678:")
    metrics(folder).write_text("")
    run = rundir.began(folder.parents[1])
    assert manifest.params_fault(folder, run) == ""
    (folder / "params/values").write_bytes(b"012345678:")
    assert "params/values does not" in manifest.params_fault(folder, run)
