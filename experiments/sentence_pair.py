"""Does a loss on sentence pairs help?

  python launch.py sweep experiments/sentence_pair.py --slots=2
  python launch.py report experiments/sentence_pair.py

nsp: the next sentence or one of another document (Devlin et al. 2019, table 5). sop: two
segments in their order or swapped (Lan et al. 2020, table 5). single: text of one
document and no pair loss. full: text across the ends of documents and no pair loss (Liu
et al. 2019, table 2). The masked-LM losses are those of shared rows: the same targets
behind the same masks for every arm, in one segment (`single`) and in two that follow
each other (`pair`); in half of the `nsp` rows the second segment is a random one, which
is told and not judged. Each model then tells five news topics from 50 labelled articles a
topic.

An earlier answer, 0.032 nats less without a pair loss, is withdrawn: each arm had been
evaluated on held-out rows of its own, whose unigram losses differ by 0.042 nats, after a
million tokens, at which pairs are told apart by chance.
"""

BASE = "configs/pretrain/pairs.py"
METRIC = "valid/single/mlm_loss"
ALSO = ["valid/pair/mlm_loss", "valid/nsp/mlm_loss", "topics/test/accuracy"]
BASELINE = "nsp"
SEEDS = 6
THEN = {"topics": "configs/finetune/topics.py"}
CLAIM = """\
Published: without a pair loss the masked LM is better (Lan et al. 2020, table 5: masked-LM
accuracy 54.9 without, 54.5 with nsp, 54.0 with sop; Liu et al. 2019, table 2), and sop
serves tasks better than nsp (Lan et al. 2020, table 5: 80.1 against 79.2). A higher loss
of single or full than of nsp, or a lower accuracy of sop, would contradict it."""
WITHOUT = {"single": "lower", "full": "lower"}
EXPECT = {
    "valid/single/mlm_loss": WITHOUT,
    "valid/pair/mlm_loss": WITHOUT,
    "topics/test/accuracy": {"sop": "higher"},
}


def arms():
    yield "nsp", {}
    yield "sop", {"data.pairs": "sop", "objective.pair": "sop"}
    yield "single", {"data.pairs": "single", "objective.pair": "none"}
    yield "full", {"data.pairs": "full", "objective.pair": "none"}
