"""Plans: every run resolved, every mistake named together, and frozen."""

import json

import pytest

from bert_jax.run import config as configs
from bert_jax.run.config import UsageError
from bert_jax.sweep import experiment, plan, snapshot
from bert_jax.sweep.plan import PlannedRun
from tests.sweep.pretending import write_experiment

ARMS = {"a": {}, "b": {"optim.learning_rate": 1e-4}}


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A checkout of three small files."""
    root = tmp_path / "checkout"
    for name in ("launch.py", "bert_jax/train/loop.py", "configs/base.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# {name}\n")
    monkeypatch.setattr(snapshot, "ROOT", root)
    return root


@pytest.fixture
def draw(tmp_path):
    """draw(arms, NAME=VALUE, ...): the runs of an experiment of those."""

    def make(arms=ARMS, devices=1, **names) -> tuple[PlannedRun, ...]:
        usual = {
            "BASE": "configs/demo.py",
            "METRIC": "valid/mlm_loss",
            "BASELINE": "a",
            "SEEDS": 2,
        }
        path = tmp_path / "try.py"
        write_experiment(path, text="Why?", arms=arms, **usual | names)
        found, problems = experiment.read(path)
        return plan.resolve(found, problems, tmp_path / "runs/try", devices)

    return make


def refusal(call, *args, **options) -> list[str]:
    with pytest.raises(UsageError) as refused:
        call(*args, **options)
    return str(refused.value).splitlines()


def test_runs_come_by_arm_seed_and_stage(draw):
    runs = draw(THEN={"topics": "configs/finetune/topics.py"})
    assert [run.name for run in runs] == [
        f"{arm}/seed_{seed}/{stage}"
        for arm in "ab"
        for seed in (0, 1)
        for stage in ("pretrain", "topics")
    ]
    assert [run.config.seed for run in runs[:4]] == [0, 0, 1, 1]
    assert runs[1].needs == "a/seed_0/pretrain"
    assert runs[0].needs == ""
    assert runs[3].chain == "a/seed_1"


def test_task_starts_from_its_arm_and_seed(draw, tmp_path):
    runs = draw(
        {"a": {}, "b": {"model.num_layers": 3}},
        THEN={"topics": "configs/finetune/topics.py"},
    )
    last = runs[-1]
    parent = tmp_path / "runs/try/b/seed_1/pretrain"
    assert (last.arm, last.seed, last.stage) == ("b", 1, "topics")
    assert last.config.init_from == str(parent)
    assert last.config.model.num_layers == 3
    assert runs[1].config.model.num_layers == 2


def test_runs_of_one_seed_differ_in_arm_only(draw):
    a, _, b, _ = (configs.flatten(run.config) for run in draw())
    assert {key for key in a if a[key] != b[key]} == {"optim.learning_rate"}


def test_every_mistake_of_every_arm_is_named_together(draw):
    message = refusal(
        draw,
        {
            "a": {},
            "typo": {"optim.learning_rat": 1.0},
            "kind": {"train.steps": "many", "model.dropout": "0.1"},
            "range": {"objective.mask_rate": 1.5},
            "same": {"seed": 3},
            "equal": {"optim.learning_rate": 0.001},
            "b c": {},
        },
        BASELINE="z",
    )
    assert len(message) == 9
    for text in (
        "arm 'b c' is no folder's name",
        "BASELINE 'z' is none of",
        "arm typo: there is no config key optim.learning_rat; did you mean",
        "arm kind: train.steps must be of type int, not 'many'",
        "arm kind: model.dropout must be of type float, not '0.1'",
        "arm range: objective.mask_rate must be below 1, not 1.5",
        "arm same: seed is the sweep's to set",
        "arm equal changes nothing against arm a: leave it out",
        "arm b c changes nothing against arm a",
    ):
        assert any(line.startswith(text) for line in message), text


def test_arm_equal_to_baseline_is_refused(draw):
    (message,) = refusal(draw, {"x": {}, "a": {"train.steps": 6000}})
    assert message == "arm x changes nothing against the baseline a: leave it out"


def test_integers_are_accepted_for_floats_only(draw):
    run = draw({"a": {}, "b": {"model.dropout": 0, "objective.pair_weight": 2}})[-1]
    assert type(run.config.objective.pair_weight) is float
    assert refusal(draw, {"a": {}, "b": {"train.steps": True}})
    assert refusal(draw, {"a": {}, "b": {"train.steps": 2.0}})


def test_indivisible_batch_is_refused(draw):
    assert draw(devices=4)
    arms = {"a": {}, "b": {"train.batch": 6}}
    (message,) = refusal(draw, arms, devices=4)
    assert "arm b: train.batch" in message
    assert "6 is not divisible by the 4 devices" in message


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("valid/lm_loss", "a has valid/ of mlm_loss, mlm_accuracy, pair_accuracy"),
        ("topics/test/f2", "a has valid/ of task_loss, accuracy, f1"),
        ("train/loss", "a has valid/ of"),
    ],
)
def test_metric_of_no_run_is_refused(draw, metric, message):
    then = {"topics": "configs/finetune/topics.py"}
    assert any(message in line for line in refusal(draw, METRIC=metric, THEN=then))


def test_plan_is_frozen_with_code_and_read(draw, code, tmp_path):
    runs, folder = draw(), tmp_path / "runs/try"
    frozen = plan.freeze(folder, runs)
    assert plan.read(folder) == frozen
    assert frozen.runs == runs
    (code / "bert_jax/train/loop.py").write_text("# edited\n")
    assert plan.freeze(folder, runs) == frozen
    copy = folder / "code/bert_jax/train/loop.py"
    assert copy.read_text() == "# bert_jax/train/loop.py\n"


def test_arms_and_seeds_are_added_with_frozen_code(draw, code, tmp_path):
    folder = tmp_path / "runs/try"
    first = plan.freeze(folder, draw())
    (code / "launch.py").write_text("# edited\n")
    more = {**ARMS, "c": {"train.batch": 16}}
    grown = plan.freeze(folder, draw(more, SEEDS=3))
    assert len(grown.runs) == 9
    assert grown.code == first.code
    assert plan.read(folder) == grown


@pytest.mark.parametrize(
    ("arms", "seeds", "message"),
    [
        ({"a": {}, "b": {"optim.learning_rate": 2e-4}}, 2, "optim.learning_rate: 0.0"),
        ({"a": {}}, 2, "b/seed_0/pretrain is no longer asked for"),
        (ARMS, 1, "a/seed_1/pretrain is no longer asked for"),
    ],
)
def test_what_has_begun_is_not_changed(draw, code, tmp_path, arms, seeds, message):
    folder = tmp_path / "runs/try"
    before = plan.freeze(folder, draw())
    lines = refusal(plan.freeze, folder, draw(arms, SEEDS=seeds))
    assert any(message in line for line in lines)
    assert "or choose another --root" in lines[-1]
    assert plan.read(folder) == before


def test_rows_may_be_added_to_what_has_begun(draw, code, tmp_path):
    folder = tmp_path / "runs/try"
    plan.freeze(folder, draw())
    rows = {"eval.rows": "single", "eval.length": 64}
    more = {name: {**changes, **rows} for name, changes in ARMS.items()}
    grown = plan.freeze(folder, draw(more, METRIC="valid/single/mlm_loss"))
    assert {run.config.eval.rows for run in plan.read(folder).runs} == {"single"}
    assert plan.read(folder) == grown


def test_how_runs_are_executed_may_change(draw, code, tmp_path):
    """Kind C: what is outside a run's identity begins nothing anew."""
    folder = tmp_path / "runs/try"
    plan.freeze(folder, draw())
    arms = {arm: {**changes, "train.save_every": 7} for arm, changes in ARMS.items()}
    changed = plan.freeze(folder, draw(arms))
    assert {run.config.train.save_every for run in changed.runs} == {7}
    assert plan.read(folder) == changed


def test_a_plan_of_before_later_keys_grows(draw, code, tmp_path):
    """Kind C: an old config takes neutral values and keeps its id."""
    folder = tmp_path / "runs/try"
    before = plan.freeze(folder, draw())
    path = folder / "plan.json"
    content = json.loads(path.read_text())["content"]
    for run in content["runs"]:
        for key in configs.LATER:
            section, _, name = key.rpartition(".")
            del (run["config"][section] if section else run["config"])[name]
    written = {"content": content, "digest": plan._digest(content)}
    path.write_text(json.dumps(written))
    assert plan.read(folder) == before
    assert len(plan.freeze(folder, draw(SEEDS=3)).runs) == 6


def test_an_edited_plan_is_refused(draw, code, tmp_path):
    folder = tmp_path / "runs/try"
    plan.freeze(folder, draw())
    path = folder / "plan.json"
    written = json.loads(path.read_text())
    written["content"]["runs"][0]["config"]["train"]["steps"] = 7
    path.write_text(json.dumps(written))
    (message,) = refusal(plan.read, folder)
    assert "plan.json was edited" in message


@pytest.mark.parametrize("text", ["", "{", "[]", '{"content": 3}'])
def test_a_plan_that_cannot_be_read_is_refused(tmp_path, text):
    (tmp_path / "plan.json").write_text(text)
    (message,) = refusal(plan.read, tmp_path)
    assert "plan.json is not" in message


def test_edited_code_and_missing_plan_are_refused(draw, code, tmp_path):
    folder = tmp_path / "runs/try"
    (message,) = refusal(plan.read, folder)
    assert "launch the sweep first" in message
    plan.freeze(folder, draw())
    (folder / "code/launch.py").write_text("# edited\n")
    (message,) = refusal(plan.read, folder)
    assert "code was edited" in message


def test_compiled_python_files_are_no_edit(draw, code, tmp_path):
    folder = tmp_path / "runs/try"
    plan.freeze(folder, draw())
    compiled = folder / "code/bert_jax/__pycache__/__init__.cpython.py"
    compiled.parent.mkdir()
    compiled.write_text("")
    assert plan.read(folder)


def test_interrupted_snapshot_is_taken_again(draw, code, tmp_path):
    folder = tmp_path / "runs/try"
    (folder / "code").mkdir(parents=True)
    (folder / "code/launch.py").write_text("half")
    (folder / ".code.tmp").mkdir()
    plan.freeze(folder, draw())
    assert (folder / "code/launch.py").read_text() == "# launch.py\n"
    assert not (folder / ".code.tmp").exists()
