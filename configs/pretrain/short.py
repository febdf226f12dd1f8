"""A tiny BERT on the packaged news, under two minutes on one core: what sweeps ablate.

  python launch.py train --config=configs/pretrain/short.py --workdir=runs/short

Two layers of width 128 read 1 M tokens in 1,000 steps of 8 x 128. Positions are
sinusoids: with learned ones the loss leaves that of the unigram frequencies at about
that time, sooner or later by the seed (6.24 to 6.47 nats of six seeds), which hides what
arms differ in. `short.py:single` has no sentence pairs and no pair loss. What holds for
so short a run need not hold for a long one: reports say which differences they could
have seen.
"""

from configs import demo


def get_config(pairs="nsp"):
    config = demo.get_config()
    config.tokenizer.vocab_size = 2048
    config.model.positions = "sinusoidal"
    config.objective.update(mask_unit="token", mask_rate=0.15)
    config.optim.update(learning_rate=1e-3, warmup_steps=100)
    config.train.update(steps=1000, log_every=50, save_every=250, keep_last=1)
    config.eval.every = 250
    if pairs not in ("nsp", "single"):
        raise ValueError(f"there are no pairs {pairs!r}: it is nsp or single")
    if pairs == "single":
        config.data.pairs, config.objective.pair = "single", "none"
    return config
