"""Generation with a cache of keys and values against reading the text anew each time.

  python -m benchmarks.generate [--tokens=256] [--config=configs/pretrain/gpt2_small.py]

Both continue the same text greedily by a model of random weights, in float32; the first
token of each, which compiles, is not counted. Prints the seconds of each, their ratio,
whether the tokens are the same, and the largest difference of two logits.
"""

import argparse
import time
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from bert_jax.models import network as networks
from bert_jax.models.layers import EncoderConfig
from bert_jax.models.network import Network, Readout
from bert_jax.predict import decoding
from bert_jax.run import config as configs

VOCABULARY = 50_257


def model_of(path: str) -> Any:
    """As much of a model as a reader of texts needs, with random weights."""
    changes = {"model.vocab_size": str(VOCABULARY), "model.dtype": "float32"}
    config = configs.load(path, changes)
    encoder, features = EncoderConfig(**config.model), Readout.of(config.objective)
    network = Network(encoder, ("mlm_head",), 0, features)
    params = jax.jit(networks.init, static_argnums=0)(network, jax.random.key(0))
    apply = jax.jit(lambda batch: network.apply({"params": params}, batch, None))

    def outputs(names: tuple[str, ...], batch: Any) -> dict[str, np.ndarray]:
        found = apply(batch)
        return {name: np.asarray(found[name]) for name in names}

    words = SimpleNamespace(cls_id=0, pad_id=0)
    return SimpleNamespace(
        network=network, params=params, outputs=outputs, tokenizer=words
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--config", default="configs/pretrain/gpt2_small.py")
    given = parser.parse_args()
    model, width = model_of(given.config), given.tokens + 16
    reader = decoding.CachedReader(model, width)
    ids, seconds = list(range(1, 8)), {"cached": 0.0, "anew": 0.0}
    far, same = 0.0, 0
    for number in range(given.tokens + 2):
        begun = time.perf_counter()
        cached = reader.next_logits(ids)
        middle = time.perf_counter()
        plain = decoding.next_logits(model, ids, width)
        if number >= 2:  # the prompt, and a token after it, are compiled
            seconds["cached"] += middle - begun
            seconds["anew"] += time.perf_counter() - middle
            far = max(far, float(np.abs(cached - plain).max()))
            same += int(cached.argmax() == plain.argmax())
        ids.append(int(plain.argmax()))
    print(f"{given.tokens} tokens: cached {seconds['cached']:.1f} s, ", end="")
    print(
        f"anew {seconds['anew']:.1f} s: {seconds['anew'] / seconds['cached']:.1f} times"
    )
    print(f"the same token {same} of {given.tokens} times; logits within {far:.1e}")


if __name__ == "__main__":
    main()
