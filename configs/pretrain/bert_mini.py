r"""BERT-mini (Turc et al. 2019, table 1): 4 layers, width 256.

  python launch.py train --config=configs/pretrain/bert_mini.py --workdir=runs/mini
  python launch.py train --config=configs/pretrain/bert_mini.py:512 \
    --workdir=runs/mini_512 --config.init_from=runs/mini
"""

from configs.pretrain import bert_base


def get_config(length="128"):
    config = bert_base.get_config(length)
    config.model.update(num_layers=4, model_dim=256, num_heads=4, mlp_dim=1024)
    return config
