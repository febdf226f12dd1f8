"""Every class of every family but BERT exchanged with transformers: `make parity`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.huggingface import exchange
from bert_jax.huggingface.families import FAMILIES
from bert_jax.models import network as networks
from bert_jax.predict import main as predict
from tests.families import BERT, cases, drawn
from tests.test_parity_live import PIECES, batch

torch = pytest.importorskip("torch", reason="needs torch: make parity")
transformers = pytest.importorskip("transformers", reason="make parity")

SIZES = BERT | {"vocab_size": len(PIECES), "max_position_embeddings": 24}
SHAPES = {kind: case.shape for kind, case in cases(SIZES, 6, 15).items()}
CLASSES = [
    (family, name)
    for family in FAMILIES
    for name in family.classes
    if family.name != "BERT"
]
OUTPUTS = {
    "mlm_head": ("logits", "prediction_logits", "logits"),
    "pair_head": ("pair_logits", "seq_relationship_logits", "sop_logits", "logits"),
    "rtd_head": ("rtd_logits", "logits"),
    "classify_head": ("classify_logits", "logits"),
    "tag_head": ("tag_logits", "logits"),
    "choice_head": ("choice_logits", "logits"),
}


@pytest.fixture(
    scope="module", params=CLASSES, ids=lambda pair: getattr(pair[1], "name", pair[1])
)
def exchanged(request, tmp_path_factory):
    """A random model of theirs, saved, imported and exported again."""
    (family, name), folder = request.param, tmp_path_factory.mktemp("exchange")
    shape = SHAPES[family.model_types[0]] | {"pad_token_id": 0}
    if "classify_head" in family.classes[name] or "tag_head" in family.classes[name]:
        shape |= {"num_labels": 5}
    config = getattr(transformers, f"{family.stem}Config")(**shape)
    config._attn_implementation = "eager"
    model = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.copy_(torch.tensor(drawn(key, tuple(parameter.shape))))
    model.save_pretrained(folder / "theirs")
    (folder / "theirs" / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    exchange.import_model(folder / "theirs", folder / "run")
    exchange.export_run(folder / "run", None, folder / "ours")
    return family, name, model, folder


def theirs_of(family, name, model):
    ids, types, _, inside = batch()
    choices = "choice_head" in family.classes[name]
    shape = (3, 2, 15) if choices else (6, 15)
    tells = getattr(model.config, "type_vocab_size", 0) > 1
    typed = {"token_type_ids": torch.tensor(types).reshape(shape)} if tells else {}
    with torch.no_grad():
        return model(
            input_ids=torch.tensor(ids).reshape(shape),
            attention_mask=torch.tensor(inside).long().reshape(shape),
            **typed,
        )


def test_a_class_gives_its_outputs_here(exchanged):
    family, name, model, folder = exchanged
    theirs = theirs_of(family, name, model)
    loaded = predict.load(folder / "run")
    ids, types, lengths, inside = batch()
    inputs = {"ids": ids, "types": types, "lengths": lengths}
    inputs["positions"] = np.broadcast_to(np.arange(15), ids.shape)
    inputs = {key: jnp.asarray(array, jnp.int32) for key, array in inputs.items()}
    ours = jax.device_get(networks.predict(loaded.network, loaded.params, inputs))
    pairs = []
    for head in family.classes[name]:
        if head in OUTPUTS:
            mine, *names = OUTPUTS[head]
            found = next(theirs[key] for key in names if key in theirs)
            pairs.append((ours[mine], found.numpy()))
    if "span_head" in family.classes[name]:
        starts, ends = np.moveaxis(ours["span_logits"], -1, 0)
        pairs += [(starts, theirs.start_logits.numpy())]
        pairs += [(ends, theirs.end_logits.numpy())]
    if not pairs:
        pairs = [(ours["hidden"], theirs.last_hidden_state.numpy())]
    for mine, expected in pairs:
        mine = np.asarray(mine).reshape(expected.shape)
        if mine.shape[:2] == inside.shape:  # padding is nobody's
            mine, expected = mine[inside], expected[inside]
        np.testing.assert_allclose(mine, expected, rtol=0, atol=2e-5)


def test_an_export_loads_with_no_key_missing_or_unexpected(exchanged):
    family, name, model, folder = exchanged
    loaded, told = getattr(transformers, name).from_pretrained(
        folder / "ours", output_loading_info=True, attn_implementation="eager"
    )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not told[problem], problem
    before, after = model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    for key in before:
        if not (family.offset and key.endswith("position_embeddings.weight")):
            assert torch.equal(before[key], after[key]), key


def test_an_export_is_imported_bit_for_bit(exchanged, tmp_path):
    _, _, _, folder = exchanged
    exchange.import_model(folder / "ours", tmp_path / "again")
    first, again = predict.load(folder / "run"), predict.load(tmp_path / "again")
    jax.tree.map(np.testing.assert_array_equal, first.params, again.params)


def test_auto_tokenizer_gives_the_ids_of_the_run(exchanged):
    _, _, _, folder = exchanged
    words = transformers.AutoTokenizer.from_pretrained(folder / "ours")
    texts = ["the [MASK] abc", "h g f", "zz the"]
    ours = predict.load(folder / "run").tokenizer.encode_inputs(texts, None, 24, False)
    found = words(texts, padding=True, return_tensors="np")
    np.testing.assert_array_equal(found["input_ids"], ours["ids"])
