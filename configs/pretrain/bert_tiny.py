r"""BERT-tiny (Turc et al. 2019, table 1): 2 layers, width 128.

  python launch.py train --config=configs/pretrain/bert_tiny.py --workdir=runs/tiny
  python launch.py train --config=configs/pretrain/bert_tiny.py:512 \
    --workdir=runs/tiny_512 --config.init_from=runs/tiny
"""

from configs.pretrain import bert_base


def get_config(length="128"):
    config = bert_base.get_config(length)
    config.model.update(num_layers=2, model_dim=128, num_heads=2, mlp_dim=512)
    return config
