r"""The five topics of the packaged news, from few labelled articles.

  python launch.py train --config=configs/finetune/topics.py \
    --config.init_from=runs/demo --workdir=runs/demo-topics/pretrained --seeds=3
  python launch.py train --config=configs/finetune/topics.py:scratch \
    --config.init_from=runs/demo --workdir=runs/demo-topics/scratch --seeds=3

`scratch` is the same network with the same vocabulary that starts from nothing, so the
difference is what pretraining is worth. `--config.task.per_label=5` leaves five labelled
articles a topic. The pretraining has read the test articles too, without their topics.
"""

from configs.finetune import recipe


def get_config(start="pretrained"):
    config = recipe.get_config()
    config.objective.update(kind="classify", pool="mean")
    config.task.update(format="news", train="train", test="test", per_label=50)
    config.task.valid = "valid"
    config.optim.learning_rate = 1e-3
    config.train.update(epochs=0.0, steps=200, batch=16, log_every=50)
    config.train.save_every = config.eval.every = 200
    if start not in ("pretrained", "scratch"):
        raise ValueError(f"there is no start {start!r}: it is pretrained or scratch")
    if start == "scratch":
        config.init_leave = "."
    return config
