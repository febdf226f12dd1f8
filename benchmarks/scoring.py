"""Pseudo-log-likelihood on a CPU: sentences/s, and how much batching is worth.

  python -m benchmarks.scoring

A random network of 6 layers of width 384 with a masked-LM head over 30,522 tokens
scores 2,000 sentences of 10 words; compiling is in the time. A loop of one row a call,
compiled beforehand, scores a part of them in turns with the batches, so that other load
falls on both.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from bert_jax.data import tokenizer
from bert_jax.data.vocabulary import SPECIALS
from bert_jax.inspect.score import likelihood
from bert_jax.models import network as networks
from bert_jax.models.layers import EncoderConfig
from bert_jax.models.network import PRETRAINING, Network
from bert_jax.predict.model import Model
from bert_jax.predict.reader import Reader
from bert_jax.run import config as configs
from bert_jax.train import setup

WANTED = 240  # seconds
VOCABULARY = 30_522
SPLIT = 0.1  # of the words have two tokens
LOOPED = 10  # sentences of a turn


def words(random: np.random.Generator) -> tuple[list[str], list[str]]:
    """A vocabulary of whole words and endings; whole words, some with an ending."""
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    drawn = {"".join(row) for row in random.choice(letters, (60_000, 7))}
    plain = sorted(drawn)[: VOCABULARY - len(SPECIALS) - 100]
    endings = sorted({"".join(row) for row in random.choice(letters, (200, 3))})[:100]
    split = random.random(len(plain)) < SPLIT
    tails = np.where(split, random.choice(endings, len(plain)), "")
    text = [word + tail for word, tail in zip(plain, tails, strict=True)]
    return [*SPECIALS, *plain, *(f"##{end}" for end in endings)], text


def random_model(vocabulary: list[str]) -> Model:
    """Of random weights, 6 x 384."""
    config = configs.load(
        "configs/pretrain/bert_base.py",
        {
            "model.num_layers": "6",
            "model.model_dim": "384",
            "model.mlp_dim": "1536",
            "model.max_length": "512",
            "model.dtype": "float32",
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("\n".join(vocabulary) + "\n")
        words = tokenizer.load(path, config.tokenizer.lowercase)
    config = setup.resolved(config, words.vocab_size)
    network = Network(EncoderConfig(**config.model), ("mlm_head",), 0, PRETRAINING)
    params = jax.jit(networks.init, static_argnums=0)(network, jax.random.key(0))
    return Model(Reader(config, words, network, params, 0, [], ""))


def loop(model: Model, texts: list[str]) -> np.ndarray:
    """The same by one masked row a call, of its own length, and numpy."""
    totals = []
    for text in texts:
        inputs, total = model.encode([text]), 0.0
        for place in range(1, int(inputs["lengths"][0]) - 1):
            ids = inputs["ids"].copy()
            ids[0, place] = model.tokenizer.mask_id
            batch = {"ids": ids, "types": inputs["types"], "lengths": inputs["lengths"]}
            batch["positions"] = np.full((1, 1), place, np.int32)
            logits = model.outputs(("logits",), batch)["logits"][0, 0].astype(float)
            top = logits.max()
            total += logits[inputs["ids"][0, place]] - top
            total -= np.log(np.exp(logits - top).sum())
        totals.append(total)
    return np.array(totals)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--words", type=int, default=10, help="of a sentence")
    parser.add_argument("--turns", type=int, default=3, help="of the loop")
    given = parser.parse_args()

    random = np.random.default_rng(0)
    vocabulary, known = words(random)
    model = random_model(vocabulary)
    drawn = random.choice(known, (given.sentences, given.words))
    texts = [" ".join(row) for row in drawn]
    some = [texts[i * LOOPED : (i + 1) * LOOPED] for i in range(given.turns)]
    for part in some:
        loop(model, part)

    begun = time.perf_counter()
    found = likelihood.of_texts(model, texts, "piece")
    seconds = time.perf_counter() - begun
    rows = sum(each.count for each in found)
    print(
        f"{given.sentences:,} sentences, {rows:,} rows in {seconds:.1f} s (wanted "
        f"{WANTED} s): {given.sentences / seconds:.1f} sentences/s, "
        f"{rows / seconds:.0f} rows/s, {os.cpu_count()} CPUs, load "
        f"{os.getloadavg()[0]:.1f}"
    )
    alone, together, gap = [], [], 0.0
    for part in some:
        begun = time.perf_counter()
        totals = loop(model, part)
        alone.append((time.perf_counter() - begun) / len(part))
        more = texts[: 20 * LOOPED]
        begun = time.perf_counter()
        likelihood.of_texts(model, more, "piece")
        together.append((time.perf_counter() - begun) / len(more))
        ours = [each.total for each in likelihood.of_texts(model, part, "piece")]
        gap = max(gap, float(np.abs(totals - ours).max()))
    one, many = statistics.median(alone), statistics.median(together)
    print(
        f"a loop of single rows: {1 / one:.2f} sentences/s, batches {1 / many:.2f}: "
        f"{one / many:.1f} times; totals differ by {gap:.1e} at most"
    )


if __name__ == "__main__":
    main()
