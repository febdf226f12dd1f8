r"""Names of emerging entities in noisy text (WNUT 2017; Devlin et al. 2019, section 5.3).

  python launch.py train --config=configs/finetune/wnut17.py \
    --config.init_from=RUN --config.task.train=train.conll \
    --config.task.valid=dev.conll --config.task.test=test.conll --workdir=runs/wnut17

A word and its tag a line, a tab between them, a blank line between sentences.
"""

from configs.finetune import recipe


def get_config():
    config = recipe.get_config()
    config.objective.kind = "tag"
    config.task.update(format="conll", separator="\t", text="0", label="1")
    config.task.update(train="train.conll", valid="dev.conll", test="test.conll")
    config.optim.learning_rate = 1e-4
    config.train.update(epochs=4.0, batch=16)
    return config
