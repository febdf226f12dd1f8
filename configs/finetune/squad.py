r"""Answers as spans of a paragraph: SQuAD (Rajpurkar et al. 2016; Devlin et al. 2019, 4.2).

  python launch.py train --config=configs/finetune/squad.py \
    --config.init_from=RUN --config.task.train=train-v1.1.json \
    --config.task.valid=dev-v1.1.json --workdir=runs/squad

With `--config=...:v2` questions may have no answer (Rajpurkar et al. 2018; section 4.3).
"""

from configs.finetune import recipe


def get_config(version="v1"):
    config = recipe.get_config()
    config.objective.kind = "span"
    config.task.update(format="squad", train="train-v1.1.json")
    config.data.length = 384
    config.optim.learning_rate = 5e-5
    config.train.update(epochs=2.0, batch=32)
    config.eval.batch = 32
    if version not in ("v1", "v2"):
        raise ValueError(f"there is no version {version!r}: it is v1 or v2")
    if version == "v2":
        config.task.update(train="train-v2.0.json", no_answer=True)
    return config
