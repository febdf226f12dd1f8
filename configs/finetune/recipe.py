"""What fine-tuning shares, after Devlin et al. 2019, appendix A.3: an abstract config.

A few epochs at a small rate, which warms up over a tenth of the steps. The encoder's
shape and the vocabulary are those of the run that `init_from` names.
"""

from configs import base


def get_config():
    config = base.get_config()
    config.data.update(length=128, valid_share=0.1)
    config.optim.update(learning_rate=5e-5, warmup_share=0.1)
    config.train.update(epochs=3.0, batch=32, log_every=50, save_every=0, keep_last=1)
    config.eval.update(every=0, batch=64)
    return config
