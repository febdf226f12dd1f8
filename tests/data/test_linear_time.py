"""Functions that read text take no more than linear time in it.

tests/attacks/linear_time.py tries every pair of characters.
"""

import random
import time
from itertools import permutations

import pytest

from bert_jax.data import paragraphs, sentences, train_tokenizer
from bert_jax.tasks import words
from bert_jax.tasks.formats.tables import _opening

COUNT = 100_000  # of each character; of a pair, half of each
SECONDS = 5.0  # of this process; quadratic time is minutes
CHARACTERS = [
    *".!?…。؟,;:'\"”»()[]{}<>_*-–—/\\|@#&%0aA é\u0301\u0e31漢한\u200b\t\n\r\f\u2028"
]
PAIRS = random.Random(0).sample(list(permutations(CHARACTERS, 2)), 12)


@pytest.fixture(scope="module")
def encode():
    return train_tokenizer.train(["".join(CHARACTERS)] * 3, 200, True).encode


def unwrap(text: str):
    block = [line for line in text.split("\n") if line.strip()] or ["a"]
    return paragraphs.unwrap(block, paragraphs.wrap_width(block) or 80)


READERS = {
    "sentences": sentences.sentences,
    "clean": paragraphs.clean,
    "unwrap": unwrap,
    "words": words.split_words,
    "opening": lambda text: _opening(text, ","),
}


def seconds(function, text: str) -> float:
    start = time.process_time()
    function(text)
    return time.process_time() - start


def texts(pair: tuple[str, str]) -> list[str]:
    """Both of a pair in turn, one after the other, and after a mark and a space."""
    one, two = pair
    half = COUNT // 2
    return [(one + two) * half, one * half + two * half, f"A. {one * half}{two * half}"]


@pytest.mark.parametrize("name", READERS)
def test_any_character_is_read_in_linear_time(name):
    """FAULTS, kind H: a run of 100,000 full stops took minutes."""
    for character in CHARACTERS:
        assert seconds(READERS[name], character * COUNT) < SECONDS, character


@pytest.mark.parametrize("name", READERS)
def test_any_pair_is_read_in_linear_time(name):
    """FAULTS, kind H: some regular expressions need two characters to go wrong."""
    for pair in PAIRS:
        for text in texts(pair):
            assert seconds(READERS[name], text) < SECONDS, pair


def test_any_character_is_encoded_in_linear_time(encode):
    for character in CHARACTERS:
        assert seconds(encode, character * COUNT) < SECONDS, character


def test_every_kind_encodes_in_linear_time(words):
    for character in CHARACTERS[::5]:
        for text in (character * COUNT, f"a{character}" * (COUNT // 2)):
            assert seconds(words.encode, text) < SECONDS, character


@pytest.mark.parametrize("opening", ["-", "_", '"', "--_*"])
def test_what_opens_a_sentence_takes_linear_time(opening):
    """FAULTS, kind H: dashes after a full stop took exponential time."""
    text = "The end. " + opening * COUNT + " "
    assert seconds(sentences.sentences, text * 2) < SECONDS
