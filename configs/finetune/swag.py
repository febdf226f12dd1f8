r"""The likeliest of several continuations (SWAG, Zellers et al. 2018; Devlin et al. 4.4).

  python launch.py train --config=configs/finetune/swag.py \
    --config.init_from=RUN --config.task.train=train.jsonl --workdir=runs/swag

An object a line, with a text under `startphrase`, its four endings under `ending0` to
`ending3`, and the number of the right one under `label`.
"""

from configs.finetune import recipe


def get_config():
    config = recipe.get_config()
    config.objective.kind = "choose"
    config.task.update(format="jsonl", train="train.jsonl", text="startphrase")
    config.task.choices = "ending0,ending1,ending2,ending3"
    config.train.batch = 16
    config.optim.learning_rate = 2e-5
    return config
