r"""A small BERT on a shelf of novels: both losses leave their baselines on a CPU.

  python launch.py train --config=configs/pretrain/novels.py \
    --config.data.files=novels --workdir=runs/novels
  python launch.py train --config=configs/pretrain/novels.py:two \
    --config.data.files=novels --config.init_from=runs/novels --workdir=runs/novels_two

`novels` is a folder with one plain-text novel a file (some 92 of them, 70 MB). At this
size the masked-LM loss stays near the unigram loss for several million tokens, and the
pair loss near chance for tens of millions. A pair has one label where a text has
nineteen masks, so the second phase takes batches four times as large.
"""

from configs import base


def get_config(phase="one"):
    config = base.get_config()
    config.data.update(corpus="files", files="novels")
    config.tokenizer.vocab_size = 4096
    config.model.update(num_layers=2, model_dim=128, num_heads=2, mlp_dim=512)
    config.model.update(norm="pre", max_length=128, dropout=0.0, attention_dropout=0.0)
    config.optim.update(learning_rate=2e-3, warmup_steps=500)
    config.train.update(steps=16_000, batch=32, log_every=100, save_every=1000)
    config.eval.update(every=1000, batch=64, max_examples=4096)
    if phase not in ("one", "two"):
        raise ValueError(f"there is no phase {phase!r}: it is one or two")
    if phase == "two":
        config.seed = 1
        config.optim.update(learning_rate=1e-3, warmup_steps=100)
        config.train.update(steps=3000, batch=128, save_every=500)
        config.eval.every = 500
    return config
