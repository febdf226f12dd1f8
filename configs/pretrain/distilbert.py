r"""DistilBERT's shape (Sanh et al. 2019, section 3): BERT-base with half of its layers, and
without token types and pooler.

  python launch.py train --config=configs/pretrain/distilbert.py --workdir=runs/distil
  python launch.py train --config=configs/pretrain/distilbert.py:tiny --workdir=runs/tiny

Its objective, distillation, is not built yet: this trains the shape as a masked LM, which
is what the paper compares with (table 4, random initialisation). `:tiny` is a size for
two cores.
"""

from configs import demo
from configs.pretrain import bert_base


def get_config(size="base"):
    config = bert_base.get_config()
    config.data.update(pairs="full", length=512)
    config.model.update(num_layers=6, num_types=0)
    config.objective.pair = "none"
    config.optim.update(learning_rate=5e-4, bias_correction=True)
    config.train.update(steps=500_000, batch=4096)
    return demo.sized(config, size)
