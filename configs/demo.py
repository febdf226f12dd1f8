"""A small BERT on the packaged news, in minutes on two CPU cores.

  make demo
  python launch.py train --config=configs/demo.py --workdir=runs/demo

Two layers of width 128. Six of ten words are masked, whole: the neighbours hide with
them, so that what an article is about is learnt early, and each step has four times the
predictions of a rate of 0.15 (Wettig et al. 2023 mask 0.4). Batches are small, as steps
are what so short a run lacks. Validation masks 0.15 of the tokens as ever. Expect the
masked-LM loss 0.7 nats below the unigram loss and some 60 % of the pairs told apart;
experiments/records/topics.md has what else was tried.
"""

from ml_collections import ConfigDict

from configs import base


def get_config():
    config = shrunk(base.get_config())
    config.model.norm = "pre"
    config.objective.update(mask_unit="word", mask_rate=0.6)
    return config


def sized(config, size):
    """A recipe as it is ("base"), or for two cores ("tiny")."""
    return {"base": ConfigDict, "tiny": shrunk}[size](config)


def shrunk(config):
    """A recipe on the packaged news, at a size for two cores."""
    config.data.update(corpus="news", valid_share=0.05, length=128)
    config.tokenizer.vocab_size = 4096
    config.model.update(num_layers=2, model_dim=128, num_heads=2, mlp_dim=512)
    config.model.update(max_length=128, dropout=0.0, attention_dropout=0.0)
    config.model.dtype = "float32"
    config.optim.update(learning_rate=1e-3, warmup_steps=300, beta2=0.98)
    config.train.update(steps=6000, batch=8, log_every=20, save_every=500)
    config.eval.update(every=500, batch=32, max_examples=0)
    return config
