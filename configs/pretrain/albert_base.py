r"""ALBERT-base (Lan et al. 2020, section 3 and table 1): one block for all twelve layers,
tables of width 128, and the order of sentences as the pair loss.

  python launch.py train --config=configs/pretrain/albert_base.py --workdir=runs/albert
  python launch.py train --config=configs/pretrain/albert_base.py:tiny --workdir=runs/tiny

LAMB with the rate and batch of section 4.1; without dropout, as in the second version of
the release. Here the vocabulary is WordPiece, there SentencePiece, and masks are single
tokens, there n-grams (section 4.1). `:tiny` is a size for two cores.
"""

from configs import demo
from configs.pretrain import bert_base


def get_config(size="base"):
    config = bert_base.get_config()
    config.data.update(pairs="sop", length=512)
    config.tokenizer.vocab_size = 30_000
    config.model.update(share="all", activation="gelu_tanh")
    config.model.update(dropout=0.0, attention_dropout=0.0)
    config.objective.pair = "sop"
    config.optim.update(name="lamb", learning_rate=1.76e-3, warmup_steps=3125)
    config.optim.bias_correction = True
    config.train.update(steps=125_000, batch=4096)
    config = demo.sized(config, size)
    config.model.embed_dim = {"base": 128, "tiny": 32}[size]
    return config
