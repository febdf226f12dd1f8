r"""BERT-base (Devlin et al. 2019, section 3.1 and appendix A.2): 12 layers, width 768.

  python launch.py train --config=configs/pretrain/bert_base.py --workdir=runs/base
  python launch.py train --config=configs/pretrain/bert_base.py:512 \
    --workdir=runs/base_512 --config.init_from=runs/base

Nine tenths of the million updates see 128 tokens, the last tenth 512, with an
optimiser of their own. The paper's BooksCorpus is not to be had; Wikipedia is. Products
are of bfloat16; --config.model.dtype=float32 is one flag away.
"""

from configs import base


def get_config(length="128"):
    config = base.get_config()
    config.data.update(corpus="tfds", tfds_name="wikipedia/20230601.en")
    config.data.length = int(length)
    config.data.valid_share = 0.001
    config.eval.max_examples = 10_240
    config.model.dtype = "bfloat16"
    config.optim.bias_correction = False
    config.train.steps = {"128": 900_000, "512": 100_000}[length]
    return config
