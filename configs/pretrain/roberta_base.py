r"""RoBERTa-base (Liu et al. 2019, section 5 and table 9): BERT-base with a byte-level
vocabulary, without a pair loss, and with larger batches.

  python launch.py train --config=configs/pretrain/roberta_base.py --workdir=runs/roberta
  python launch.py train --config=configs/pretrain/roberta_base.py:tiny --workdir=runs/tiny

Rows are full sentences that run over the ends of documents (section 4.2), and masks are
drawn anew every epoch (section 4.1). The paper trains on 160 GB of five corpora, of
which Wikipedia is one. `:tiny` is a size for two cores.
"""

from configs import demo
from configs.pretrain import bert_base


def get_config(size="base"):
    config = bert_base.get_config()
    config.data.update(pairs="full", length=512)
    config.tokenizer.update(model="byte_bpe", vocab_size=50_265, lowercase=False)
    config.model.update(num_types=1, norm_epsilon=1e-5)
    config.objective.pair = "none"
    config.optim.update(learning_rate=6e-4, warmup_steps=24_000, beta2=0.98)
    config.optim.update(bias_correction=True, clip_norm=0.0)
    config.train.update(steps=500_000, batch=8192)
    return demo.sized(config, size)
