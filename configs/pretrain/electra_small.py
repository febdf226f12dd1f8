r"""ELECTRA-small's shape (Clark et al. 2020, section 3.3 and appendix A): 12 layers of width
256 over tables of width 128.

  python launch.py train --config=configs/pretrain/electra_small.py --workdir=runs/electra
  python launch.py train --config=configs/pretrain/electra_small.py:tiny --workdir=runs/tiny

Its objective, replaced-token detection, is not built yet: this trains the shape as a
masked LM, the baseline of the paper's section 3.4. `:tiny` is a size for two cores.
"""

from configs import demo
from configs.pretrain import bert_base


def get_config(size="base"):
    config = bert_base.get_config()
    config.data.pairs = "single"
    config.model.update(model_dim=256, num_heads=4, mlp_dim=1024)
    config.objective.pair = "none"
    config.optim.update(learning_rate=5e-4, bias_correction=True)
    config.train.update(steps=1_000_000, batch=128)
    config = demo.sized(config, size)
    config.model.embed_dim = {"base": 128, "tiny": 32}[size]
    return config
