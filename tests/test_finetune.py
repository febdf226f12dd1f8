"""Fine-tuning through the whole loop: kinds, best steps, stops, placements, parents."""

import contextlib
import itertools
import shutil

import jax
import numpy as np
import pytest

import launch
from bert_jax.run import best, exits, files, lineage, record, rules, rundir
from bert_jax.run import config as configs
from bert_jax.run.config import UsageError
from bert_jax.tasks import dataset
from bert_jax.train import checkpoint, evaluate, loop, restore, seeds, session, setup
from tests.finetuning import EPOCH, EPOCHS, SIZES, TASKS, scores
from tests.running import CHANGES, STEPS, amend, assert_same_run, become, final_state

LAST = EPOCHS * EPOCH
FINE = 1e-5  # relative, between placements


def result_of(workdir) -> dict:
    return rundir.read(workdir, rundir.RESULT)


@pytest.mark.parametrize("kind", TASKS)
def test_every_kind_is_learnt_and_evaluated_once_an_epoch(tuned, kind):
    workdir = tuned(kind)
    log = rundir.read_metrics(workdir)
    valid = {step: row for step, row in log.items() if "valid/task_loss" in row}
    assert list(valid) == [EPOCH * (epoch + 1) for epoch in range(EPOCHS)]
    assert valid[LAST]["valid/task_loss"] < valid[EPOCH]["valid/task_loss"]
    names = {"task_loss", "baseline", *rules.METRICS[kind]} - {"f1"}
    assert log[LAST].keys() >= {f"{s}/{n}" for s in ("valid", "test") for n in names}
    assert [step for step, row in log.items() if "test/task_loss" in row] == [LAST]
    decides = rules.metric(record.read(workdir).config)
    final = result_of(workdir)["metrics"]
    assert final[f"test/{decides}"] > final["test/baseline"]


def test_the_result_counts_what_was_read_without_padding(tuned):
    result = result_of(tuned("classify"))
    pieces = (
        session.reopen(tuned("classify")).train.mean_length * SIZES["train"] * EPOCHS
    )
    assert (result["steps"], result["tokens"]) == (LAST, round(pieces))
    assert "best_step" not in result


def test_a_run_keeps_its_labels_in_their_order(tuned):
    labels = rundir.read(tuned("classify"), rundir.RUN)["labels"]
    assert labels == ["bread", "house", "road", "stone"]
    assert rundir.read(tuned("span"), rundir.RUN)["labels"] == []


# The best step.

KEEP = {
    "train.keep_best": "true",
    "train.patience": 2,
    "train.epochs": 12,
    "train.keep_last": 1,
}


@pytest.fixture(scope="module")
def kept(task, tmp_path_factory):
    """A run of up to twelve epochs, that ends two after its best."""
    workdir = tmp_path_factory.mktemp("runs") / "kept"
    assert loop.run(task("tag", KEEP), workdir) == exits.DONE
    return workdir


def test_patience_ends_a_run_two_evaluations_after_its_best(kept, task):
    log, result = rundir.read_metrics(kept), result_of(kept)
    chosen, last = result["best_step"], result["steps"]
    scores = {s: row["valid/f1"] for s, row in log.items() if "valid/f1" in row}
    assert scores[chosen] == max(scores.values())
    assert chosen == min(step for step in scores if scores[step] == scores[chosen])
    assert last == max(log) == chosen + 2 * EPOCH < 12 * EPOCH
    assert best.step(task("tag", KEEP), log, last) == chosen


def test_the_best_step_and_the_last_are_kept(kept):
    result = result_of(kept)
    kept_steps = checkpoint.steps(kept / "checkpoints")
    assert kept_steps == [result["best_step"], result["steps"]]


def test_the_best_step_is_what_others_read_of_the_run(kept, task, tmp_path):
    chosen = result_of(kept)["best_step"]
    assert checkpoint.chosen(kept, None) == chosen != result_of(kept)["steps"]
    parent = restore.parent(task("tag", {"init_from": kept}), tmp_path)
    assert parent == f"{rundir.read(kept, rundir.RUN)['fingerprint']}/{chosen}"


def test_the_result_and_the_test_set_are_those_of_the_best_step(kept):
    """Against an evaluation of that checkpoint alone."""
    result, log = result_of(kept), rundir.read_metrics(kept)
    chosen = result["best_step"]
    assert [step for step, row in log.items() if "test/f1" in row] == [chosen]
    parts = session.reopen(kept)
    params = checkpoint.restore_params(kept, chosen, parts.param_shapes())
    function = evaluate.compiled(parts)
    for name in ("valid", "test"):
        found = evaluate.split(parts, function, params, name, lambda: False)
        assert found is not None
        assert found == {key: result["metrics"][key] for key in found}


def test_a_run_that_is_stopped_again_and_again_ends_the_same(
    kept, task, tmp_path, monkeypatch
):
    """At every seventeenth chance, between steps and in evaluations, and in the last."""
    workdir, asked, split = tmp_path / "run", itertools.count(1), evaluate.split
    tested = iter([False, True, True])

    def stopped_in_the_test(setup, function, params, name, stopping):
        if name == "test" and not next(tested):
            return None
        return split(setup, function, params, name, stopping)

    monkeypatch.setattr(
        loop,
        "Stopping",
        lambda _: contextlib.nullcontext(lambda: next(asked) % 17 == 0),
    )
    monkeypatch.setattr(evaluate, "split", stopped_in_the_test)
    config, codes = task("tag", KEEP), []
    while not codes or codes[-1] == exits.PREEMPTED:
        assert not (workdir / rundir.RESULT).exists()
        codes.append(loop.run(config, workdir))
        assert len(codes) < 20
    assert codes[-1] == exits.DONE
    assert len(codes) > 3
    assert_same_run(workdir, kept)
    once, again = result_of(kept), result_of(workdir)
    differing = {key for key in once if once[key] != again[key]}
    clock = {"seconds", "metrics", "goodput"}  # and what digests them
    assert differing == {*clock, "metrics_bytes", "metrics_sha256", "check"}


# Placements.


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("classify", {"parallel.mesh": "8x1x1"}),
        ("classify", {"train.accumulate": 2}),
        # Tags by pmap: tests/test_hosts.py, on two hosts.
        ("choose", {"parallel.mesh": "8x1x1", "parallel.placement": "pmap"}),
    ],
)
def test_eight_devices_and_micro_batches_give_the_numbers_of_one(
    tuned, task, tmp_path, kind, changes
):
    assert loop.run(task(kind, changes), tmp_path / "run") == exits.DONE
    alone, together = scores(tuned(kind)), scores(tmp_path / "run")
    assert alone.keys() == together.keys()
    assert len(alone[LAST]) > 3
    for step, row in alone.items():
        assert together[step] == pytest.approx(row, rel=FINE, abs=1e-7), step


# What is trained, and from what.


def test_a_linear_probe_of_a_layer_leaves_the_encoder_as_it_was(
    straight, task, tmp_path
):
    changes = {
        "objective.layers": 1,
        "objective.pool": "mean",
        "optim.freeze": "^encoder",
    }
    assert loop.run(task("classify", changes), tmp_path / "run") == exits.DONE
    parts = session.reopen(tmp_path / "run")
    begun, ended = (
        checkpoint.restore_alone(run, step)
        for run, step in ((straight, STEPS), (tmp_path / "run", LAST))
    )
    assert ended.keys() == {"encoder", "classify_head"}
    jax.tree.map(np.testing.assert_array_equal, begun["encoder"], ended["encoder"])
    assert np.any(ended["classify_head"]["bias"])
    moments = final_state(tmp_path / "run").opt_state
    sizes = [leaf.size for leaf in jax.tree.leaves(moments)]
    assert max(sizes) == parts.param_shapes()["classify_head"]["kernel"].size


def test_continued_pretraining_and_then_a_task(straight, tiny, task, tmp_path):
    seldom = {"eval.every": STEPS, "train.save_every": STEPS}
    more = tiny({**CHANGES, **seldom, "init_from": straight})
    assert loop.run(more, tmp_path / "more") == exits.DONE
    config = task("classify", {"init_from": tmp_path / "more"})
    assert loop.run(config, tmp_path / "task") == exits.DONE
    facts = [
        rundir.read(run, rundir.RUN)
        for run in (straight, tmp_path / "more", tmp_path / "task")
    ]
    assert facts[1]["parent"] == f"{facts[0]['fingerprint']}/{STEPS}"
    assert facts[2]["parent"] == f"{facts[1]['fingerprint']}/{STEPS}"
    assert len({fact["fingerprint"] for fact in facts}) == 3
    assert len({fact["tokenizer"] for fact in facts}) == 1


def test_a_run_goes_on_without_its_parent_but_not_with_another(
    task, straight, tmp_path
):
    parent = shutil.copytree(straight, tmp_path / "parent")
    config = task("classify", {"init_from": parent, "train.epochs": 1})
    workdir = tmp_path / "run"
    assert loop.run(config, workdir) == exits.DONE
    (workdir / rundir.RESULT).unlink()
    become(parent, {"seed": 1})
    with pytest.raises(UsageError, match="is .*/.* by now: name the step"):
        loop.run(config, workdir)
    shutil.rmtree(parent)
    assert loop.run(config, workdir) == exits.DONE
    assert launch.main(["evaluate", f"--workdir={workdir}"]) == exits.DONE


def test_class_weights_of_the_config_weigh_the_loss(task):
    parts = setup.build(task("classify", {"task.class_weights": "1,2,3,4"}), None)
    batch = parts.train.batch(0, 8, slice(None))
    _, counts = parts.objective.prepare(batch, jax.random.key(0))
    assert counts["task"] == (batch["label"] + 1).sum()


def test_data_that_changed_are_refused(tuned, task, labelled, tmp_path):
    path = shutil.copy(labelled / "classify.valid", tmp_path / "valid")
    config = lineage.with_vocabulary(task("classify", {"task.valid": path}), None)
    session.check_data(tuned("classify"), dataset.prepare(config))
    text = (tmp_path / "valid").read_text()
    (tmp_path / "valid").write_text(text.replace("found", "lost", 1))
    with pytest.raises(UsageError, match=r"the data changed since .* began"):
        session.check_data(tuned("classify"), dataset.prepare(config))


def test_seeds_are_runs_of_their_own_and_done_ones_stay(task, tmp_path, capsys):
    path, workdir = tmp_path / "config.json", tmp_path / "runs"
    path.write_text(configs.canonical(task("choose", {"train.epochs": 1})))
    command = ["train", f"--config={path}", f"--workdir={workdir}", "--seeds=2"]
    assert launch.main(command) == exits.DONE
    said = capsys.readouterr().out
    assert "test/accuracy of 2 seeds" in said
    names = {entry.name for entry in workdir.iterdir()}
    assert names == {"seed_0", "seed_1", seeds.SUMMARY, seeds.FIGURE}
    assert rundir.read(workdir / "seed_1", rundir.RUN)["seed"] == 1
    assert launch.main([*command, f"--against={workdir}"]) == exits.DONE
    again = capsys.readouterr()
    assert said in again.out
    assert again.err.count("is done: 6 steps") == 2
    assert "+0.00, 95 % interval +0.00 to +0.00 of 2 paired seeds" in again.out
    for change in ({"scores": {"0": 0.5}}, {"measured": {"0": "other"}}):
        summary = files.read_json(workdir / seeds.SUMMARY, dict)
        amend(workdir / seeds.SUMMARY, change)
        assert launch.main([*command, f"--against={workdir}"]) == exits.USAGE
        assert f"{seeds.SUMMARY}: seed 0 has (" in capsys.readouterr().err
        files.write_json(workdir / seeds.SUMMARY, summary)
