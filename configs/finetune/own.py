r"""Your own labelled texts: a CSV file with the columns text and label will do.

  python launch.py train --config=configs/finetune/own.py \
    --config.init_from=RUN --config.task.train=complaints.csv --workdir=runs/own
  python launch.py predict --workdir=runs/own "My line has been dead since Monday."

The labels are those of the file: hardware, software, billing, say. A tenth of the rows
is held out, the best epoch on it is kept. What differs is said on the command line:

  --config.task.format=tsv|jsonl|folders   tabs; an object a line; a folder a label
  --config.task.text=2 --config.task.label=0 --config.task.header=false   by number
  --config.task.separator=';' --config.task.encoding=latin-1
  --config.task.pair=answer                a second column, for pairs of texts
  --config.objective.kind=regress          a number in place of a label
  --config.task.class_weights=balanced     where one label outnumbers the others
  --config.objective.layers=4 --config.objective.pool=mean \
    --config.optim.freeze=encoder --config.model.dropout=0   a linear probe of a layer
"""

from configs.finetune import recipe


def get_config():
    config = recipe.get_config()
    config.objective.kind = "classify"
    config.task.update(format="csv", train="complaints.csv")
    config.train.update(epochs=5.0, batch=16, log_every=10, keep_best=True)
    return config
