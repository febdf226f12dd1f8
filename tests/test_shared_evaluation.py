"""Shared evaluation rows in runs: equal in every arm, known by what they are."""

import shutil

import numpy as np
import pytest

import launch
from bert_jax.run import config as configs
from bert_jax.run import exits, record, rundir
from bert_jax.run.config import UsageError
from bert_jax.train import checkpoint, evaluate, finished, lanes, loop, setup
from bert_jax.train.watchdog import Watchdog
from tests.running import metrics, unchecked

ROWS = {"eval.rows": "single,pair,nsp,single_word", "eval.length": 32}
PREFIXES = ["valid", *(f"valid/{kind}" for kind in ROWS["eval.rows"].split(","))]
ARMS = {
    "nsp": {},
    "sop": {"data.pairs": "sop", "objective.pair": "sop"},
    "single": {"data.pairs": "single", "objective.pair": "none"},
    "full": {"data.pairs": "full", "objective.pair": "none"},
}
SHORT = {"train.steps": 6, "model.num_layers": 1}


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    """A run that evaluates all shared rows."""
    workdir = tmp_path_factory.mktemp("runs") / "rows"
    assert loop.run(tiny({**SHORT, **ROWS}), workdir) == exits.DONE
    return workdir


@pytest.fixture(scope="module")
def plain(tiny, tmp_path_factory):
    """The same run without shared rows."""
    workdir = tmp_path_factory.mktemp("runs") / "plain"
    assert loop.run(tiny(SHORT), workdir) == exits.DONE
    return workdir


def result_of(workdir):
    return rundir.read(workdir, rundir.RESULT)


def marks(config):
    parts = setup.build(config, None)
    return {
        name: evaluate.fingerprint(parts, name) for name in evaluate.prefixes(parts)
    }


def test_arms_are_evaluated_on_the_same_rows(tiny):
    """FAULTS 54: also under another seed; their own rows differ."""
    found = {
        name: marks(tiny({**ROWS, **changes, "seed": seed}))
        for seed, (name, changes) in enumerate(ARMS.items())
    }
    for prefix in PREFIXES[1:]:
        assert len({arm[prefix] for arm in found.values()}) == 1
    assert len({arm["valid"] for arm in found.values()}) == len(ARMS)


def test_rows_differ_by_what_is_measured(tiny):
    length, most = {"eval.length": 24}, {"eval.max_examples": 5}
    one, two, three = (marks(tiny({**ROWS, **c})) for c in ({}, length, most))
    for prefix in PREFIXES[1:]:
        assert len({one[prefix], two[prefix], three[prefix]}) == 3
    assert one["valid"] == two["valid"] != three["valid"]


@pytest.mark.parametrize(
    "changes",
    [
        {"eval.batch": 12},
        {"parallel.mesh": "4x1x1"},
        {"parallel.mesh": "2x1x1", "parallel.placement": "pmap"},
    ],
)
def test_devices_and_batches_change_neither_rows_nor_numbers(tiny, run, changes):
    config = tiny({**SHORT, **ROWS, **changes})
    parts = setup.build(config, None)
    now = {name: evaluate.fingerprint(parts, name) for name in PREFIXES}
    assert now == result_of(run)["measured"]
    params = restored(run, parts)
    function = evaluate.compiled(parts)
    found = evaluate.of_prefixes(parts, function, params, PREFIXES, lambda: False)
    assert found is not None
    for name, value in found.items():
        assert value == pytest.approx(result_of(run)["metrics"][name], rel=1e-5), name


def restored(workdir, parts):
    params = checkpoint.restore_params(workdir, 6, parts.param_shapes())
    return parts.placement.local(params)


def test_each_evaluation_of_a_run_has_the_rows(run, plain):
    rows = metrics(run)
    for step in (3, 6):
        assert {name.rpartition("/")[0] for name in rows[step]} >= set(PREFIXES)
    final = result_of(run)["metrics"]
    names = ("mlm_loss", "mlm_accuracy", "unigram_loss")
    assert {f"valid/single/{name}" for name in names} == {
        name for name in final if name.startswith("valid/single/")
    }
    assert "valid/nsp/pair_accuracy" in final
    assert "valid/pair/pair_accuracy" not in final
    assert final["valid/single/unigram_loss"] == final["valid/pair/unigram_loss"]
    own = {name: v for name, v in rows[6].items() if name.count("/") == 1}
    assert own == metrics(plain)[6]
    assert result_of(run)["fingerprint"] == result_of(plain)["fingerprint"]
    assert list(result_of(plain)["measured"]) == ["valid"]


def test_a_finished_run_that_lacks_rows_is_only_evaluated(run, plain, tiny, tmp_path):
    """Of an old version too, whose result says nothing of what was measured."""
    workdir = shutil.copytree(plain, tmp_path / "run")
    old = result_of(workdir)
    del old["measured"], old["row_lengths"]
    record.write_result(workdir, old)
    for name in (rundir.CONFIG, rundir.RUN, rundir.RESULT):
        unchecked(workdir / name)
    config = tiny({**SHORT, **ROWS})
    assert loop.run(config, workdir) == exits.DONE
    new, whole = result_of(workdir), result_of(run)
    assert new["metrics"] == pytest.approx(
        whole["metrics"] | {k: v for k, v in old["metrics"].items() if "time" in k}
    )
    assert new["measured"] == whole["measured"]
    assert metrics(workdir)[6] == pytest.approx(metrics(run)[6])
    before = (workdir / rundir.METRICS).read_bytes()
    assert loop.run(config, workdir) == exits.DONE
    assert (workdir / rundir.METRICS).read_bytes() == before


def test_rows_of_another_length_are_evaluated_again(run, tiny, tmp_path):
    workdir = shutil.copytree(run, tmp_path / "run")
    config = tiny({**SHORT, "eval.rows": "pair", "eval.length": 24})
    assert loop.run(config, workdir) == exits.DONE
    new, old = result_of(workdir), result_of(run)
    changed = {k for k, v in new["measured"].items() if old["measured"][k] != v}
    assert changed == {"valid/pair"}
    assert new["row_lengths"] == old["row_lengths"] | {"valid/pair": 24}


def test_the_watchdog_sees_what_is_only_evaluated(run, tiny, tmp_path, monkeypatch):
    seen = []

    class Watched(Watchdog):
        def fed(self):
            seen.append(self._seconds)
            super().fed()

    monkeypatch.setattr(finished, "Watchdog", Watched)
    workdir = shutil.copytree(run, tmp_path / "run")
    rows = {"eval.rows": "pair", "eval.length": 24, "train.watchdog": 300.0}
    assert loop.run(tiny({**SHORT, **rows}), workdir) == exits.DONE
    assert set(seen) == {300.0} and len(seen) > 2


def test_own_rows_stay_unknown_where_the_numbers_differ(plain, tiny, tmp_path, capsys):
    workdir = shutil.copytree(plain, tmp_path / "run")
    old = result_of(workdir)
    del old["measured"]
    old["metrics"]["valid/mlm_loss"] *= 1.001
    record.write_result(workdir, old)
    assert loop.run(tiny({**SHORT, **ROWS}), workdir) == exits.DONE
    assert set(result_of(workdir)["measured"]) == set(PREFIXES[1:])
    assert "own rows were stays unknown" in capsys.readouterr().err


def test_lanes_evaluate_what_is_done_and_train_the_rest(plain, run, tiny, tmp_path):
    done = shutil.copytree(plain, tmp_path / "done")
    other = tmp_path / "other"
    asked = [tiny({**SHORT, **ROWS}), tiny({**SHORT, **ROWS, "seed": 1})]
    assert lanes.run(list(zip(asked, [done, other]))) == exits.DONE
    assert result_of(done)["measured"] == result_of(run)["measured"]
    assert result_of(other)["measured"] == result_of(run)["measured"]


def test_the_verb_shows_the_rows_and_their_types(run, plain, capsys):
    assert launch.main(["evaluate", f"--workdir={run}"]) == 0
    said = capsys.readouterr().out
    final = result_of(run)["metrics"]
    assert "pair rows of 32 tokens, types 0 in A and 1 in B, step 6" in said
    for kind in ("single", "pair", "nsp"):
        assert f"{final[f'valid/{kind}/mlm_loss']:.3f} nats" in said
        assert f"{final[f'valid/{kind}/unigram_loss']:.3f} nats" in said
    ask = ["--config.eval.rows=single", "--config.eval.length=32"]
    assert launch.main(["evaluate", f"--workdir={plain}", *ask]) == 0
    assert result_of(run)["measured"]["valid/single"] in capsys.readouterr().out


def test_tasks_say_what_they_were_measured_on(tuned, task):
    """By texts and labels; of another seed the same, of fewer examples others."""
    found = result_of(tuned("classify"))["measured"]
    assert set(found) == {"valid", "test"}
    again = setup.build(task("classify", {"seed": 3}), None)
    few = setup.build(task("classify", {"eval.max_examples": 4}), None)
    assert {name: evaluate.fingerprint(again, name) for name in found} == found
    assert evaluate.fingerprint(few, "valid") != found["valid"]
    assert evaluate.fingerprint(few, "test") == found["test"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"eval.rows": "single"}, "eval.rows=single needs eval.length"),
        ({**ROWS, "eval.rows": "single,double"}, "eval.rows is some of single, pair"),
        ({**ROWS, "eval.rows": "pair,pair"}, "each at most once"),
        ({**ROWS, "eval.length": 65}, "eval.length 65 is above model.max_length 64"),
        (
            {
                **ROWS,
                "objective.kind": "clm",
                "model.attention": "causal",
                "data.pairs": "single",
            },
            "rows of a masked LM, which objective.kind=clm is not",
        ),
    ],
)
def test_rows_that_cannot_be_are_refused(tiny, changes, said):
    with pytest.raises(UsageError) as error:
        tiny(changes)
    assert said in str(error.value)


def test_the_pairs_recipe_is_the_demo_s_run():
    """But for how often it is evaluated."""
    pairs = configs.load("configs/pretrain/pairs.py", {})
    demo = configs.load("configs/demo.py", {"eval.every": str(pairs.eval.every)})
    assert configs.fingerprint(demo, "") == configs.fingerprint(pairs, "")
    assert pairs.eval.rows


def test_the_announced_share_is_that_of_what_is_evaluated(tiny):
    """FAULTS 13: of random pairs among the held-out rows, by their labels."""
    for most in (0, 7):
        config = tiny({"eval.max_examples": most})
        parts = setup.build(config, None)
        batches = list(parts.valid.evaluation(8, most, slice(None)))
        labels = np.concatenate([b["pair_label"][b["weights"] > 0] for b in batches])
        said = parts.valid.describe_evaluation(most)
        assert f"{len(labels):,} examples" in said
        assert f"{100 * labels.mean():.1f} % random or swapped pairs" in said
