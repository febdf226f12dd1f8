"""Maps are the softmax of the paper, and a request finds its word or says why not."""

import argparse
import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from bert_jax.inspect.attention import main as attention
from bert_jax.inspect.attention import maps_part
from bert_jax.models import ops
from bert_jax.predict.model import Model
from bert_jax.predict.reader import Reader
from bert_jax.render import drawing
from bert_jax.run.config import UsageError
from tests import running

ROOT = Path(__file__).parents[2]
TEXTS = ["the king saw a red stone", "bread", "my aunt took the long road ."]
KINDS = [("post", "bidirectional"), ("pre", "causal")]
# Run where jax may see the GPU: this suite is kept to the CPU.
KERNEL = """
import jax, jax.numpy as jnp, numpy as np
from bert_jax.models import ops

shape, lengths = (2, 64, 4, 64), jnp.array([64, 40])
heads = [jax.random.normal(key, shape, jnp.bfloat16) for key in
         jax.random.split(jax.random.key(0), 3)]
if "NVIDIA" not in jax.devices()[0].device_kind:
    raise SystemExit("jax sees no NVIDIA GPU")
assert ops._fused(heads[0], dropping=False, record=False)
for causal in (False, True):
    given = {"lengths": lengths, "causal": causal, "rate": 0.0, "keys": None}
    fused, _ = ops.attention(*heads, **given, record=False)
    plain, weights = ops.attention(*heads, **given, record=True)
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(
            fused[row, :length].astype(float), plain[row, :length].astype(float),
            atol=0.02, rtol=0.02)
"""


def build(tiny, straight, norm: str, mask: str) -> Model:
    """A model of random weights, large enough that maps are far from even."""
    task = {"model.norm": norm, "model.init_stddev": 0.3}
    model = running.untrained(tiny, straight, "classify_head", 2, task)
    config = dataclasses.replace(model.network.config, attention=mask)
    network = model.network.clone(config=config)
    parts = model.tokenizer, network, model.params, 0, ["a", "b"], ""
    return Model(Reader(model.config, *parts))


@pytest.fixture(scope="module")
def models(tiny, straight) -> dict[tuple[str, str], Model]:
    return {kind: build(tiny, straight, *kind) for kind in KINDS}


@pytest.fixture(scope="module")
def model(models) -> Model:
    return models[KINDS[0]]


def asked(text: str, **changes: str) -> argparse.Namespace:
    given = {"pair": "", "layer": "last", "head": "mean", "token": "", "corpus": ""}
    return argparse.Namespace(text=text, **{**given, **changes})


def softmax(model: Model, layer: int, x: np.ndarray, length: int) -> np.ndarray:
    """(N, T, T): softmax(Q K' / sqrt H) of one row's x (T, D), in float64."""
    config = model.network.config
    block = jax.tree.map(
        lambda leaf: np.asarray(leaf, np.float64),
        model.params["encoder"][f"block_{layer:02d}"],
    )
    x = x.astype(np.float64)
    if config.norm == "pre":
        centred = x - x.mean(-1, keepdims=True)
        x = centred / np.sqrt(x.var(-1, keepdims=True) + config.norm_epsilon)
        x = x * block["attention_norm"]["scale"] + block["attention_norm"]["bias"]
    query, key = (
        x @ block["attention"][name]["kernel"] + block["attention"][name]["bias"]
        for name in ("query", "key")
    )
    maps = []
    for head in np.split(np.arange(config.model_dim), config.num_heads):
        scores = query[:, head] @ key[:, head].T / np.sqrt(config.head_dim)
        scores[:, length:] = -np.inf
        if config.attention == "causal":
            scores[np.triu_indices(len(x), 1)] = -np.inf
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        maps.append(weights / weights.sum(-1, keepdims=True))
    return np.stack(maps)


def batch(model: Model) -> dict[str, np.ndarray]:
    coded = model.encode(TEXTS)
    return {name: coded[name] for name in ("ids", "types", "lengths")}


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_recorded_maps_are_an_independent_softmax(models, kind):
    model = models[kind]
    rows = batch(model)
    found = model.outputs(("attention", "states"), rows)
    for layer, maps in enumerate(found["attention"]):
        for row, length in enumerate(rows["lengths"]):
            x = found["states"][layer][row]
            expected = softmax(model, layer, x, length)
            np.testing.assert_allclose(maps[row], expected, atol=1e-6)
            assert not maps[row][..., length:].any()
        np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-6)
        assert maps.std() > 0.05


@pytest.fixture
def fused(monkeypatch) -> list[str]:
    """A kernel in float32 that returns no weights, used wherever none are requested.
    Counts its calls."""
    calls = []
    kernel = jax.nn.dot_product_attention

    def attend(*heads, implementation, **options):
        calls.append(implementation)
        return kernel(*heads, implementation="xla", **options)

    monkeypatch.setattr(ops, "_fused", lambda query, dropping, record: not record)
    monkeypatch.setattr(jax.nn, "dot_product_attention", attend)
    return calls


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_maps_of_a_fused_model_are_recomputed(models, kind, fused):
    """An independent softmax of its hidden states gives the maps of the recompute, and
    both paths give equal outputs of every block."""
    model = models[kind]
    rows, layers = batch(model), model.network.config.num_layers

    def run(params, rows):
        return model.network.apply({"params": params}, rows, None, mutable=["hidden"])

    _, sown = jax.jit(run)(model.params, rows)
    states = jax.tree.leaves(sown["hidden"])
    assert fused == ["cudnn"] * layers
    recorded = model.outputs(("attention", "states"), rows)
    for layer in range(layers):
        for row, length in enumerate(rows["lengths"]):
            maps = recorded["attention"][layer][row]
            expected = softmax(model, layer, np.asarray(states[layer][row]), length)
            np.testing.assert_allclose(maps, expected, atol=1e-6)
            np.testing.assert_allclose(
                recorded["states"][layer + 1][row][:length],
                states[layer + 1][row][:length],
                rtol=1e-6,
                atol=2e-6,
            )


@pytest.mark.skipif(not shutil.which("nvidia-smi"), reason="needs an NVIDIA GPU")
def test_cudnn_attends_as_the_recompute_does():
    hidden = ("JAX_PLATFORMS", "XLA_FLAGS")
    seen = {key: value for key, value in os.environ.items() if key not in hidden}
    command = [sys.executable, "-c", KERNEL]
    how = {"env": seen, "cwd": ROOT, "capture_output": True, "text": True}
    done = subprocess.run(command, check=False, **how)
    if "no NVIDIA GPU" in done.stderr:
        pytest.skip("jax sees no NVIDIA GPU")
    assert done.returncode == 0, done.stderr


def test_a_text_has_tokens_and_maps(model):
    found = attention.of_text(model, TEXTS[0], TEXTS[1])
    count = len(found.tokens)
    assert found.tokens[0] == "[CLS]" and found.tokens.count("[SEP]") == 2
    config = model.config.model
    assert found.weights.shape == (config.num_layers, config.num_heads, count, count)
    assert not found.cut
    mean = maps_part.select(found.weights, 0)
    np.testing.assert_allclose(mean, found.weights.mean(1), atol=1e-7)
    second = maps_part.select(found.weights, 2)
    np.testing.assert_array_equal(second, found.weights[:, 1])
    assert attention.of_text(model, "bread " * model.max_length).cut


def test_a_word_matches_exactly_else_in_any_case():
    place = attention.locate("It", "it is It.")
    assert (place.start, place.end, place.times) == (6, 8, 1)
    place = attention.locate("THE", "The cat and the dog")
    assert (place.word, place.start, place.times) == ("The", 0, 2)
    place = attention.locate("dog", "a cat", "a Dog")
    assert (place.word, place.paired, place.start) == ("Dog", True, 2)
    assert attention.locate("猫", "黒猫が").start == 1
    assert attention.locate("[SEP]", "a cat").end == 0


@pytest.mark.parametrize(
    "word, hint",
    [("sit", "near it: sat"), ("at", "near it: sat, cat"), ("zebra", "it has The cat")],
)
def test_a_missing_word_is_answered_with_similar_ones(word, hint):
    with pytest.raises(UsageError, match=f"--token={word} is no word.*{hint}"):
        attention.locate(word, "The cat sat.")


def test_tokens_of_text_and_pair_are_distinguished(model):
    text = "the kingstone saw the stone"
    found = attention.of_text(model, text, text)
    for word, paired in (("kingstone", False), ("stone", True)):
        place = attention.locate(word, text)._replace(paired=paired)
        inside = attention.places(found, place)
        joined = "".join(found.tokens[i].removeprefix("##") for i in inside)
        assert joined == word
        assert set(found.row.types[inside]) == {int(paired)}
    first = attention.places(found, attention.locate("[SEP]", text, text))
    assert first == [found.tokens.index("[SEP]")]
    cut = "bread " * model.max_length + "king"
    with pytest.raises(
        UsageError, match="not among the .* tokens that the model reads"
    ):
        attention.places(attention.of_text(model, cut), attention.locate("king", cut))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"layer": "0"}, "--layer=0 is neither last nor a number from 1"),
        ({"layer": "-1"}, "--layer=-1 is neither"),
        ({"head": "x"}, "--head=x is neither mean nor a number from 1"),
        ({"token": "horse"}, "--token=horse is no word of the text"),
        ({"corpus": "missing.txt"}, "missing.txt: No such file"),
        ({"text": " "}, "TEXT is empty"),
    ],
)
def test_wrong_requests_are_refused_before_any_model(changes, message):
    given = vars(asked("the king")) | changes
    with pytest.raises(UsageError, match=message):
        attention.request(argparse.Namespace(**given), {})


def test_a_corpus_of_blank_lines_is_refused(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("\n  \n")
    with pytest.raises(UsageError, match="blank lines alone"):
        attention.request(asked("the king", corpus=str(path)), {})
    path.write_text("bread\r\n\nthe king\n")
    request = attention.request(asked("the king", corpus=str(path)), {})
    assert request.corpus == ("bread", "the king")


@pytest.mark.parametrize("name, last", [("layer", 2), ("head", 2)])
def test_layers_and_heads_out_of_range_are_refused(model, name, last):
    request = attention.request(asked("the king", **{name: "3"}), {})
    with pytest.raises(UsageError, match=f"--{name}=3 is no .* it has 1 to {last}"):
        attention.find(model, request)


def test_a_finding_has_maps_word_statistics_and_figures(model, tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(TEXTS))
    words = {"token": "SAW", "layer": "1", "head": "2", "corpus": str(path)}
    request = attention.request(asked("the king saw the kingstone", **words), {})
    finding = attention.find(model, request)
    arrays, maps = finding.arrays, finding.arrays["weights"]
    assert maps.shape == (2, 2, *2 * arrays["tokens"].shape)
    assert maps.dtype == np.float32
    assert arrays["offsets"].shape == (len(arrays["tokens"]), 2)
    assert arrays["entropy"].shape == arrays["on_itself"].shape == (2, 2)
    names = "entropy", "distance", "share on [SEP]", "share on the diagonal"
    assert set(finding.scores) == {
        f"{name}/layer {k}" for name in names for k in (1, 2)
    }
    assert "In layer 1, head 2, “saw” attends most to" in finding.answer
    assert "Over 3 lines" in finding.answer
    pictures = {
        picture.name: picture
        for part in finding.parts
        for block in part.blocks
        if hasattr(block, "pictures")
        for picture in block.pictures
    }
    assert len(pictures) == 12
    for picture in list(pictures.values())[:6]:
        svg = drawing.svg([picture.draw], [picture.height], picture.width)
        assert picture.name == "attention_all" or "saw" in svg or "layer" in svg


def test_split_and_repeated_words_are_noted(model):
    text = "the kingstone saw the kingstone"
    request = attention.request(asked(text, token="kingstone"), {})
    finding = attention.find(model, request)
    count = len(attention.places(attention.of_text(model, text), request.place))
    assert count > 1
    phrase = f"“kingstone”, the first of 2, the mean of its {count} tokens, attends"
    assert phrase in finding.answer
    [part] = [part for part in finding.parts if part.title.startswith("What “")]
    assert "It occurs 2 times" in part.blocks[0]
