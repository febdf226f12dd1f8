"""FLOPs and peaks against sums done by hand."""

import pytest

from bert_jax.run import flops
from configs import base


def tiny():
    config = base.get_config()
    config.model.vocab_size = 30522
    config.model.num_layers = 2
    config.model.model_dim = 4
    config.model.mlp_dim = 16
    config.model.vocab_size = 100
    config.data.length = 10
    config.objective.pair = "none"
    config.objective.mask_rate = 0.25  # of 8 maskable tokens: 2
    return config


# Two layers: 6 * 2 * (4*16 + 2*4*16) = 2304 for the weights, 12 * 2 * 10 * 4 = 960 for
# attention; the head 6 * (16 + 100*4) = 2496 at each predicted position.
def test_masked_lm_head_costs_predicted_positions_only():
    assert flops.predicted(tiny()) == 2
    assert flops.flops_per_token(tiny(), 10) == pytest.approx(
        2304 + 960 + 2496 * 2 / 10
    )


def test_a_pair_loss_adds_one_pooler_a_sequence():
    config = tiny()
    config.objective.pair = "nsp"
    added = flops.flops_per_token(config, 10) - flops.flops_per_token(tiny(), 10)
    assert added == pytest.approx(6 * 16 / 10)


def test_causal_lm_predicts_length_minus_one():
    config = tiny()
    config.objective.kind = "clm"
    config.objective.pair = "nsp"
    assert flops.flops_per_token(config, 10) == pytest.approx(
        2304 + 960 + 2496 * 9 / 10
    )


def test_fractional_predictions_round_up():
    config = tiny()
    config.objective.mask_rate = 0.15  # of 8: 1.2, so one or two
    assert flops.predicted(config) == 2


def test_total_is_per_token_times_tokens():
    config = tiny()
    config.train.batch = 3
    total = flops.training_flops(config, 7, 10)
    assert total == pytest.approx(7 * 3 * 10 * flops.flops_per_token(config, 10))


def test_task_costs_encoder_at_example_length():
    config = tiny()
    config.objective.kind = "tag"
    attention = 12 * 2 * 2.5 * 4
    assert flops.flops_per_token(config, 2.5) == pytest.approx(2304 + attention)


def test_bert_base_flops_match_formula():
    config = base.get_config()
    config.model.vocab_size = 30522
    share = flops.predicted(config) / 128
    assert share == pytest.approx(0.15, abs=0.01)
    width, ff, vocab = 768, 3072, 30522
    expected = (
        6 * 12 * (4 * width**2 + 2 * width * ff)
        + 12 * 12 * 128 * width
        + 6 * (vocab * width + width**2) * share
        + 6 * width**2 / 128
    )
    assert flops.flops_per_token(config, 128) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("TPU v4", 275e12),
        ("TPU v5 lite", 197e12),
        ("TPU v5p", 459e12),
        ("TPU v5", 459e12),
        ("TPU v6 lite", 918e12),
        ("cpu", None),
        ("NVIDIA GeForce RTX 4090", None),
    ],
)
def test_peak_is_datasheet_value_or_none(kind, peak):
    assert flops.peak(kind) == peak
