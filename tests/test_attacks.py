"""A sample of the attacks of tests/attacks/, small enough for every change."""

import random
import shutil
from pathlib import Path

import pytest

from bert_jax.run import rundir
from tests.attacks import flips, mutations, world

TEXT = "the king [MASK] a stone"
WRITTEN = ("config.json", "run.json", "result.json", "metrics.jsonl", "tokenizer.json")


@pytest.fixture
def run(straight, tmp_path) -> Path:
    return shutil.copytree(straight, tmp_path / "run")


def predict(run: Path) -> dict[str, world.Said]:
    return {"predict": world.run(["predict", "--json", f"--workdir={run}", TEXT])}


def test_a_flipped_bit_is_named_or_has_no_effect(run):
    draw, before = random.Random(0), predict(run)
    newest = run / rundir.CHECKPOINTS / str(max(rundir.steps(run / "checkpoints")))
    found = [*(run / name for name in WRITTEN), *world.files(newest)]
    named = 0
    for path in found:
        kept = path.read_bytes()
        which = flips.flip(path, draw)
        after = predict(run)
        path.write_bytes(kept)
        fault = world.verdict(before, after)
        assert not fault, f"{path.relative_to(run)}, {which}: {fault}"
        named += after["predict"].named
    assert named > len(found) // 2


@pytest.mark.parametrize("name", WRITTEN)
def test_mutated_json_is_named_or_has_no_effect(name, run):
    draw, before = random.Random(name), predict(run)
    kept = (run / name).read_bytes()
    for _ in range(10):
        content = mutations.mutate(kept, draw)
        (run / name).write_bytes(content)
        fault = world.verdict(before, predict(run))
        assert not fault, f"{content[:2000]}: {fault}"
