r"""Is a sentence of a film review positive? (Socher et al. 2013; Devlin et al. 2019, 4.1)

  python launch.py train --config=configs/finetune/sst2.py \
    --config.init_from=RUN --config.task.train=train.tsv --config.task.valid=dev.tsv \
    --config.task.test=test.tsv --workdir=runs/sst2

The files have no header, and a label and a sentence a line.
"""

from configs.finetune import recipe


def get_config():
    config = recipe.get_config()
    config.objective.kind = "classify"
    config.task.update(format="tsv", header=False, label="0", text="1")
    config.task.update(train="train.tsv", valid="dev.tsv", test="test.tsv")
    config.task.labels = "0,1"  # negative, positive
    config.data.length = 64
    config.train.update(epochs=2.0, batch=32)
    return config
