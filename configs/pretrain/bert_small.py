r"""BERT-small (Turc et al. 2019, table 1): 4 layers, width 512.

  python launch.py train --config=configs/pretrain/bert_small.py --workdir=runs/small
  python launch.py train --config=configs/pretrain/bert_small.py:512 \
    --workdir=runs/small_512 --config.init_from=runs/small
"""

from configs.pretrain import bert_base


def get_config(length="128"):
    config = bert_base.get_config(length)
    config.model.update(num_layers=4, model_dim=512, num_heads=8, mlp_dim=2048)
    return config
