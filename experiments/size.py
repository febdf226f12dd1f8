"""What do depth and width buy?

  python launch.py sweep experiments/size.py --slots=2
  python launch.py report experiments/size.py

Depth by width (Devlin et al. 2019, table 6), heads of 64 and a hidden layer of four
times the width, the same steps and the same rate for all: what a size costs is told
beside what it buys.
"""

BASE = "configs/pretrain/short.py:single"
METRIC = "valid/mlm_loss"
ALSO = ["topics/test/accuracy"]
BASELINE = "layers_2_width_128"
SEEDS = 6
THEN = {"topics": "configs/finetune/topics.py"}
CLAIM = """\
Published: larger is better, in depth and in width (Devlin et al. 2019, table 6: 3 layers
of 768 have a perplexity of 5.84, 6 have 5.24, 12 have 3.99; 24 of 1,024 have 3.23). A
higher loss of a deeper or wider model would contradict it."""
EXPECT = {
    "valid/mlm_loss": {
        "layers_1_width_128": "higher",
        "layers_4_width_128": "lower",
        "layers_2_width_64": "higher",
        "layers_2_width_256": "lower",
    }
}


def arms():
    for layers in (1, 2, 4):
        for width in (64, 128, 256):
            yield (
                f"layers_{layers}_width_{width}",
                {
                    "model.num_layers": layers,
                    "model.model_dim": width,
                    "model.num_heads": width // 64,
                    "model.mlp_dim": 4 * width,
                },
            )
