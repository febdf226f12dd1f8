"""Directories with byte-level BPE and Unigram: roles, classes, and what is written."""

import json
from pathlib import Path

import pytest

from bert_jax.data.tokenizer import Tokenizer
from bert_jax.huggingface import bert_tokenizer
from bert_jax.run.config import UsageError
from tests import vocabularies
from tests.huggingface.test_bert_tokenizer import read, refuses, write

TEXTS = ["The cat sat.", " it's naïve, 今天", "the <mask> is [MASK] on"]
CLASSES = [
    ("roberta", "RobertaTokenizer"),
    ("roberta", "RobertaTokenizerFast"),
    ("gpt2", "GPT2Tokenizer"),
    ("gpt2", "GPT2TokenizerFast"),
    ("byte_bpe", "PreTrainedTokenizerFast"),
    ("byte_bpe", "TokenizersBackend"),
    ("unigram", "AlbertTokenizer"),
    ("unigram", "XLMRobertaTokenizerFast"),
    ("unigram", "CamembertTokenizer"),
    ("word_piece", "ElectraTokenizer"),
    ("word_piece", "DistilBertTokenizerFast"),
]


def directory(folder: Path, words: Tokenizer, **rules) -> Path:
    """A directory of a tokenizer.json and these rules."""
    words.save(folder / "tokenizer.json")
    write(folder, "tokenizer_config.json", rules)
    return folder


@pytest.mark.parametrize(("kind", "name"), CLASSES)
def test_the_classes_of_families_are_read(tokenizers_by_kind, tmp_path, kind, name):
    words = tokenizers_by_kind[kind]
    found, said = read(directory(tmp_path, words, tokenizer_class=name))
    assert found.tokenizer.fingerprint == words.fingerprint
    assert said == []
    assert "tokenizer_class" in found.kept


@pytest.mark.parametrize(
    ("kind", "rules", "said"),
    [
        ("roberta", {"tokenizer_class": "BertTokenizer"}, "tokenizer_class is 'BertT"),
        ("word_piece", {"tokenizer_class": "RobertaTokenizer"}, "tokenizer_class is"),
        ("unigram", {"tokenizer_class": "MPNetTokenizer"}, "tokenizer_class is"),
        ("roberta", {"add_prefix_space": True}, "add_prefix_space is True; only False"),
        ("byte_bpe", {"add_prefix_space": False}, "add_prefix_space is False; only Tr"),
        (
            "roberta",
            {"mask_token": "[MASK]"},
            r"mask_token is '\[MASK\]'; only '<mask>'",
        ),
        ("gpt2", {"mask_token": "<mask>"}, "mask_token is '<mask>'"),
        ("gpt2", {"pad_token": "<pad>"}, "pad_token is '<pad>'; only '<|endoftext|>'"),
        (
            "roberta",
            {"mask_token": {"content": "<mask>", "lstrip": False}},
            "mask_token has lstrip=False, and tokenizer.json True",
        ),
        ("roberta", {"do_lower_case": True}, "do_lower_case is True, and tokenizer.js"),
        ("unigram", {"do_lower_case": False}, "do_lower_case is False, and tokenizer."),
        ("unigram", {"keep_accents": False}, "keep_accents is False, and tokenizer.js"),
        ("unigram", {"remove_space": False}, "remove_space is False"),
    ],
    ids=str,
)
def test_rules_of_another_tokenizer_are_named(
    tokenizers_by_kind, tmp_path, kind, rules, said
):
    directory(tmp_path, tokenizers_by_kind[kind], **rules)
    refuses(tmp_path, said.replace("|", r"\|"))


@pytest.mark.parametrize("kind", ["roberta", "gpt2"])
def test_a_folder_of_merges_is_imported(tokenizers_by_kind, tmp_path, kind):
    words = tokenizers_by_kind[kind]
    bert_tokenizer.write(tmp_path, words, vocabularies.model_of(words), {})
    (tmp_path / "tokenizer.json").unlink()
    found, said = read(tmp_path)
    assert found.tokenizer.ids(TEXTS) == words.ids(TEXTS)
    assert found.tokenizer.roles == words.roles
    assert said == []
    (tmp_path / "vocab.json").unlink()
    refuses(tmp_path, "has no vocab.txt, no tokenizer.json, and no vocab.json with mer")
    (tmp_path / "spiece.model").write_bytes(b"x")
    refuses(tmp_path, "spiece.model is a model of sentencepiece, .* save_pretrained")


def test_a_space_before_merges_is_asked_for(tokenizers_by_kind, tmp_path):
    words = tokenizers_by_kind["roberta"]
    bert_tokenizer.write(tmp_path, words, vocabularies.model_of(words), {})
    (tmp_path / "tokenizer.json").unlink()
    write(tmp_path, "tokenizer_config.json", {"add_prefix_space": True})
    found, _ = read(tmp_path)
    assert found.tokenizer.adds_space
    assert found.tokenizer.ids(["cat"]) == words.ids([" cat"])


def test_an_export_gives_the_same_tokenizer(words, tmp_path):
    bert_tokenizer.write(
        tmp_path, words, vocabularies.model_of(words), {"padding_side": "right"}
    )
    found, said = read(tmp_path)
    assert found.tokenizer.fingerprint == words.fingerprint
    assert found.tokenizer.ids(TEXTS) == words.ids(TEXTS)
    assert found.length == 64
    assert said == []
    rules = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert rules["padding_side"] == "right"
    lists = {path.name for path in tmp_path.iterdir()}
    lists -= {"tokenizer.json", "tokenizer_config.json"}
    if words.kind == "WordPiece":
        assert lists == {"vocab.txt"}
        return
    bpe = words.kind == "BPE"
    assert lists == ({"vocab.json", "merges.txt"} if bpe else set())
    assert rules["tokenizer_class"] == "PreTrainedTokenizerFast"
    inputs = rules["model_input_names"]
    assert ("token_type_ids" in inputs) == bool(words.pair_type)
    assert rules["cls_token"] == words.roles.frame.cls
    assert ("mask_token" in rules) == bool(words.mask_token)
    if words.mask_token:
        assert rules["mask_token"]["lstrip"] is True


def test_tokens_of_a_family_are_added(tokenizers_by_kind, tmp_path):
    """Runs of spaces, as ModernBERT adds them, and a special token."""
    words = tokenizers_by_kind["byte_bpe"]
    content = json.loads(words.to_str())
    spaces = content["added_tokens"][0] | {"id": words.vocab_size, "content": "  "}
    content["added_tokens"].append(spaces | {"special": False, "normalized": True})
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    decoder = {str(words.vocab_size): {"content": "  ", "normalized": True}}
    more = {"additional_special_tokens": ["<|x|>"], "added_tokens_decoder": decoder}
    write(tmp_path, "tokenizer_config.json", more)
    found = read(tmp_path)[0].tokenizer
    assert found.vocab_size == words.vocab_size + 2
    assert found.special[-1] and not found.special[-2]
    assert not found.continuation[-2:].any()
    assert found.ids(["a  <|x|>"])[0][-2:] == [words.vocab_size, words.vocab_size + 1]


def test_the_real_vocabulary_of_gpt2(tmp_path):
    source = vocabularies.real_gpt2()
    for theirs, ours in (("encoder.json", "vocab.json"), ("vocab.bpe", "merges.txt")):
        (tmp_path / ours).write_bytes((source / theirs).read_bytes())
    found, said = read(tmp_path)
    assert found.tokenizer.ids(["Hello world"]) == [[15496, 995]]
    assert said == []
    with pytest.raises(UsageError, match="no mask token"):
        found.tokenizer.check_mask()
