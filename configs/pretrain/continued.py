r"""Continued pretraining of a run on a domain's text, before it is fine-tuned.

As FinBERT (Araci 2019, section 3.2) and Gururangan et al. 2020, section 3. Two configs
in sequence: this one starts from a run (an imported model is one), and the task then
starts from this one's run.

  python launch.py train --config=configs/pretrain/continued.py \
    --config.init_from=runs/imported --config.data.files=domain --workdir=runs/domain
  python launch.py train --config=configs/finetune/sst2.py \
    --config.init_from=runs/domain --workdir=runs/domain-sst2

Vocabulary and sizes are those of the run. Sentences are packed one after the other, and
only masked tokens are predicted.
"""

from configs import base


def get_config():
    config = base.get_config()
    config.data.update(corpus="files", files="domain", documents="auto", pairs="full")
    config.objective.pair = "none"
    config.optim.update(learning_rate=5e-5, warmup_share=0.1)
    config.train.update(epochs=3.0, batch=32, log_every=10, save_every=0)
    config.eval.update(every=0, batch=32)
    return config
