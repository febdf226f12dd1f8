r"""Your own text, however little: one story of 2,300 words will do.

  python launch.py train --config=configs/pretrain/own_text.py \
    --config.data.files=story.txt --workdir=runs/story

Paragraphs or windows of sentences become the documents (`data.documents=auto` says
which), at least two of them held out. A text this small teaches the machinery, not the
language: expect the held-out loss to stop falling early.
"""

from configs import base


def get_config():
    config = base.get_config()
    config.data.update(corpus="files", files="story.txt", documents="auto", length=64)
    config.tokenizer.vocab_size = 2048
    config.model.update(num_layers=2, model_dim=128, num_heads=2, mlp_dim=512)
    config.model.update(norm="pre", max_length=64)
    config.optim.update(learning_rate=1e-3, warmup_steps=20)
    config.train.update(steps=300, batch=8, log_every=10, save_every=100)
    config.eval.update(every=100, batch=8)
    return config
