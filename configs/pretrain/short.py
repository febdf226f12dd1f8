"""A tiny BERT on the packaged news, under two minutes on one core: what sweeps ablate.

  python launch.py train --config=configs/pretrain/short.py --workdir=runs/short

Two layers of width 128 read 1.2 M tokens in 1,200 steps of 8 x 128, which is about when
the loss leaves that of the unigram frequencies. `short.py:single` has no sentence pairs
and no pair loss. What holds for so short a run need not hold for a long one: reports say
which differences they could have seen.
"""

from configs import demo


def get_config(pairs="nsp"):
    config = demo.get_config()
    config.tokenizer.vocab_size = 2048
    config.objective.update(mask_unit="token", mask_rate=0.15)
    config.optim.update(learning_rate=1e-3, warmup_steps=100)
    config.train.update(steps=1200, log_every=50, save_every=300, keep_last=1)
    config.eval.every = 300
    if pairs not in ("nsp", "single"):
        raise ValueError(f"there are no pairs {pairs!r}: it is nsp or single")
    if pairs == "single":
        config.data.pairs, config.objective.pair = "single", "none"
    return config
