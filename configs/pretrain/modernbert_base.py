r"""ModernBERT-base's shape (Warner et al. 2024, section 2.1 and table 2): 22 layers, rotary
positions, gated GELU, no biases, two layers of three local.

  python launch.py train --config=configs/pretrain/modernbert_base.py --workdir=runs/modern
  python launch.py train --config=configs/pretrain/modernbert_base.py:tiny --workdir=runs/tiny

Three of ten tokens are predicted. The paper trains 1.7 T tokens by StableAdamW with a
schedule of three parts, on 1,024 tokens and rotary base 10,000 first; here AdamW and a
linear schedule, on Wikipedia. `:tiny` is a size for two cores.
"""

from configs import demo
from configs.pretrain import bert_base


def get_config(size="base"):
    config = bert_base.get_config()
    config.data.update(pairs="full", length=1024)
    config.tokenizer.update(model="byte_bpe", vocab_size=50_368, lowercase=False)
    config.model.update(num_layers=22, mlp_dim=1152, max_length=8192, num_types=0)
    config.model.update(norm="pre_embed", norm_epsilon=1e-5, bias="none")
    config.model.update(positions="rotary", window=128, activation="geglu")
    config.model.update(dropout=0.0, attention_dropout=0.0)
    config.objective.update(pair="none", pooler="head", mask_rate=0.3)
    config.optim.update(learning_rate=8e-4, beta2=0.98, bias_correction=True)
    config.optim.weight_decay = 1e-5
    config.train.update(steps=500_000, batch=4096)
    return demo.sized(config, size)
