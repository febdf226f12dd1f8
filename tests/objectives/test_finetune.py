"""Fine-tuning objectives against numpy on what the network itself gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_softmax

from bert_jax.models.layers import EncoderConfig
from bert_jax.models.network import PRETRAINING
from bert_jax.objectives import base, finetune
from configs import base as base_config

ROWS, WIDTH, CHOICES, VOCAB = 6, 9, 3, 30
ENCODER = EncoderConfig(
    **base_config.get_config().model.to_dict()
    | {"vocab_size": VOCAB, "num_layers": 1, "model_dim": 16, "num_heads": 2}
    | {"mlp_dim": 32, "max_length": WIDTH, "init_stddev": 0.3, "dropout": 0.3}
)
NONE = np.ones(0, np.float32)  # of kinds without classes
CLASS_WEIGHTS = np.array([1.0, 0.5, 4.0], np.float32)
KEY = jax.random.key(0)
DRAW = np.random.default_rng(0)
LENGTHS = np.array([9, 4, 7, 9, 3, 5])
WEIGHTS = np.array([1, 1, 1, 1, 1, 0], np.float32)  # the last row is filler

OBJECTIVES = {
    "classify": finetune.classify(ENCODER, PRETRAINING, CLASS_WEIGHTS),
    "multilabel": finetune.multilabel(ENCODER, PRETRAINING, np.ones(3, np.float32)),
    "regress": finetune.regress(ENCODER, PRETRAINING, NONE),
    "tag": finetune.tag(ENCODER, PRETRAINING, np.ones(4, np.float32)),
    "span": finetune.span(ENCODER, PRETRAINING, NONE),
    "choose": finetune.choose(ENCODER, PRETRAINING, NONE),
}
TAGS = DRAW.integers(-1, 4, (ROWS, WIDTH))
LABELS = {
    "classify": DRAW.integers(0, 3, ROWS),
    "multilabel": np.float32(np.arange(ROWS * 3).reshape(ROWS, 3) % 5 < 2),
    "regress": DRAW.normal(size=ROWS).astype(np.float32),
    "tag": np.where(np.arange(WIDTH) < LENGTHS[:, None], TAGS, finetune.NO_LABEL),
    "span": np.stack([np.zeros(ROWS, int), LENGTHS - 1], axis=1),
    "choose": DRAW.integers(0, CHOICES, ROWS),
}


def batch_of(kind: str) -> dict:
    lead = (ROWS, CHOICES) if kind == "choose" else (ROWS,)
    lengths = LENGTHS[:, None] + np.zeros(CHOICES, int) if kind == "choose" else LENGTHS
    batch = {
        "ids": DRAW.integers(5, VOCAB, (*lead, WIDTH)),
        "types": DRAW.integers(0, 2, (*lead, WIDTH)),
        "lengths": lengths,
        "rows": np.arange(ROWS),
        "weights": WEIGHTS,
        "label": LABELS[kind],
    }
    return {name: jnp.asarray(array) for name, array in batch.items()}


@pytest.fixture(scope="module", params=OBJECTIVES)
def case(request):
    """kind, objective, parameters, batch."""
    objective = OBJECTIVES[request.param]
    return request.param, objective, objective.init(KEY), batch_of(request.param)


def loss_of(objective, params, batch, key=None, counts=None):
    batch, own = objective.prepare(batch, KEY)
    return objective.loss(params, batch, key, counts or own)


def by_hand(kind: str, outputs: dict) -> float:
    """The mean loss, from the logits."""
    real, label = WEIGHTS > 0, LABELS[kind]
    outputs = {name: np.asarray(value) for name, value in outputs.items()}
    match kind:
        case "classify":
            chosen = log_softmax(outputs["classify_logits"], -1)[np.arange(ROWS), label]
            weights = CLASS_WEIGHTS[label] * WEIGHTS
            return -(chosen * weights).sum() / weights.sum()
        case "multilabel":
            chances = expit(outputs["classify_logits"].astype(float))
            return -np.log(np.where(label > 0, chances, 1 - chances))[real].mean()
        case "regress":
            return ((outputs["classify_logits"][:, 0] - label)[real] ** 2).mean()
        case "tag":
            logs = log_softmax(outputs["tag_logits"], -1)
            found = [
                -logs[row, place, label[row, place]]
                for row in np.flatnonzero(real)
                for place in np.flatnonzero(label[row] >= 0)
            ]
            return np.mean(found)
        case "span":
            found = []
            for row in np.flatnonzero(real):
                logs = log_softmax(outputs["span_logits"][row, : LENGTHS[row]], axis=0)
                found += [-logs[label[row, end], end] for end in (0, 1)]
            return np.mean(found)
        case _:
            logits = outputs["choice_logits"].reshape(ROWS, CHOICES)
            return -log_softmax(logits, -1)[np.arange(ROWS), label][real].mean()


def test_the_loss_is_the_mean_over_what_has_a_label(case):
    kind, objective, params, batch = case
    outputs = objective.predict(params, batch)
    outputs = {name: outputs[name] for name in outputs if name.endswith("_logits")}
    loss, sums = loss_of(objective, params, batch)
    assert float(loss) == pytest.approx(by_hand(kind, outputs), rel=1e-5)
    total, count = sums["task_loss"]
    assert float(total / count) == pytest.approx(float(loss), rel=1e-6)


def test_filler_rows_change_nothing(case):
    _, objective, params, batch = case
    changed = {**batch, "ids": batch["ids"].at[-1].set(7)}
    whole = loss_of(objective, params, batch)
    assert whole[0] == loss_of(objective, params, changed)[0]
    assert whole[1].keys() <= {"task_loss", "accuracy"}


def test_halves_with_the_counts_of_the_whole_add_up(case):
    _, objective, params, batch = case
    _, counts = objective.prepare(batch, KEY)

    def part(rows):
        half = {name: array[rows] for name, array in batch.items()}
        return loss_of(objective, params, half, KEY, counts)[0]

    whole = loss_of(objective, params, batch, KEY)[0]
    halves = part(slice(3)) + part(slice(3, None))
    np.testing.assert_allclose(halves, whole, rtol=1e-5)


def test_dropout_is_there_in_training_alone(case):
    _, objective, params, batch = case
    plain = loss_of(objective, params, batch)[0]
    assert plain == loss_of(objective, params, batch)[0]
    assert plain != loss_of(objective, params, batch, KEY)[0]


def test_it_is_learnt(case):
    """Forty steps down the gradient fit six labels."""
    _, objective, params, batch = case
    value = jax.jit(jax.value_and_grad(lambda p: loss_of(objective, p, batch)[0]))
    first, _ = value(params)
    for _ in range(40):
        _, slope = value(params)
        params = jax.tree.map(lambda p, g: p - 0.05 * g, params, slope)
    assert value(params)[0] < 0.5 * first


def test_accuracy_counts_examples_whatever_their_class_weighs():
    objective, batch = OBJECTIVES["classify"], batch_of("classify")
    _, sums = loss_of(objective, objective.init(KEY), batch)
    assert sums["accuracy"][1] == WEIGHTS.sum()


def test_what_stands_in_the_padding_is_no_candidate():
    objective, batch = OBJECTIVES["span"], batch_of("span")
    params = objective.init(KEY)
    padding = jnp.arange(WIDTH)[None] >= batch["lengths"][:, None]
    changed = {**batch, "ids": jnp.where(padding, 6, batch["ids"])}
    logits = [objective.predict(params, b)["span_logits"] for b in (batch, changed)]
    assert not np.array_equal(*logits)
    assert loss_of(objective, params, batch)[0] == pytest.approx(
        float(loss_of(objective, params, changed)[0]), rel=1e-6
    )


def test_each_choice_is_dropped_by_a_key_of_its_own():
    batch = batch_of("choose")
    rows = base.flat(batch)["rows"]
    assert len(set(rows.tolist())) == ROWS * CHOICES
    np.testing.assert_array_equal(
        base.flat(batch)["ids"].reshape(ROWS, CHOICES, WIDTH), batch["ids"]
    )
