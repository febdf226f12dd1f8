"""Pretraining objectives against numpy, and the invariants that the loop relies on."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from bert_jax.models.layers import EncoderConfig
from bert_jax.objectives import base, pretrain
from bert_jax.objectives.masking import Vocabulary
from configs import base as base_config

VOCAB, SPECIALS, LENGTH, BATCH = 40, 5, 16, 8
CLS, SEP = 2, 3
SPECIAL = np.arange(VOCAB) < SPECIALS
VOCABULARY = Vocabulary(np.zeros(VOCAB, bool), SPECIAL, mask_id=4)
FREQUENCIES = np.arange(VOCAB) ** 2
UNIGRAM = pretrain.unigram_log_probs(FREQUENCIES, SPECIAL)


def config(**changes) -> ConfigDict:
    """One tiny layer in float32 without dropout."""
    config = base_config.get_config()
    config.model.update(
        vocab_size=VOCAB,
        num_layers=1,
        model_dim=16,
        num_heads=2,
        mlp_dim=32,
        max_length=LENGTH,
        init_stddev=0.2,
        dropout=0.0,
        attention_dropout=0.0,
    )
    config.update_from_flattened_dict(changes)
    return config


CAUSAL = {
    "objective.kind": "clm",
    "objective.pair": "none",
    "model.attention": "causal",
}
DROPOUT = {"model.dropout": 0.1, "model.attention_dropout": 0.1}


def objective(*, evaluation=False, **changes):
    """A compiled objective, its loss with the gradient; the same one when asked again."""
    return compiled(evaluation, tuple(sorted(changes.items())))


@functools.cache
def compiled(evaluation, changes):
    built = pretrain.build(
        config(**dict(changes)), VOCABULARY, UNIGRAM, evaluation=evaluation
    )
    return built._replace(
        prepare=jax.jit(built.prepare),
        loss=jax.jit(jax.value_and_grad(built.loss, has_aux=True)),
        predict=jax.jit(built.predict),
    )


@pytest.fixture
def batch():
    random = np.random.default_rng(0)
    lengths = random.integers(LENGTH // 2, LENGTH + 1, BATCH).astype(np.int32)
    lengths[0] = LENGTH
    ids = random.integers(SPECIALS, VOCAB, (BATCH, LENGTH)).astype(np.int32)
    place = np.arange(LENGTH)
    ids[:, 0] = CLS
    ids[place == lengths[:, None] - 1] = SEP
    ids[place >= lengths[:, None]] = 0
    return {
        "ids": ids,
        "types": (place > LENGTH // 2).astype(np.int32) * np.ones_like(ids),
        "lengths": lengths,
        "pair_label": random.integers(0, 2, BATCH).astype(np.int32),
        "example_ids": np.arange(100, 100 + BATCH, dtype=np.int32),
        "epochs": np.zeros(BATCH, np.int32),
        "rows": np.arange(BATCH, dtype=np.int32),
        "weights": np.ones(BATCH, np.float32),
    }


def start(objective, batch):
    """Parameters, the masked batch and its counts."""
    random = np.random.default_rng(1)
    shapes = jax.eval_shape(objective.init, jax.random.key(0))
    # Not init's own: its biases are zero, and a forgotten one would not show.
    params = jax.tree.map(
        lambda leaf: jnp.float32(0.3 * random.standard_normal(leaf.shape)), shapes
    )
    return params, *objective.prepare(batch, jax.random.key(2))


def part(batch, rows):
    return {name: value[rows] for name, value in batch.items()}


def assert_close(left, right):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), left, right
    )


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def test_loss_and_metrics_are_those_of_numpy_on_the_same_logits(batch):
    masked = objective()
    batch["weights"][3] = 0
    params, prepared, counts = start(masked, batch)
    said = masked.predict(params, prepared)
    (loss, sums), _ = masked.loss(params, prepared, None, counts)

    targets, weights = prepared["targets"], np.asarray(prepared["target_weights"])
    chosen = np.take_along_axis(
        log_softmax(said["logits"]), np.asarray(targets)[..., None], -1
    )[..., 0]
    mlm = -(weights * chosen).sum() / weights.sum()
    hits = weights * (np.argmax(said["logits"], -1) == targets)
    rows, labels = batch["weights"], batch["pair_label"]
    in_pair = log_softmax(said["pair_logits"])[np.arange(BATCH), labels]
    pair = -(rows * in_pair).sum() / rows.sum()
    right = rows * (np.argmax(said["pair_logits"], -1) == labels)
    baseline = -(weights * UNIGRAM[targets]).sum() / weights.sum()

    found = base.means(sums)
    assert counts == {"mlm": weights.sum(), "pair": BATCH - 1}
    np.testing.assert_allclose(loss, mlm + pair, rtol=1e-5)
    assert found == pytest.approx(
        {
            "mlm_loss": mlm,
            "mlm_accuracy": float(hits.sum() / weights.sum()),
            "unigram_loss": float(baseline),
            "pair_loss": pair,
            "pair_accuracy": float(right.sum() / rows.sum()),
        },
        rel=1e-5,
    )


def test_the_targets_are_the_tokens_that_were_there(batch):
    _, prepared, _ = start(objective(), batch)
    used = np.asarray(prepared["target_weights"]) > 0
    there = np.take_along_axis(batch["ids"], np.asarray(prepared["positions"]), 1)
    np.testing.assert_array_equal(there[used], np.asarray(prepared["targets"])[used])


def test_the_unigram_baseline_is_frequencies_add_one_over_what_can_be_predicted():
    special = np.array([True, False, False, False])
    found = pretrain.unigram_log_probs(np.array([9, 0, 1, 4]), special)
    np.testing.assert_allclose(np.exp(found[1:]), [1 / 8, 2 / 8, 5 / 8], rtol=1e-6)
    assert np.isfinite(found[0])


@pytest.mark.parametrize("pair", ["nsp", "sop"])
def test_a_pair_loss_brings_a_pooler_and_a_pair_head(pair, batch):
    params, _, counts = start(objective(**{"objective.pair": pair}), batch)
    assert set(params) == {"encoder", "mlm_head", "pooler", "pair_head"}
    assert set(counts) == {"mlm", "pair"}


def test_without_a_pair_loss_there_is_neither_pooler_nor_pair_metric(batch):
    masked = objective(**{"objective.pair": "none"})
    params, prepared, counts = start(masked, batch)
    assert set(params) == {"encoder", "mlm_head"}
    assert set(counts) == {"mlm"}
    (_, sums), _ = masked.loss(params, prepared, None, counts)
    assert set(sums) == {"mlm_loss", "mlm_accuracy", "unigram_loss"}
    assert "pair_logits" not in masked.predict(params, prepared)


def test_micro_batches_with_the_counts_of_the_whole_give_its_gradient(batch):
    batch["weights"][-1] = 0  # unequal halves
    masked = objective(**DROPOUT)
    params, prepared, counts = start(masked, batch)
    key = jax.random.key(3)
    whole = masked.loss(params, prepared, key, counts)

    halves = [part(batch, slice(0, 4)), part(batch, slice(4, None))]
    prepared = [masked.prepare(half, jax.random.key(2)) for half in halves]
    total = base.add_sums(prepared[0][1], prepared[1][1])
    assert total == counts
    first, second = (masked.loss(params, half, key, total) for half, _ in prepared)
    assert_close(base.add_sums(first, second), whole)


def test_filler_rows_of_weight_zero_change_nothing(batch):
    masked = objective(**DROPOUT)
    real = part(batch, slice(0, 4))
    batch["weights"][4:] = 0
    params, prepared, counts = start(masked, real)
    filled, same_counts = masked.prepare(batch, jax.random.key(2))
    assert same_counts == counts
    key = jax.random.key(3)
    assert_close(
        masked.loss(params, filled, key, counts),
        masked.loss(params, prepared, key, counts),
    )


def test_dropout_needs_a_key_and_follows_it(batch):
    masked = objective(**DROPOUT)
    params, prepared, counts = start(masked, batch)

    def value(key):
        return float(masked.loss(params, prepared, key, counts)[0][0])

    assert value(None) == value(None)
    assert value(jax.random.key(0)) == value(jax.random.key(0))
    assert len({value(None), value(jax.random.key(0)), value(jax.random.key(1))}) == 3


def test_evaluation_has_its_own_rate_and_the_same_masks_in_every_epoch(batch):
    rates = {"objective.mask_rate": 0.6, "objective.eval_mask_rate": 0.15}
    later = batch | {"epochs": batch["epochs"] + 1}
    key = jax.random.key(2)
    training, evaluating = objective(**rates), objective(evaluation=True, **rates)

    masked, counts = evaluating.prepare(batch, key)
    again, _ = evaluating.prepare(later, key)
    np.testing.assert_array_equal(masked["ids"], again["ids"])
    np.testing.assert_array_equal(masked["positions"], again["positions"])

    now, many = training.prepare(batch, key)
    then, _ = training.prepare(later, key)
    assert not np.array_equal(now["positions"], then["positions"])
    assert many["mlm"] > 3 * counts["mlm"]


def test_causal_targets_are_the_next_tokens_of_the_text():
    ids = np.array([[CLS, 7, 8, SEP, 0], [CLS, 9, SEP, 6, 5]])
    batch = {"ids": ids, "lengths": np.array([4, 5]), "weights": np.array([1.0, 0.5])}
    found = pretrain.next_tokens(batch, SPECIAL)
    assert found["positions"].tolist() == [[0, 1, 2, 3]] * 2
    assert found["targets"].tolist() == [[7, 8, SEP, 0], [9, SEP, 6, 5]]
    assert found["target_weights"].tolist() == [[1, 1, 0, 0], [0.5, 0, 0.5, 0.5]]


def test_causal_loss_is_that_of_numpy_on_the_same_logits(batch):
    causal = objective(**CAUSAL)
    params, prepared, counts = start(causal, batch)
    assert set(params) == {"encoder", "mlm_head"}
    logits = causal.predict(params, prepared)["logits"]
    (loss, sums), _ = causal.loss(params, prepared, None, counts)
    total = sum(
        -log_softmax(logits[row])[place, batch["ids"][row, place + 1]]
        for row in range(BATCH)
        for place in range(batch["lengths"][row] - 2)  # up to the last [SEP]
    )
    assert counts == {"lm": (batch["lengths"] - 2).sum()}
    np.testing.assert_allclose(loss, total / counts["lm"], rtol=1e-5)
    assert set(base.means(sums)) == {"lm_loss", "lm_accuracy", "unigram_loss"}


def seen_positions(objective, batch, at):
    """The rows of the position table that the logits at a position depend on."""
    params, _, _ = start(objective, batch)
    batch = batch | {"positions": np.full((BATCH, 1), at, np.int32)}

    @jax.jit
    @jax.grad
    def gradient_of(params):
        return objective.predict(params, batch)["logits"].std()

    gradient = gradient_of(params)
    return (
        np.abs(gradient["encoder"]["embeddings"]["position"]["embedding"]).max(-1) > 0
    )


def test_a_causal_lm_sees_no_later_token_and_a_masked_lm_sees_all(batch):
    batch["lengths"][:] = LENGTH
    later = np.arange(LENGTH) > 5
    np.testing.assert_array_equal(seen_positions(objective(**CAUSAL), batch, 5), ~later)
    assert seen_positions(objective(), batch, 5).all()


def test_a_causal_lm_on_a_bidirectional_encoder_is_refused():
    encoder = EncoderConfig(**config().model)
    with pytest.raises(ValueError, match="model.attention=causal"):
        pretrain.causal_lm(encoder, VOCABULARY, UNIGRAM)


def test_predictions_hold_every_layer_and_logits_only_where_asked(batch):
    masked = objective(**{"model.num_layers": 2})
    params, prepared, _ = start(masked, batch)
    said = masked.predict(params, batch)
    vectors = {"hidden", "features", "pooled", "attention", "states"}
    assert set(said) == vectors | {"pair_logits"}
    assert [weights.shape for weights in said["attention"]] == [
        (BATCH, 2, LENGTH, LENGTH)
    ] * 2
    np.testing.assert_allclose(said["attention"][1].sum(-1), 1, rtol=1e-5)
    assert len(said["states"]) == 3
    np.testing.assert_array_equal(said["states"][-1], said["hidden"])
    logits = masked.predict(params, prepared)["logits"]
    assert logits.shape == (*prepared["positions"].shape, VOCAB)


def test_losses_stay_float32_when_the_encoder_computes_in_bfloat16(batch):
    half, full = objective(**{"model.dtype": "bfloat16"}), objective()
    params, prepared, counts = start(half, batch)
    (loss, sums), gradient = half.loss(params, prepared, None, counts)
    leaves = [loss, *jax.tree.leaves(sums), *jax.tree.leaves(gradient)]
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}
    (exact, _), _ = full.loss(params, prepared, None, counts)
    np.testing.assert_allclose(loss, exact, rtol=0.03)
