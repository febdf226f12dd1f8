r"""BERT-medium (Turc et al. 2019, table 1): 8 layers, width 512.

  python launch.py train --config=configs/pretrain/bert_medium.py --workdir=runs/medium
  python launch.py train --config=configs/pretrain/bert_medium.py:512 \
    --workdir=runs/medium_512 --config.init_from=runs/medium
"""

from configs.pretrain import bert_base


def get_config(length="128"):
    config = bert_base.get_config(length)
    config.model.update(num_layers=8, model_dim=512, num_heads=8, mlp_dim=2048)
    return config
