r"""BERT-large (Devlin et al. 2019, section 3.1): 24 layers, width 1024.

  python launch.py train --config=configs/pretrain/bert_large.py --workdir=runs/large
  python launch.py train --config=configs/pretrain/bert_large.py:512 \
    --workdir=runs/large_512 --config.init_from=runs/large
"""

from configs.pretrain import bert_base


def get_config(length="128"):
    config = bert_base.get_config(length)
    config.model.update(num_layers=24, model_dim=1024, num_heads=16, mlp_dim=4096)
    return config
