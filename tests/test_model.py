"""A run, opened for use from Python."""

import re
from pathlib import Path

import numpy as np
import pytest

import bert_jax
from bert_jax import train
from bert_jax.config import UsageError

ROOT = Path(__file__).parents[1]
TEXTS = ["The king saw [MASK] bread.", "[MASK] took the long [MASK]."]


@pytest.fixture(scope="module")
def workdir(tiny, tmp_path_factory):
    """A run of a few steps."""
    path = tmp_path_factory.mktemp("runs") / "run"
    train.run(tiny({}), path)
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
    assert "saw no position beyond 32" in capsys.readouterr().err


def test_a_text_without_mask_is_named(model):
    with pytest.raises(UsageError, match=r"no \[MASK\] in 'No gap here.'"):
        model.fill_masks(["No gap here."])
    with pytest.raises(UsageError, match="within 64 tokens"):
        model.fill_masks(["the old dog " * 100 + "[MASK]"])


def test_one_text_instead_of_a_list_is_refused(model):
    with pytest.raises(TypeError, match="give a list of texts"):
        model.encode("The old dog.")


def test_a_run_without_pair_loss_has_no_pooled_vectors(tiny, tmp_path):
    single = {"objective.pair": "none", "data.pairs": "single", "train.steps": 2}
    train.run(tiny({**single, "optim.warmup_steps": 1}), tmp_path / "run")
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
    assert train.run(tiny(causal), tmp_path / "run") == 0
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
