"""The same function, gradient and update as Hugging Face's PyTorch BERT.

Small cases come from tests/golden, and so need no torch; `make parity` computes the
large ones beside it.
"""

import importlib.util
import json
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.huggingface import card as cards
from bert_jax.huggingface import names
from bert_jax.huggingface.family.bert import BERT
from bert_jax.models import network as networks
from bert_jax.models.layers import EncoderConfig
from bert_jax.objectives import pretrain
from bert_jax.objectives.masking import Vocabulary
from bert_jax.train import optim
from bert_jax.train.state import TrainState, scalars
from bert_jax.train.step import make_step
from configs import base
from tests.running import ROOT

GOLDEN = sorted((ROOT / "tests" / "golden").glob("golden_*.npz"))
LIVE = ["one_layer", "mini", "base"]
TORCH = importlib.util.find_spec("torch") and importlib.util.find_spec("transformers")
NEEDS_TORCH = pytest.mark.skipif(
    not TORCH, reason="needs torch and transformers: make parity"
)
OPTIM = {
    "name": "adamw",
    "schedule": "constant",
    "decay_from": "start",
    "warmup_steps": 0,
    "end_share": 1.0,
    "learning_rate": 1e-4,
    "beta1": 0.9,
    "beta2": 0.999,
    "epsilon": 1e-6,
    "bias_correction": True,
    "weight_decay": 0.01,
    "no_decay": r"(scale|bias)$",
    "freeze": "",
    "layer_decay": 1.0,
    "clip_norm": 0.0,
}


@pytest.fixture(
    scope="module",
    params=[*GOLDEN, *(pytest.param(name, marks=NEEDS_TORCH) for name in LIVE)],
    ids=lambda source: getattr(source, "stem", source),
)
def case(request):
    """Theirs, as arrays."""
    if isinstance(request.param, str):
        from tests import reference

        return reference.case(request.param)
    with np.load(request.param, allow_pickle=False) as arrays:
        return dict(arrays)


def whole_config(case):
    """Our config of theirs."""
    config = base.get_config()
    config.update_from_flattened_dict(
        cards.settings(json.loads(str(case["config"])), print)
    )
    return config


@pytest.fixture(scope="module")
def config(case):
    return EncoderConfig(**whole_config(case).model)


def theirs(tree):
    """Parameters of ours under the names of their files."""
    return names.to_theirs(tree, BERT, tree.keys() - {"encoder"}, 0)[1]


def group(case, kind: str) -> dict[str, np.ndarray]:
    """The arrays below one name."""
    start = f"{kind}/"
    return {
        name.removeprefix(start): array
        for name, array in case.items()
        if name.startswith(start)
    }


def ours(case, kind: str):
    """Weights or gradients of theirs in our tree."""
    said = []
    card = json.loads(str(case["config"]))
    tree = names.to_ours(group(case, kind), card, whole_config(case), said.append)
    assert said == ["no decoder of its own: it is tied to the token table"]
    return tree


def objective(config):
    """Masked LM and next sentence, on targets that the batch already has."""
    size = config.vocab_size
    vocabulary = Vocabulary(np.zeros(size, bool), np.zeros(size, bool), 0)
    masking = pretrain.evaluation_masking(0.15)
    unigram = np.zeros(size, np.float32)
    built = pretrain.masked_lm(config, masking, "nsp", 1.0, vocabulary, unigram)

    def prepare(batch, key):
        counted = {"mlm": batch["target_weights"], "pair": batch["weights"]}
        return batch, jax.tree.map(jnp.sum, counted)

    return built._replace(prepare=prepare)


def batch(case, number: int):
    batch = jax.tree.map(jnp.asarray, group(case, f"batch/{number}"))
    rows = len(batch["ids"])
    return batch | {"weights": jnp.ones(rows), "rows": jnp.arange(rows)}


def test_every_hidden_state_and_both_logits(case, config):
    network = networks.Network(config, pretrain.PAIRED, 0, networks.PRETRAINING)
    inputs = batch(case, 0)
    rows, width = inputs["ids"].shape
    everywhere = jnp.broadcast_to(jnp.arange(width)[None], (rows, width))
    predict = jax.jit(partial(networks.predict, network))
    found = predict(ours(case, "weight"), {**inputs, "positions": everywhere})
    assert len(found["states"]) == config.num_layers + 1
    for layer, state in enumerate(found["states"]):
        np.testing.assert_allclose(state, case[f"hidden/{layer}"], rtol=0, atol=2e-5)
    np.testing.assert_allclose(found["logits"], case["logits"], rtol=0, atol=2e-5)
    np.testing.assert_allclose(
        found["pair_logits"], case["pair_logits"], rtol=0, atol=2e-5
    )


def test_the_loss_and_the_gradient_of_every_parameter(case, config):
    whole = objective(config)
    inputs, counts = whole.prepare(batch(case, 0), None)
    loss = jax.jit(lambda params: whole.loss(params, inputs, None, counts)[0])
    value, found = jax.value_and_grad(loss)(ours(case, "weight"))
    assert value == pytest.approx(float(case["loss"]), rel=1e-5)
    found = theirs(jax.device_get(found))
    expected = group(case, "gradient")
    assert found.keys() == expected.keys()
    total = np.sqrt(sum(np.square(array).sum() for array in expected.values()))
    for name, array in expected.items():
        off = np.linalg.norm(found[name] - array)
        assert off <= max(1e-4 * np.linalg.norm(array), 1e-7 * total), name


def test_ten_updates_of_adamw(case, config):
    settings = SimpleNamespace(**OPTIM)
    optimiser, schedule = optim.make(settings, 10), optim.schedule(settings, 10)
    numbers = scalars(SimpleNamespace(seed=0, optim=settings))
    step = jax.jit(
        make_step(
            objective(config),
            optimiser,
            schedule,
            1,
            lambda tree: tree,
            optim.matches(""),
        )
    )
    params = jax.tree.map(jnp.asarray, ours(case, "weight"))
    state = TrainState(jnp.int32(0), params, optimiser.init(params))
    for number in range(10):
        state, metrics = step(state, batch(case, number), numbers)
        assert metrics["lr"] == pytest.approx(1e-4)
    moved = 0.0
    found = theirs(jax.device_get(state.params))
    for name, array in group(case, "updated").items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-5, err_msg=name)
        moved = max(moved, np.abs(array - case[f"weight/{name}"]).max())
    assert moved > 5e-4
