r"""The tasks of GLUE (Wang et al. 2019; Devlin et al. 2019, section 4.1), from TFDS.

  python launch.py train --config=configs/finetune/glue.py:mrpc \
    --config.init_from=RUN --workdir=runs/mrpc --seeds=5

TFDS downloads a task at its first use. The test sets of GLUE have no labels, so scores
are those of the validation set, as in most papers.
"""

from configs.finetune import recipe

# kind, first and second text, labels in their order, metric
TASKS = {
    "cola": ("classify", "sentence", "", "unacceptable,acceptable", "matthews"),
    "sst2": ("classify", "sentence", "", "negative,positive", "accuracy"),
    "mrpc": (
        "classify",
        "sentence1",
        "sentence2",
        "not_equivalent,equivalent",
        "f1",
    ),
    "qqp": ("classify", "question1", "question2", "not_duplicate,duplicate", "f1"),
    "stsb": ("regress", "sentence1", "sentence2", "", "spearman"),
    "mnli": (
        "classify",
        "premise",
        "hypothesis",
        "entailment,neutral,contradiction",
        "accuracy",
    ),
    "qnli": (
        "classify",
        "question",
        "sentence",
        "entailment,not_entailment",
        "accuracy",
    ),
    "rte": (
        "classify",
        "sentence1",
        "sentence2",
        "entailment,not_entailment",
        "accuracy",
    ),
}


def get_config(name="mrpc"):
    if name not in TASKS:
        raise ValueError(f"there is no task {name!r}: they are {', '.join(TASKS)}")
    kind, text, pair, labels, metric = TASKS[name]
    config = recipe.get_config()
    config.objective.kind = kind
    config.task.update(format="tfds", tfds_name=f"glue/{name}", train="train")
    config.task.valid = "validation_matched" if name == "mnli" else "validation"
    config.task.update(text=text, pair=pair, labels=labels, metric=metric)
    return config
