"""Tokens or whole words, new masks every epoch or always the same?

  python launch.py sweep experiments/masking_kind.py --slots=2
  python launch.py report experiments/masking_kind.py

Static masks are drawn once for each example, dynamic ones for each time that it is seen
(Liu et al. 2019, section 4.1, table 1). Whole words are masked with all their tokens
(Devlin et al., repository, 2019). The judge is the same for all: single tokens, masks
that stay.
"""

BASE = "configs/pretrain/short.py:single"
METRIC = "valid/mlm_loss"
ALSO = ["topics/test/accuracy"]
BASELINE = "token_dynamic"
SEEDS = 6
THEN = {"topics": "configs/finetune/topics.py"}
CLAIM = """\
Published: dynamic masks are as good or slightly better on tasks (Liu et al. 2019, table
1: SQuAD 78.7 against 78.3), and more so the more often the text is seen; whole words
help tasks. A lower loss of static masks, or fewer topics told after whole words, would
contradict it."""
EXPECT = {
    "valid/mlm_loss": {"token_static": "higher"},
    "topics/test/accuracy": {"word_dynamic": "higher"},
}


def arms():
    for unit in ("token", "word"):
        yield f"{unit}_dynamic", {"objective.mask_unit": unit}
        yield (
            f"{unit}_static",
            {"objective.mask_unit": unit, "objective.mask_copies": 1},
        )
