"""A small BERT on the packaged news, in minutes on two CPU cores.

  make demo
  python launch.py train --config=configs/demo.py --workdir=runs/demo

Two layers of width 128 learn which words go together long before they learn which
sentences do: expect the masked-LM loss well below the unigram loss and the pair loss
at chance.
"""

from configs import base


def get_config():
    config = base.get_config()
    config.tokenizer.vocab_size = 4096
    config.model.update(num_layers=2, model_dim=128, num_heads=2, mlp_dim=512)
    config.model.update(norm="pre", max_length=128, dropout=0.0, attention_dropout=0.0)
    # A warm-up of 100 steps leaves the loss near the unigram loss for the whole run.
    config.optim.update(learning_rate=2e-3, warmup_steps=500)
    config.train.update(steps=2000, batch=32, log_every=10, save_every=250)
    config.eval.update(every=250, batch=32, max_examples=0)
    return config
