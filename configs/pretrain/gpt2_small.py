r"""GPT-2's smallest size (Radford et al. 2019, section 2.3 and table 2): 12 causal layers of
width 768, 1,024 tokens, a byte-level vocabulary.

  python launch.py train --config=configs/pretrain/gpt2_small.py --workdir=runs/gpt2
  python launch.py train --config=configs/pretrain/gpt2_small.py:tiny --workdir=runs/tiny

Its rate is not published; this one is GPT's (Radford et al. 2018, section 4.1), with its
warm-up and cosine. WebText is not to be had; Wikipedia is. `:tiny` is a size for two
cores.
"""

from configs import demo
from configs.pretrain import bert_base


def get_config(size="base"):
    config = bert_base.get_config()
    config.data.update(pairs="full", length=1024)
    config.tokenizer.update(model="byte_bpe", vocab_size=50_257, lowercase=False)
    config.model.update(max_length=1024, num_types=0, norm="pre", norm_epsilon=1e-5)
    config.model.update(attention="causal", activation="gelu_tanh")
    config.objective.update(kind="clm", pair="none", head="plain", pool="last")
    config.optim.update(learning_rate=2.5e-4, schedule="cosine", warmup_steps=2000)
    config.optim.bias_correction = True
    config.train.update(steps=300_000, batch=512)
    return demo.sized(config, size)
