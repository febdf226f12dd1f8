"""The data of a sweep, before anything starts."""

import pytest

from bert_jax.run import config as configs
from bert_jax.run import rundir
from bert_jax.run.config import UsageError
from bert_jax.sweep import inputs, main
from tests.sweep import pretending


@pytest.fixture
def sweep(tmp_path, tiny):
    """sweep(TASK): the folder and the runs of an experiment that ends in that task."""
    (tmp_path / "base.json").write_text(configs.canonical(tiny({})))

    def make(task: str):
        (tmp_path / "task.py").write_text(task)
        path = pretending.write_experiment(
            tmp_path / "try.py",
            text="Why?",
            arms={"a": {}, "b": {"optim.learning_rate": 1e-4}},
            BASE=str(tmp_path / "base.json"),
            METRIC="valid/mlm_loss",
            BASELINE="a",
            SEEDS=1,
            THEN={"task": str(tmp_path / "task.py")},
        )
        return main.resolve_runs(path, tmp_path / "runs", 1)

    return make


TASK = """\
from configs.finetune import sst2
def get_config():
    config = sst2.get_config()
    config.data.length = 32
    config.task.update(train={file!r}, valid={file!r}, test="")
    return config
"""


def test_corpora_and_tasks_are_read_once(sweep, tmp_path):
    file = tmp_path / "train.tsv"
    file.write_text("".join(f"{n % 2}\tthe king saw {n}\n" for n in range(40)))
    messages = []
    inputs.prepare(*sweep(TASK.format(file=str(file))), messages.append)
    assert sum(line.startswith("store: ") for line in messages) == 1


def test_a_task_that_cannot_be_read_stops_everything(sweep, tmp_path):
    with pytest.raises(UsageError, match=r"nothing\.tsv"):
        inputs.prepare(*sweep(TASK.format(file=str(tmp_path / "nothing.tsv"))), print)


def test_changed_data_of_begun_run_are_refused(sweep, tmp_path):
    folder, runs = sweep(TASK.format(file="x.tsv"))
    pretending.begin(folder, runs[0])
    with pytest.raises(UsageError) as refused:
        inputs.prepare(folder, runs[:1], print)
    first, second, mend = str(refused.value).splitlines()
    assert first.startswith(f"the data changed since {folder / runs[0].name} began")
    assert second.startswith("the tokenizer changed")
    assert mend == "Restore it, or choose another --root"
    assert rundir.is_run(folder / runs[0].name)
