"""Is a masked LM that looks both ways worth more than one that reads left to right?

  python launch.py sweep experiments/direction.py --slots=2
  python launch.py report experiments/direction.py

Table 5 of Devlin et al. 2019 ("LTR & no NSP"). Losses of the two cannot be compared: the
judge is the F1 of the chunks of CoNLL-2000, after fine-tuning, whose train.txt and
test.txt must be in the folder that the command is given in.
"""

BASE = "configs/pretrain/short.py:single"
METRIC = "chunks/test/f1"
ALSO = ["chunks/test/accuracy"]
BASELINE = "bidirectional"
SEEDS = 6
THEN = {"chunks": "configs/finetune/conll2000.py"}
CLAIM = """\
Published: left to right is worse on every task (Devlin et al. 2019, table 5: MRPC 77.5
against 86.5, SQuAD 77.8 against 87.9 F1). A higher F1 from left to right would
contradict it."""
EXPECT = {"chunks/test/f1": {"left_to_right": "lower"}}


def arms():
    yield "bidirectional", {}
    yield "left_to_right", {"objective.kind": "clm", "model.attention": "causal"}
