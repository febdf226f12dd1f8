"""A run, opened for use from Python."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

import bert_jax
from bert_jax.run.config import UsageError
from bert_jax.tasks.features import of_texts
from bert_jax.tasks.records import Sentence
from bert_jax.train import loop

ROOT = Path(__file__).parents[2]
TEXTS = ["The king saw [MASK] bread.", "[MASK] took the long [MASK]."]


@pytest.fixture(scope="module")
def workdir(tiny, tmp_path_factory):
    """A run of a few steps."""
    path = tmp_path_factory.mktemp("runs") / "run"
    loop.run(tiny({}), path)
    return path


@pytest.fixture(scope="module")
def model(workdir):
    return bert_jax.load(workdir)


def test_every_mask_gets_its_likeliest_pieces(model):
    filled = model.fill_masks(TEXTS, top=3)
    assert [len(masks) for masks in filled] == [1, 2]
    for masks in filled:
        for number, mask in enumerate(masks):
            assert mask.mask == number
            chances = [chance for _, chance in mask.candidates]
            assert len(chances) == 3
            assert chances == sorted(chances, reverse=True)
            assert all(
                token in model.tokenizer.vocabulary for token, _ in mask.candidates
            )


def test_the_probabilities_of_a_mask_sum_to_one(model):
    [[mask]] = model.fill_masks(TEXTS[:1], top=model.tokenizer.vocab_size)
    assert sum(chance for _, chance in mask.candidates) == pytest.approx(1, abs=1e-5)


def test_a_text_fills_the_same_alone_and_in_company(model):
    alone = [model.fill_masks([text])[0] for text in TEXTS]
    together = model.fill_masks([*TEXTS, "The [MASK] " + "old " * 20] * 20)[:2]
    for one, two in zip(alone, together):
        for first, second in zip(one, two):
            left, right = dict(first.candidates), dict(second.candidates)
            assert left == pytest.approx(right, abs=1e-5)


def test_shapes_of_what_can_be_read(model):
    inputs = model.encode(TEXTS)
    rows, width = inputs["ids"].shape
    dim, layers, heads = 16, 2, 2
    assert rows == 2
    assert model.vectors(TEXTS).shape == (rows, width, dim)
    assert model.hidden_states(TEXTS).shape == (layers + 1, rows, width, dim)
    assert model.pooled(TEXTS).shape == (rows, dim)
    assert model.attention(TEXTS).shape == (layers, rows, heads, width, width)


def test_attention_rows_sum_to_one_and_padding_gets_nothing(model):
    texts = ["The old dog.", "Her brother lost the long road."]
    weights = model.attention(texts)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    lengths = model.encode(texts)["lengths"]
    assert lengths.min() < lengths.max()
    shorter = int(lengths.argmin())
    assert not weights[:, shorter, ..., lengths.min() :].any()


def test_vectors_do_not_depend_on_the_batch_or_its_padding(model):
    texts = ["The old dog.", "Her brother lost the long road. " * 3]
    alone = model.vectors(texts[:1])[0]
    padded = model.vectors(texts)[0][: len(alone)]
    np.testing.assert_allclose(alone, padded, atol=1e-5)


def test_pairs_are_two_segments(model):
    inputs = model.encode(["The old dog."], ["My aunt."])
    assert inputs["types"].max() == 1
    assert model.pooled(["The old dog."], ["My aunt."]).shape == (1, 16)


def test_texts_longer_than_the_positions_are_cut(model, capsys):
    assert model.vectors(["the old dog " * 100]).shape[1] == 64
    said = capsys.readouterr().err
    assert "saw no position beyond 32" in said
    assert "texts cut to the 64 positions of the run: 1" in said


def test_a_text_without_mask_is_named(model):
    with pytest.raises(UsageError, match=r"no \[MASK\] in 'No gap here.'"):
        model.fill_masks(["No gap here."])
    with pytest.raises(UsageError, match="within 64 tokens"):
        model.fill_masks(["the old dog " * 100 + "[MASK]"])


def test_one_text_instead_of_a_list_is_refused(model):
    with pytest.raises(TypeError, match="give a list of texts"):
        model.encode("The old dog.")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["good", None], r"texts\[1\] is None, not text"),
        ([b"good"], r"texts\[0\] is b'good', not text"),
        (["a", ["b"]], r"texts\[1\] is \['b'\], not text"),
        ([float("nan")], r"texts\[0\] is nan, not text"),
        ([3], r"texts\[0\] is 3, not text"),
        (["a", "\ud800"], r"texts\[1\]: badly encoded"),
        (b"good", "texts is b'good': give a list of texts"),
        ({"a": 1}, "give a list of texts"),
        (None, "texts is None: give a list of texts"),
    ],
)
def test_what_is_no_text_is_named(model, given, said):
    """FAULTS 32"""
    for method in (
        model.encode,
        model.fill_masks,
        model.hidden_states,
        model.vectors,
        model.pooled,
        model.attention,
        model.sentence_vectors,
        model.classify,
        model.regress,
        model.entities,
        lambda texts: model.answer(texts, ["context"]),
        lambda texts: model.choose(texts, [["a", "b"]]),
    ):
        with pytest.raises(
            UsageError, match=said.replace("texts", "(texts|questions)")
        ):
            method(given)


def test_partners_that_are_no_texts_are_named(model):
    """FAULTS 32"""
    with pytest.raises(UsageError, match=r"pairs\[0\] is None, not text"):
        model.vectors(["a"], [None])
    with pytest.raises(UsageError, match="pairs: 1, but 2 of"):
        model.pooled(["a", "b"], ["c"])
    with pytest.raises(UsageError, match=r"contexts\[0\] is 1, not text"):
        model.answer(["a"], [1])
    with pytest.raises(UsageError, match=r"choices\[0\]\[1\] is None, not text"):
        model.choose(["a"], [["b", None]])
    with pytest.raises(UsageError, match=r"choices\[0\] is 'bc': give a list"):
        model.choose(["a"], ["bc"])
    with pytest.raises(UsageError, match="top=0: ask for one"):
        model.fill_masks(TEXTS, 0)


def test_of_no_texts_there_are_empty_arrays(model):
    """FAULTS 32"""
    dim, layers, heads = 16, 2, 2
    assert model.hidden_states([]).shape == (layers + 1, 0, 0, dim)
    assert model.vectors([]).shape == (0, 0, dim)
    assert model.pooled([], []).shape == (0, dim)
    assert model.attention([]).shape == (layers, 0, heads, 0, 0)
    assert model.sentence_vectors([]).shape == (0, dim)
    assert model.encode([])["ids"].shape == (0, 0)
    assert model.fill_masks([]) == []


def test_texts_are_read_alike_through_every_door(model):
    text = "\ufeffThe\u00a0king\t saw\x00 a\u200b stone.\r\n cafe\u0301 caf\u00e9 [SEP]\x07"
    [alone] = model.tokenizer.ids([text])
    coded = model.encode([text])["ids"][0, 1:-1].tolist()
    assert model.tokenizer.encode(text).ids == alone
    assert model.tokenizer.encode_batch([text])[0].ids == alone
    made = of_texts([Sentence("", text, "", "")], np.zeros(1), model.tokenizer, 32)
    assert made.ids[1:-1].tolist() == alone == coded


def test_numbers_that_are_not_finite_are_refused(workdir):
    model = bert_jax.load(workdir)
    model.params = jax.tree.map(lambda x: x * np.nan, model.params)
    model.reader.params = model.params
    for method in (model.fill_masks, model.hidden_states, model.sentence_vectors):
        with pytest.raises(
            UsageError, match="at step 6 the run gives numbers that are"
        ):
            method(TEXTS)


def test_a_run_without_pair_loss_has_no_pooled_vectors(tiny, tmp_path):
    single = {"objective.pair": "none", "data.pairs": "single", "train.steps": 2}
    loop.run(tiny({**single, "optim.warmup_steps": 1}), tmp_path / "run")
    model = bert_jax.load(tmp_path / "run")
    assert model.vectors(["The old dog."]).ndim == 3
    with pytest.raises(UsageError, match="trained no pooler"):
        model.pooled(["The old dog."])


def test_a_causal_run_fills_no_masks(tiny, tmp_path):
    causal = {
        "objective.kind": "clm",
        "model.attention": "causal",
        "data.pairs": "full",
        "train.steps": 2,
        "optim.warmup_steps": 1,
    }
    assert loop.run(tiny(causal), tmp_path / "run") == 0
    with pytest.raises(UsageError, match="cannot fill masks"):
        bert_jax.load(tmp_path / "run").fill_masks(TEXTS)


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(UsageError, match="is no run"):
        bert_jax.load(tmp_path)


def test_a_step_that_was_not_kept_is_named(workdir):
    assert bert_jax.load(workdir, 3).step == 3
    with pytest.raises(UsageError, match="kept no step 4; it has 3, 6"):
        bert_jax.load(workdir, 4)


def test_the_readme_s_snippet_runs(workdir, monkeypatch):
    [snippet] = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    monkeypatch.chdir(workdir.parent)
    names: dict = {}
    exec(snippet.replace("runs/demo", str(workdir)), names)  # noqa: S102
    assert (names["vectors"].ndim, names["states"].ndim) == (2, 4)


def test_a_sentence_s_vector_is_the_mean_of_its_tokens(model):
    texts = ["The old dog.", "Her brother lost the long road.", ""]
    means = model.sentence_vectors(texts)
    lengths = model.encode(texts)["lengths"]
    for mean, vectors, length in zip(means, model.vectors(texts), lengths, strict=True):
        np.testing.assert_allclose(mean, vectors[:length].mean(0), atol=1e-5)
    pairs = model.sentence_vectors(["The old dog."], ["My aunt."])
    vectors = model.vectors(["The old dog."], ["My aunt."])
    np.testing.assert_allclose(pairs, vectors.mean(1), atol=1e-5)
