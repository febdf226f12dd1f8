"""Words of texts: as tokens, as they are parted, and as entities, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.data import tokenizer as tokenizers
from bert_jax.data import train_tokenizer
from bert_jax.data.vocabulary import SPECIALS
from bert_jax.run.config import UsageError
from bert_jax.tasks.words import (
    Found,
    entities,
    split_words,
    tag_features,
    word_tags,
    words_beside,
)

PIECES = ["un", "##aff", "##able", "the", "cat", "##s", "what", ".", "cafe", "'"]
VOCABULARY = [*SPECIALS, *PIECES]  # "un" is 5, "the" 8, "cat" 9, "what" 11
PAD, UNK, CLS, SEP, MASK, UN, AFF, ABLE, THE, CAT, S, WHAT, STOP, CAFE, QUOTE = range(
    15
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n")
    return tokenizers.load(path, True)


@pytest.fixture(scope="module")
def trained():
    return train_tokenizer.train(
        ["the cat sat on a mat, the cats sit é"] * 9 + ["한국"], 90, True
    )


# Words.


def test_the_first_piece_of_each_word_is_found(small):
    words = ["The", "unaffable", "\u200b", "cats", "[SEP]", "\ufe0f\x07"]
    (tags,) = tag_features(small, [words], 12)
    assert tags.ids.tolist() == [CLS, THE, UN, AFF, ABLE, CAT, S, UNK, UNK, UNK, SEP]
    assert tags.first.tolist() == [1, 2, -1, 5, 7, -1]
    assert (tags.vanished, tags.cut) == (2, 0)
    assert tags.ids.dtype == tags.first.dtype == np.int32


@pytest.mark.parametrize(
    ("max_length", "ids", "first", "cut"),
    [
        (7, [THE, UN, AFF, ABLE, CAT], [1, 2, 5], 0),
        (6, [THE, UN, AFF, ABLE], [1, 2, -1], 1),
        (4, [THE, UN], [1, 2, -1], 1),  # a word cut inside keeps its label
        (3, [THE], [1, -1, -1], 2),
    ],
)
def test_words_beyond_the_row_are_counted(small, max_length, ids, first, cut):
    (tags,) = tag_features(small, [["the", "unaffable", "cat"]], max_length)
    assert tags.ids.tolist() == [CLS, *ids, SEP]
    assert tags.first.tolist() == first
    assert (tags.vanished, tags.cut) == (0, cut)


def test_a_vanished_word_beyond_the_row_is_counted_once(small):
    (tags,) = tag_features(small, [["the", "\u200b", "cat", "\u200b"]], 3)
    assert tags.first.tolist() == [1, -1, -1, -1]
    assert (tags.vanished, tags.cut) == (2, 1)


def test_many_sentences_are_encoded_as_each_alone(small):
    sentences = [["the"] * (n % 3) + ["cats"] for n in range(600)]
    together = list(tag_features(small, sentences, 5))
    assert len(together) == 600
    for words, tags in zip(sentences, together, strict=True):
        (alone,) = tag_features(small, [words], 5)
        np.testing.assert_array_equal(alone.ids, tags.ids)
        np.testing.assert_array_equal(alone.first, tags.first)


def test_no_words_are_no_features(small):
    assert list(tag_features(small, [], 5)) == []
    (tags,) = tag_features(small, [[]], 5)
    assert tags.ids.tolist() == [CLS, SEP]
    assert tags.first.shape == (0,)


def test_a_row_without_room_is_refused(small):
    with pytest.raises(UsageError, match="max_length=2 has no room"):
        list(tag_features(small, [["the"]], 2))


LETTERS = [*"thecatson, .", "é", "한", "\u200b", "\x07", "\ufe0f"]


@given(st.lists(st.text(LETTERS, min_size=1)), st.integers(3, 40))
def test_counts_add_up_and_first_pieces_begin_words(trained, words, max_length):
    (tags,) = tag_features(trained, [words], max_length)
    kept = tags.first >= 0
    assert kept.sum() + tags.vanished + tags.cut == len(words) == len(tags.first)
    assert len(tags.ids) <= max_length
    assert (np.diff(tags.first[kept]) > 0).all()
    assert not trained.continuation[tags.ids[tags.first[kept]]].any()
    for word, position in zip(words, tags.first, strict=True):
        encoding = trained.encode(word)
        if position >= 0:
            there = tags.ids[position : position + len(encoding.ids)]
            whole = position + len(encoding.ids) <= len(tags.ids) - 1
            assert there[0] == encoding.ids[0]
            assert there.tolist() == encoding.ids or not whole
    if not tags.cut:
        assert len(tags.ids) == min(2 + sum(map(len, trained.ids(words))), max_length)


# Questions.


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", ""),
        (" \t\n\u00a0\u2003", ""),
        ("The cats sat.", "The cats sat ."),
        ("(U.N.)", "( U.N . )"),
        ("don't 'tis dogs'", "don't ' tis dogs '"),
        ("state-of-the-art -5", "state-of-the-art - 5"),
        ("$3.50, 5%", "$ 3.50 , 5 %"),
        ("...", ". . ."),
        ("a...b", "a...b"),
        ("“¿Qué?” — l’an…", "“ ¿ Qué ? ” — l’an …"),
        ("@user #tag (#1)", "@user #tag ( #1 )"),
        ("##x @@ # C# a@b.org .@me", "# #x @ @ # C # a@b.org . @me"),
        ("great😀 ❤️! cafe\u0301.", "great 😀 ❤️ ! cafe\u0301 ."),
        ("हिन्दी। 東京、\u0301", "हिन्दी । 東京 、\u0301"),
        ("\u200b x\x07", "\u200b x\x07"),
    ],
)
def test_words_of_a_text(text, want):
    assert [text[start:end] for start, end in split_words(text)] == want.split(" ") * (
        want != ""
    )


@given(st.text(st.one_of(st.characters(), st.sampled_from("ab.'@# \u0301"))))
def test_words_are_in_order_and_cover_all_but_space(text):
    found = split_words(text)
    ends = [0, *(end for _, end in found)]
    starts = [*(start for start, _ in found), len(text)]
    assert all(start < end for start, end in found)
    for end, start in zip(ends, starts, strict=True):
        assert end <= start
        assert not text[end:start].strip()
    assert not any(c.isspace() for a, b in found for c in text[a:b])


@given(st.text(["a", "é", ".", "'", "$", "@", "#", " "]))
def test_a_word_read_by_itself_is_that_word(text):
    for start, end in split_words(text):
        assert split_words(text[start:end]) == [(0, end - start)]


def test_an_added_token_is_one_word():
    text = "x.[E1]Anna(New)"
    found = words_beside(text, [(2, 6), (11, 14)])
    assert [text[a:b] for a, b in found] == ["x", ".", "[E1]", "Anna(New", ")"]


# Entities.

SENTENCE = "In New  York, «Élan» rose."
TAGS = ["O", "B-LOC", "I-LOC", "O", "O", "B-ORG", "O", "O", "O"]
CHANCES = [0.9, 0.8, 0.7, 0.9, 0.6, 0.5, 0.9, 0.4, 0.9]


def test_entities_are_characters_of_the_text():
    found = entities(SENTENCE, split_words(SENTENCE), TAGS, CHANCES, TAGS)
    assert found == [
        Found("LOC", "New  York", 3, 12, 0.7),
        Found("ORG", "Élan", 15, 19, 0.5),
    ]


def test_words_are_what_they_are_tagged():
    spans = split_words("Dogs bark.")
    found = entities(
        "Dogs bark.", spans, ["NOUN", "X", "O"], [0.9, 0.8, 0.7], ["NOUN", "X", "VERB"]
    )
    assert found == [
        Found("NOUN", "Dogs", 0, 4, 0.9),
        Found("X", "bark", 5, 9, 0.8),
    ]


@pytest.mark.parametrize("labels", [["O", "B-X"], ["NOUN", "VERB"]])
def test_no_words_are_no_entities(labels):
    assert entities("", [], [], [], labels) == []


def test_tags_of_no_entities_are_refused():
    with pytest.raises(ValueError, match="tags 'NOUN'"):
        entities("Dogs", [(0, 4)], ["NOUN"], [0.9], ["O", "B-X"])


@pytest.mark.parametrize("labels", [["O", "B-X"], ["NOUN", "VERB"]])
def test_other_numbers_than_the_words_are_refused(labels):
    for tags, chances in [(["O"], [0.5] * 2), (["O"] * 2, [0.5]), (["O"] * 3, [1] * 3)]:
        with pytest.raises(ValueError, match=r"tags and . probabilities of 2 words"):
            entities("a b", [(0, 1), (2, 3)], tags, chances, labels)


# From tokens to words.


def test_a_word_has_the_class_of_its_first_piece(small):
    words = ["the", "unaffable", "\u200b", "cats", "cat"]
    (tags,) = tag_features(small, [words], 7)  # [CLS] the un ##aff ##able cat [SEP]
    classes = np.array([9, 1, 2, 8, 8, 3, 9, 9, 9], np.int32)  # two are padding
    found = word_tags(tags.first, np.eye(10)[classes], 0)
    assert found.tags.tolist() == [1, 2, 0, 3, 0]
    assert found.probabilities.tolist() == [1, 1, 0, 1, 0]


def test_no_words_have_no_classes():
    found = word_tags(np.zeros(0, np.int32), np.zeros((2, 3)), 0)
    assert found.tags.shape == found.probabilities.shape == (0,)
