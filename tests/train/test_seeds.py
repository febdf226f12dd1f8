"""Several seeds of one task: their summary by hand, and runs that went wrong."""

import json
import math
from types import SimpleNamespace

import pytest
from scipy import stats

from bert_jax.run import config as configs
from bert_jax.run import exits, files, rundir
from bert_jax.run.config import UsageError
from bert_jax.train import seeds
from bert_jax.train.seeds import Result, Summary
from tests.running import begin_run, end_run


@pytest.fixture
def config():
    changes = {"task.test": "test.tsv", "task.train": "train.tsv", "seed": "3"}
    return configs.load("configs/finetune/sst2.py", changes)


@pytest.fixture
def pretend(monkeypatch):
    """pretend(CODES or SCORES): every run ends with a code, or with a score."""
    begun = []

    def use(**outcomes):
        def run(config, directory):
            begun.append(config.seed)
            outcome = outcomes[f"seed_{config.seed}"]
            if isinstance(outcome, int):
                return outcome
            metrics = {"test/accuracy": outcome, "test/baseline": 0.5}
            if math.isnan(outcome):
                del metrics["test/accuracy"]
            begin_run(directory, config)
            end_run(directory, metrics)
            return exits.DONE

        monkeypatch.setattr(seeds.loop, "run", run)
        return begun

    return use


def test_the_summary_is_that_of_the_scores(config):
    scores = {3: 0.8, 4: 0.9, 5: 0.7, 6: 0.5}
    results = [Result(seed, score, 0.55) for seed, score in scores.items()]
    summary = seeds.summarise(config, results, [7])
    deviation = math.sqrt(sum((x - 0.725) ** 2 for x in scores.values()) / 3)
    low, high = stats.t.interval(0.95, 3, 0.725, deviation / 2)
    assert summary == {
        "metric": "test/accuracy",
        "scores": {"3": 0.8, "4": 0.9, "5": 0.7, "6": 0.5},
        "baseline": 0.55,
        "degenerate": [6],
        "diverged": [7],
        "mean": pytest.approx(0.725),
        "deviation": pytest.approx(deviation),
        "half_interval": pytest.approx((high - low) / 2),
    }
    said = seeds.table(summary).splitlines()
    assert "  mean        72.50" in said
    assert "  seed 6      50.00  degenerate" in said
    assert "  degenerate: 1 (seeds 6)" in said
    assert "  diverged: 1 (seeds 7)" in said


def test_no_better_than_the_baseline_is_degenerate_and_so_is_no_number():
    assert Result(0, 0.5, 0.5).degenerate
    assert Result(0, math.nan, 0.0).degenerate
    assert not Result(0, 0.51, 0.5).degenerate


def test_one_seed_has_a_mean_and_no_spread(config):
    summary = seeds.summarise(config, [Result(3, 0.8, 0.5)], [])
    assert summary["mean"] == 0.8
    assert "deviation" not in summary
    assert "interval" not in seeds.table(summary)


def test_degenerate_and_diverged_runs_are_counted_and_do_not_stop_the_others(
    config, pretend, tmp_path, capsys
):
    begun = pretend(
        seed_3=exits.DIVERGED, seed_4=0.75, seed_5=0.5, seed_6=math.nan, seed_7=0.85
    )
    assert seeds.run(config, tmp_path, 5, None) == exits.DONE
    summary = json.loads((tmp_path / seeds.SUMMARY).read_text())
    assert begun == [3, 4, 5, 6, 7]
    assert summary["diverged"] == [3]
    assert summary["degenerate"] == [5, 6]
    assert summary["scores"] == {"4": 0.75, "5": 0.5, "7": 0.85}
    assert summary["mean"] == pytest.approx(0.7)
    assert (tmp_path / seeds.FIGURE).stat().st_size > 0
    assert "test/accuracy of 3 seeds" in capsys.readouterr().out


def test_all_diverged_is_said_without_a_mean(config, pretend, tmp_path, capsys):
    pretend(seed_3=exits.DIVERGED, seed_4=exits.DIVERGED)
    assert seeds.run(config, tmp_path, 2, None) == exits.DONE
    assert "diverged: 2 (seeds 3, 4)" in capsys.readouterr().out
    assert not (tmp_path / seeds.FIGURE).exists()


def test_a_stopped_seed_stops_the_command_and_the_next_one_goes_on(
    config, pretend, tmp_path
):
    begun = pretend(seed_3=0.8, seed_4=exits.PREEMPTED, seed_5=0.7)
    assert seeds.run(config, tmp_path, 3, None) == exits.PREEMPTED
    assert not (tmp_path / seeds.SUMMARY).exists()
    pretend(seed_3=0.8, seed_4=0.9, seed_5=0.7)
    assert seeds.run(config, tmp_path, 3, None) == exits.DONE
    assert begun == [3, 4, 3, 4, 5]
    summary = json.loads((tmp_path / seeds.SUMMARY).read_text())
    assert summary["mean"] == pytest.approx(0.8)


def test_without_a_test_set_the_validation_set_counts(config):
    valid = SimpleNamespace(task=SimpleNamespace(test="", metric="f1"))
    summary = seeds.summarise(valid, [Result(0, 0.5, 0.1)], [])
    assert summary["metric"] == "valid/f1"


def test_pretraining_and_a_directory_of_one_run_are_refused(config, tmp_path):
    with pytest.raises(UsageError, match="--seeds needs a task"):
        seeds.run(configs.load("configs/demo.py", {}), tmp_path, 2, None)
    with pytest.raises(UsageError, match="--seeds=-2: one or more runs"):
        seeds.run(config, tmp_path, -2, None)
    files.write_text(tmp_path / rundir.CONFIG, "")
    files.write_json(tmp_path / rundir.RUN, {})
    with pytest.raises(UsageError, match="is one run: choose another --workdir"):
        seeds.run(config, tmp_path, 2, None)


def summary_of(
    scores: dict[str, float], metric: str = "test/accuracy", rows: str = "r"
) -> Summary:
    none: list[int] = []
    lists = {"degenerate": none, "diverged": none}
    measured = {"measured": dict.fromkeys(scores, rows)} if rows else {}
    return {"metric": metric, "scores": scores, "baseline": 0.5, **lists, **measured}


def test_the_gain_is_that_of_pairs_of_one_seed():
    """Differences 10, 12 and 8: 10 on average, deviation 2, t of two degrees 4.303."""
    ours = summary_of({"0": 0.70, "1": 0.82, "2": 0.58, "3": 0.1})
    theirs = summary_of({"2": 0.50, "0": 0.60, "1": 0.70, "9": 0.9})
    width = 4.3027 * 2 / math.sqrt(3)
    assert seeds.gain(ours, theirs, "other") == (
        f"gain over other: +10.00, 95 % interval {10 - width:+.2f} to "
        f"{10 + width:+.2f} of 3 paired seeds, which excludes 0"
    )
    spread = seeds.gain(ours, summary_of({"0": 0.6, "1": 0.92}), "other")
    assert spread.endswith("which includes 0")


def test_scores_of_different_rows_have_no_gain():
    ours = summary_of({"0": 0.7, "1": 0.8})
    said = seeds.gain(ours, summary_of({"0": 0.6, "1": 0.7}, rows="x"), "other")
    assert said == "gain over other: not comparable: other rows (seeds 0, 1)"
    said = seeds.gain(ours, summary_of({"0": 0.6, "1": 0.701}, rows=""), "other")
    assert "excludes 0; rows unknown: a run of an older version" in said


def test_the_summary_notes_what_was_measured(config):
    results = [Result(3, 0.8, 0.5, "a"), Result(4, 0.7, 0.5, "")]
    assert seeds.summarise(config, results, [])["measured"] == {"3": "a"}


def test_one_pair_tells_no_interval():
    said = seeds.gain(summary_of({"0": 0.7}), summary_of({"0": 0.6}), "other")
    assert "of 1 common seeds no interval can be told" in said


def test_other_seeds_of_another_metric_or_none_are_refused(config, tmp_path):
    (tmp_path / seeds.SUMMARY).write_text(json.dumps(summary_of({}, "test/f1")))
    with pytest.raises(UsageError, match="has test/f1, not "):
        seeds.run(config, tmp_path / "a", 2, tmp_path)
    (tmp_path / seeds.SUMMARY).unlink()
    with pytest.raises(UsageError, match="holds no seeds.json: train it with --seeds"):
        seeds.run(config, tmp_path / "a", 2, tmp_path)
    assert not (tmp_path / "a").exists()
