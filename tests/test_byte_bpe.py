"""A run with byte-level BPE, from a text to filled masks, and on."""

import json

import pytest

import bert_jax
import launch
from bert_jax.data import store
from bert_jax.predict import generate
from bert_jax.run import config as configs
from bert_jax.run import exits, rundir
from bert_jax.run.config import UsageError
from bert_jax.train import loop, session
from tests import vocabularies
from tests.storing import generated, silent

BYTES = {"tokenizer.model": "byte_bpe", "tokenizer.vocab_size": 330}


@pytest.fixture(scope="module")
def trained(tiny, once):
    """A masked LM with pairs and whole words, on the words of conftest's story."""
    words = {
        "objective.mask_unit": "word",
        "objective.pair": "nsp",
        "data.pairs": "nsp",
    }
    config = tiny({**BYTES, **words})

    def train(workdir):
        assert loop.run(config, workdir) == exits.DONE

    return once("byte_bpe", train)


def test_a_run_with_bytes_fills_masks(trained):
    metrics = rundir.read_metrics(trained)
    assert metrics[max(metrics)]["valid/mlm_loss"] > 0
    model = bert_jax.load(trained)
    words = model.tokenizer
    assert words.kind == "BPE" and words.lowercase
    [[first, second]] = model.fill_masks(["the [MASK] is a [MASK]."])
    for filled in (first, second):
        assert len(filled.candidates) == 5
        assert {token for token, _ in filled.candidates} <= set(words.display_tokens)
    with pytest.raises(UsageError, match=r"there is no \[MASK\] in 'the king'"):
        model.fill_masks(["the king"])
    encoded = model.encode(["The king"])
    assert encoded["ids"][0][0] == words.cls_id


def test_no_token_of_bytes_is_unknown(trained):
    data = session.reopen(trained).data
    assert data.train.counts[data.tokenizer.unk_id] == 0
    starts = data.train.sentences[:-1]
    assert not data.tokenizer.continuation[data.train.tokens[starts]].any()


def test_its_verbs_explain_what_it_reads(trained, capsys):
    command = ["predict", f"--workdir={trained}", "--explain", "the [MASK] sat"]
    assert launch.main(command) == 0
    said = capsys.readouterr().out
    assert "▁the" in said and "The [MASK] at 2" in said


def test_the_kind_of_model_is_part_of_a_store(tmp_path):
    config = generated(tmp_path)
    config.tokenizer.vocab_size = 300
    before = store.key(config)
    config.tokenizer.model = "byte_bpe"
    assert store.key(config) != before
    made = store.prepare(config, silent)
    assert made.tokenizer.kind == "BPE"
    assert store.open(made.directory).fingerprint == made.fingerprint


def test_neutral_kinds_leave_a_run_its_id():
    plain = configs.load("configs/demo.py", {})
    other = configs.load("configs/demo.py", {"tokenizer.model": "byte_bpe"})
    assert configs.fingerprint(plain, "") != configs.fingerprint(other, "")
    older = json.loads(configs.canonical(plain))
    del older["tokenizer"]["model"], older["check"]
    read = configs.from_json(json.dumps(older))
    assert configs.fingerprint(read, "") == configs.fingerprint(plain, "")
    with pytest.raises(
        UsageError, match="tokenizer.model must be wordpiece | byte_bpe"
    ):
        configs.load("configs/demo.py", {"tokenizer.model": "unigram"})


@pytest.fixture(scope="module")
def without_mask(tmp_path_factory):
    path = tmp_path_factory.mktemp("gpt2") / "tokenizer.json"
    vocabularies.gpt2().save(path)
    return path


def test_a_masked_lm_needs_a_mask(tiny, without_mask, tmp_path):
    keys = {"tokenizer.path": str(without_mask), "tokenizer.lowercase": False}
    with pytest.raises(UsageError, match="this tokenizer has no mask token"):
        loop.run(tiny(keys), tmp_path / "run")


def test_a_causal_run_begins_with_its_special_token(tiny, without_mask, tmp_path):
    keys = {
        "tokenizer.path": str(without_mask),
        "tokenizer.lowercase": False,
        "objective.kind": "clm",
        "objective.pair": "none",
        "data.pairs": "single",
        "model.attention": "causal",
    }
    assert loop.run(tiny(keys), tmp_path / "run") == exits.DONE
    model = bert_jax.load(tmp_path / "run")
    greedy = generate.Sampling(0.0, 0, 1.0, 0)
    text = "".join(generate.continuation(model, "The king ", 3, greedy))
    assert text
    with pytest.raises(UsageError, match="causal LM: it cannot fill masks"):
        model.fill_masks(["a"])
