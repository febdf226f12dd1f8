"""Every class of theirs exchanged with transformers itself: `make parity`."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.huggingface import exchange
from bert_jax.models import network as networks
from bert_jax.models.layers import EncoderConfig
from bert_jax.objectives import finetune
from bert_jax.predict import main as predict
from bert_jax.run import config as configs
from bert_jax.run import rundir
from bert_jax.run.config import UsageError
from tests.running import ROOT

torch = pytest.importorskip("torch", reason="needs torch: make parity")
transformers = pytest.importorskip("transformers", reason="make parity")

ARCHITECTURES = {
    "BertModel": (),
    "BertForPreTraining": ("prediction_logits", "seq_relationship_logits"),
    "BertForMaskedLM": ("logits",),
    "BertForNextSentencePrediction": ("logits",),
    "BertForSequenceClassification": ("logits",),
    "BertForTokenClassification": ("logits",),
    "BertForQuestionAnswering": ("start_logits", "end_logits"),
    "BertForMultipleChoice": ("logits",),
}
LOGITS = {
    "BertForPreTraining": ("logits", "pair_logits"),
    "BertForMaskedLM": ("logits",),
    "BertForNextSentencePrediction": ("pair_logits",),
    "BertForSequenceClassification": ("classify_logits",),
    "BertForTokenClassification": ("tag_logits",),
    "BertForMultipleChoice": ("choice_logits",),
}
PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *"abcdefgh",
    "##a",
    "##b",
    "the",
]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def exchanged(request, tmp_path_factory):
    """A random model of theirs, saved, imported and exported again."""
    folder, name = tmp_path_factory.mktemp("exchange"), request.param
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(PIECES),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=24,
        num_labels=2 if name == "BertForQuestionAnswering" else 5,
        attn_implementation="eager",
    )
    model = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder / "theirs")
    (folder / "theirs" / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    exchange.import_model(folder / "theirs", folder / "run")
    exchange.export_run(folder / "run", None, folder / "ours")
    return name, model, folder


def batch():
    draw = np.random.default_rng(0)
    ids = draw.integers(5, len(PIECES), (6, 15))
    lengths = np.array([15, 9, 3, 12, 15, 7])
    inside = np.arange(15)[None] < lengths[:, None]
    return np.where(inside, ids, 0), draw.integers(0, 2, ids.shape), lengths, inside


def theirs_of(name: str, model) -> tuple[np.ndarray, ...]:
    ids, types, _, inside = batch()
    shape = (3, 2, 15) if name == "BertForMultipleChoice" else (6, 15)
    with torch.no_grad():
        outputs = model(
            input_ids=torch.tensor(ids).reshape(shape),
            token_type_ids=torch.tensor(types).reshape(shape),
            attention_mask=torch.tensor(inside).long().reshape(shape),
        )
    wanted = ARCHITECTURES[name] or ("last_hidden_state", "pooler_output")
    return tuple(outputs[key].numpy() for key in wanted)


def ours_of(name: str, run: Path) -> tuple[np.ndarray, ...]:
    model = predict.load(run)
    ids, types, lengths, _ = batch()
    everywhere = np.broadcast_to(np.arange(15), ids.shape)
    inputs = {"ids": ids, "types": types, "lengths": lengths, "positions": everywhere}
    inputs = {key: jnp.asarray(array, jnp.int32) for key, array in inputs.items()}
    outputs = jax.device_get(networks.predict(model.network, model.params, inputs))
    if name == "BertModel":
        return outputs["hidden"], outputs["pooled"]
    if name == "BertForQuestionAnswering":
        return tuple(np.moveaxis(outputs["span_logits"], -1, 0))
    found = tuple(outputs[key] for key in LOGITS[name])
    return (found[0].reshape(3, 2),) if name == "BertForMultipleChoice" else found


def test_each_architecture_gives_its_outputs_here(exchanged):
    name, model, folder = exchanged
    for ours, theirs in zip(
        ours_of(name, folder / "run"), theirs_of(name, model), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5)


LOSSES = {
    "BertForSequenceClassification": lambda encoder: finetune.classify(
        encoder, networks.PRETRAINING, np.ones(5, np.float32)
    ),
    "BertForTokenClassification": lambda encoder: finetune.tag(
        encoder, networks.PRETRAINING, np.ones(5, np.float32)
    ),
    "BertForQuestionAnswering": lambda encoder: finetune.span(
        encoder, networks.PRETRAINING, np.ones(0, np.float32)
    ),
    "BertForMultipleChoice": lambda encoder: finetune.choose(
        encoder, networks.PRETRAINING, np.ones(0, np.float32)
    ),
}


def test_the_loss_of_each_task(exchanged):
    """Of full rows: theirs counts the padding among the places of an answer."""
    name, model, folder = exchanged
    if name not in LOSSES:
        pytest.skip("no task of its own")
    loaded, draw = predict.load(folder / "run"), np.random.default_rng(1)
    ids, types, _, _ = batch()
    shape = (3, 2, 15) if name == "BertForMultipleChoice" else (6, 15)
    ids, types = ids.reshape(shape), types.reshape(shape)
    label = {
        "BertForTokenClassification": draw.integers(-1, 5, shape),
        "BertForQuestionAnswering": draw.integers(0, 15, (6, 2)),
    }.get(name, draw.integers(0, 2, len(ids)))
    inputs = {"ids": ids, "types": types, "label": label, "rows": np.arange(len(ids))}
    inputs["lengths"] = np.full(shape[:-1], 15)
    inputs = {key: jnp.asarray(array) for key, array in inputs.items()}
    objective = LOSSES[name](loaded.network.config)
    given, counts = objective.prepare({**inputs, "weights": jnp.ones(len(ids))}, None)
    ours, _ = objective.loss(loaded.params, given, None, counts)
    told = torch.tensor(np.where(label < 0, -100, label))
    labels = {"labels": told}
    if name == "BertForQuestionAnswering":
        labels = {"start_positions": told[:, 0], "end_positions": told[:, 1]}
    with torch.no_grad():
        theirs = model(
            input_ids=torch.tensor(ids), token_type_ids=torch.tensor(types), **labels
        ).loss
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


def test_what_is_exported_loads_with_no_key_missing_or_unexpected(exchanged):
    name, model, folder = exchanged
    loaded, told = getattr(transformers, name).from_pretrained(
        folder / "ours", output_loading_info=True, attn_implementation="eager"
    )
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    assert not told["mismatched_keys"]
    before, after = model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    # On some processors PyTorch rounds a product by where its arrays lie in memory.
    for ours, theirs in zip(theirs_of(name, loaded.eval()), theirs_of(name, model)):
        np.testing.assert_array_max_ulp(ours, theirs, maxulp=4)


def test_what_is_exported_is_imported_again_bit_for_bit(exchanged, tmp_path):
    _, _, folder = exchanged
    exchange.import_model(folder / "ours", tmp_path / "again")
    first, again = predict.load(folder / "run"), predict.load(tmp_path / "again")
    jax.tree.map(np.testing.assert_array_equal, first.params, again.params)
    runs = [
        rundir.read(run, rundir.RUN) for run in (folder / "run", tmp_path / "again")
    ]
    assert runs[0]["labels"] == runs[1]["labels"]


def test_a_pickle_is_converted_by_the_command_that_its_refusal_names(
    exchanged, tmp_path
):
    _, model, folder = exchanged
    source = tmp_path / "pickled"
    source.mkdir()
    for file in ("config.json", "vocab.txt"):
        (source / file).write_bytes((folder / "theirs" / file).read_bytes())
    torch.save(model.state_dict(), source / "pytorch_model.bin")
    with pytest.raises(UsageError) as error:
        exchange.import_model(source, tmp_path / "run")
    command = str(error.value).partition("python -c ")[2]
    python = f"{sys.executable} -W ignore -c "
    subprocess.run(python + command, shell=True, check=True)
    exchange.import_model(source, tmp_path / "run")
    first, again = predict.load(folder / "run"), predict.load(tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, first.params, again.params)


@pytest.mark.parametrize("size", ["tiny", "mini", "small", "medium", "base", "large"])
def test_as_many_parameters_as_theirs(size):
    config = configs.load(
        str(ROOT / f"configs/pretrain/bert_{size}.py"), {"model.vocab_size": "30522"}
    ).model
    network = networks.Network(
        EncoderConfig(**config), ("pooler",), 0, networks.PRETRAINING
    )
    shapes = jax.eval_shape(lambda key: networks.init(network, key), jax.random.key(0))
    with torch.device("meta"):
        theirs = transformers.BertModel(
            transformers.BertConfig(
                hidden_size=config.model_dim,
                num_hidden_layers=config.num_layers,
                num_attention_heads=config.num_heads,
                intermediate_size=config.mlp_dim,
            )
        )
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert count == sum(parameter.numel() for parameter in theirs.parameters())
