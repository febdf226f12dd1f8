import json
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.data import tokenizer, train_tokenizer
from bert_jax.run.config import UsageError

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["un", "##aff", "##able", "the", "cat", "cafe", "[", "]", "sep", "mask", "a"]
VOCABULARY = [*SPECIALS, "[unused1]", *WORDS]  # "un" is 6, "the" 9, "cat" 10, "a" 16
TEXT = ["the cat sat on the mat, the cat ran", "a cat and a Dog. The dog ran!"] * 3
CHINESE = "今天天气很好。我们去公园散步吧！你觉得怎么样？"


def write(path, vocabulary):
    path.write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return tokenizer.load(
        write(tmp_path_factory.mktemp("vocab") / "vocab.txt", VOCABULARY), True
    )


def test_longest_token_first_with_character_offsets(small):
    encoding = small.encode("The unaffable  Café!")
    assert encoding.tokens == ["the", "un", "##aff", "##able", "cafe", "[UNK]"]
    assert encoding.ids == [9, 6, 7, 8, 11, 1]
    assert encoding.offsets == [(0, 3), (4, 6), (6, 9), (9, 13), (15, 19), (19, 20)]


def test_chinese_characters_are_single_words(small):
    assert small.encode("a今天a").offsets == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_a_cased_vocabulary_keeps_case_and_accents(tmp_path):
    path = write(tmp_path / "vocab.txt", [*SPECIALS, "Café", "cafe"])
    assert tokenizer.load(path, False).encode("Café cafe CAFE").ids == [5, 6, 1]


def test_corpus_text_cannot_write_special_tokens(small):
    assert small.encode("[SEP] a").tokens == ["[", "sep", "]", "a"]
    assert small.ids(["[SEP]"]) == [small.encode("[SEP]").ids]


def test_inputs_are_framed_and_may_name_the_mask(small):
    inputs = small.encode_inputs(["the [MASK] cat", "a"], None, 8, pad=False)
    np.testing.assert_array_equal(inputs["ids"], [[2, 9, 4, 10, 3], [2, 16, 3, 0, 0]])
    np.testing.assert_array_equal(inputs["types"], np.zeros((2, 5)))
    np.testing.assert_array_equal(inputs["lengths"], [5, 3])
    assert inputs["offsets"][0] == [(0, 0), (0, 3), (4, 10), (11, 14), (0, 0)]
    assert inputs["ids"].dtype == inputs["types"].dtype == np.int32


def test_pairs_are_truncated_longest_first_and_padded(small):
    inputs = small.encode_inputs(
        ["the cat the cat the", "cat"], ["a a", "the"], 7, pad=True
    )
    np.testing.assert_array_equal(
        inputs["ids"], [[2, 9, 10, 3, 16, 16, 3], [2, 10, 3, 9, 3, 0, 0]]
    )
    np.testing.assert_array_equal(
        inputs["types"], [[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0, 0]]
    )
    np.testing.assert_array_equal(inputs["lengths"], [7, 5])


def test_inputs_leave_nothing_behind(small):
    small.encode_inputs(["the"], None, 3, pad=True)
    assert len(small.encode("the cat the cat").ids) == 4
    assert json.loads(small.to_str())["truncation"] is None


def test_decoding_joins_pieces_and_leaves_special_tokens_out(small):
    assert small.decode([2, 9, 6, 7, 8, 10, 3, 0]) == "the unaffable cat"


def test_facts_by_id(small):
    assert small.vocab_size == len(VOCABULARY)
    assert small.vocabulary == VOCABULARY
    ids = small.pad_id, small.unk_id, small.cls_id, small.sep_id, small.mask_id
    assert ids == (0, 1, 2, 3, 4)
    assert np.flatnonzero(small.special).tolist() == [0, 1, 2, 3, 4, 5]
    assert np.flatnonzero(small.continuation).tolist() == [7, 8]


@pytest.mark.parametrize("strip_accents", ["auto", "always", "never"])
@pytest.mark.parametrize("lowercase", [True, False])
def test_accents_are_stripped_as_asked(tmp_path, lowercase, strip_accents):
    """FAULTS 10: lowercasing stripped accents, and nothing could keep them."""
    strips = {"auto": lowercase, "always": True, "never": False}[strip_accents]
    path = write(tmp_path / "vocab.txt", [*SPECIALS, "cafe", "caf\u00e9"])
    loaded = tokenizer.load(path, lowercase, strip_accents)
    trained = train_tokenizer.train(
        ["caf\u00e9 \u0e35"] * 9, 99, lowercase, strip_accents
    )
    assert loaded.encode("caf\u00e9").tokens == ["cafe" if strips else "caf\u00e9"]
    assert loaded.strips_accents == trained.strips_accents == strips
    assert ("\u00e9" in "".join(trained.vocabulary)) != strips


def test_a_file_decides_on_accents_unless_asked(tmp_path):
    """FAULTS 10: a run goes on with the rules of its tokenizer.json."""
    train_tokenizer.train(TEXT, 60, True, "never").save(tmp_path / "tokenizer.json")
    for asked in ("auto", "never"):
        assert not tokenizer.load(tmp_path, True, asked).strips_accents
    with pytest.raises(UsageError, match="set --config.tokenizer.strip_accents=never"):
        tokenizer.load(tmp_path, True, "always")


def test_words_are_shown_composed():
    """FAULTS 9: stripping accents leaves Korean as loose letters."""
    text = "\ub300\ud55c\ubbfc\uad6d \uc0ac\ub78c"
    trained = train_tokenizer.train([text] * 9, 200, True)
    assert trained.decode(trained.encode(text).ids) == text
    assert text.split()[0] in trained.display_tokens
    assert text.split()[0] not in trained.vocabulary
    for token in trained.display_tokens:
        assert token == unicodedata.normalize("NFC", token)


def test_a_huge_vocabulary_is_refused_unread(tmp_path):
    """FAULTS 42: 100 MB took 2.7 GB before any check."""
    with (tmp_path / "vocab.txt").open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(
        UsageError, match="cannot read .*vocab.txt has 100,000,000 bytes"
    ):
        tokenizer.load(tmp_path, True)
    write(tmp_path / "vocab.txt", [*SPECIALS, "a" * 2000])
    with pytest.raises(UsageError, match="vocab.txt, line 6: 2,000 characters are no"):
        tokenizer.load(tmp_path, True)


def test_save_and_load_round_trip(small, tmp_path):
    small.save(tmp_path / "tokenizer.json")
    loaded = tokenizer.load(tmp_path, True)
    assert loaded.fingerprint == small.fingerprint
    assert loaded.to_str() == small.to_str()
    assert loaded.encode("The unaffable [SEP]").ids == [9, 6, 7, 8, 12, 14, 13]


def test_the_fingerprint_depends_on_vocabulary_and_case(small, tmp_path):
    path = write(tmp_path / "vocab.txt", VOCABULARY)
    other = write(tmp_path / "other.txt", [*VOCABULARY, "dog"])
    tokenizers = [tokenizer.load(path, False), tokenizer.load(other, True), small]
    assert len({each.fingerprint for each in tokenizers}) == 3
    assert tokenizer.load(path, True).fingerprint == small.fingerprint


def test_two_trainings_are_equal_byte_for_byte(tmp_path):
    rng = np.random.default_rng(0)
    letters = [*"abcdefghij", "é", "今"]
    words = ["".join(rng.choice(letters, 5)) for _ in range(400)]
    texts = [" ".join(rng.choice(words, 50)) for _ in range(100)]
    for name in ("one", "two"):
        train_tokenizer.train(texts, 300, True).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_trained_vocabulary_starts_with_specials_and_alphabet():
    trained = train_tokenizer.train(TEXT, 1000, True)
    alphabet = sorted(set("".join(TEXT).lower()) - {" "})
    assert trained.vocabulary[:5] == SPECIALS
    assert trained.vocabulary[5 : 5 + len(alphabet)] == alphabet
    assert "cat" in trained.vocabulary
    assert "##," not in trained.vocabulary  # no punctuation mark continues a word
    assert trained.lowercase
    assert not train_tokenizer.train(TEXT, 1000, False).lowercase


def test_vocabulary_size_limits_alphabet_by_frequency():
    rare = "".join(chr(0x4E00 + i) for i in range(500))
    trained = train_tokenizer.train([rare, "the cat " * 100], 64, True)
    assert trained.vocab_size <= 64
    assert not trained.encode("the cat").ids.count(trained.unk_id)


def test_vocabulary_of_chinese_text_covers_characters():
    many = "".join(chr(0x4E00 + i) for i in range(3000))  # more than an alphabet's 1000
    trained = train_tokenizer.train([CHINESE, many], 8000, True)
    assert trained.unk_id not in trained.encode(CHINESE + many).ids


def test_too_small_vocabulary_is_refused():
    with pytest.raises(UsageError, match="tokenizer.vocab_size=5 cannot hold"):
        train_tokenizer.train(TEXT, 5, True)


def test_a_vocabulary_without_special_tokens_is_refused(tmp_path):
    path = write(tmp_path / "vocab.txt", ["[PAD]", "[UNK]", "[CLS]", "a"])
    with pytest.raises(UsageError, match=r"lacks .* \[SEP\] \[MASK\]$"):
        tokenizer.load(path, True)


def test_windows_line_ends_are_not_in_vocabulary(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes("\r\n".join([*SPECIALS, "a"]).encode())
    assert tokenizer.load(path, True).vocabulary == [*SPECIALS, "a"]


def test_missing_or_binary_vocabulary_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no vocabulary at"):
        tokenizer.load(tmp_path, True)
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot read the vocabulary .*vocab.txt"):
        tokenizer.load(tmp_path, True)


def change(small, path, change):
    content = json.loads(small.to_str())
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_tokenizer_json_of_another_kind_is_refused(small, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(UsageError, match="tokenizer.json is no tokenizer.json"):
        tokenizer.load(path, True)
    words = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    change(small, path, lambda content: content.update(model=words))
    with pytest.raises(UsageError, match="'WordLevel' model; known here are WordPiece"):
        tokenizer.load(path, True)


def test_tokenizer_json_with_missing_id_is_refused(small, tmp_path):
    path = change(
        small,
        tmp_path / "tokenizer.json",
        lambda content: content["model"]["vocab"].update(cat=99),
    )
    with pytest.raises(UsageError, match="ids are not 0 to 16, each once"):
        tokenizer.load(path, True)


def test_tokenizer_json_of_other_case_is_refused(small, tmp_path):
    small.save(tmp_path / "tokenizer.json")
    with pytest.raises(UsageError, match="set --config.tokenizer.lowercase=True"):
        tokenizer.load(tmp_path, False)


def test_padding_and_truncation_in_a_file_are_ignored(small, tmp_path):
    truncation = {
        "direction": "Right",
        "max_length": 2,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    path = change(
        small,
        tmp_path / "tokenizer.json",
        lambda content: content.update(truncation=truncation),
    )
    assert len(tokenizer.load(path, True).encode("the cat the cat").ids) == 4


@given(st.text(alphabet=[*"aceht unfbl[]", "é", "今", "\t", "!"]))
def test_offsets_point_at_the_characters_of_each_piece(small, text):
    encoding = small.encode(text)
    end = 0
    for token, (start, stop) in zip(encoding.tokens, encoding.offsets, strict=True):
        assert end <= start < stop <= len(text)
        end = stop
        if token != "[UNK]":
            piece = text[start:stop].replace("é", "e")
            assert piece == token.removeprefix("##")
    assert small.ids([text]) == [encoding.ids]
    assert [each.ids for each in small.encode_batch([text])] == [encoding.ids]


# The vocabulary of bert-base-uncased, as far as these sentences need it.
BERT_IDS = """
[PAD] 0 [UNK] 100 [CLS] 101 [SEP] 102 [MASK] 103 , 1010 . 1012 ? 1029 a 1037 the 1996
of 1997 and 1998 in 1999 is 2003 it 2009 this 2023 also 2036 its 2049 what 2054
city 2103 here 2182 great 2307 center 2415 china 2859 hot 2980 capital 3007 cold 3147
financial 3361 industrial 3919 weather 4633 fashion 4827 shanghai 8344
"""
SENTENCES = ["It is hot in here.", "This is cold.", "What a great weather."]
QUESTION = "What is the fashion capital of China?"
CONTEXT = (
    "Shanghai is a City in China, it is also a financial center, its fashion capital "
    "and industrial city."
)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    vocabulary = [f"[unused{i}]" for i in range(30_522)]
    pieces = BERT_IDS.split()
    for piece, place in zip(pieces[::2], pieces[1::2], strict=True):
        vocabulary[int(place)] = piece
    return tokenizer.load(
        write(tmp_path_factory.mktemp("bert") / "vocab.txt", vocabulary), True
    )


def test_three_sentences_are_padded_to_the_longest(bert):
    inputs = bert.encode_inputs(SENTENCES, None, 512, pad=False)
    assert inputs["ids"].tolist() == [
        [101, 2009, 2003, 2980, 1999, 2182, 1012, 102],
        [101, 2023, 2003, 3147, 1012, 102, 0, 0],
        [101, 2054, 1037, 2307, 4633, 1012, 102, 0],
    ]
    assert inputs["lengths"].tolist() == [8, 6, 7]


def test_three_sentences_are_cut_to_four_tokens(bert):
    inputs = bert.encode_inputs(SENTENCES, None, 4, pad=True)
    assert inputs["ids"].tolist() == [
        [101, 2009, 2003, 102],
        [101, 2023, 2003, 102],
        [101, 2054, 1037, 102],
    ]
    assert inputs["lengths"].tolist() == [4, 4, 4]


def test_question_and_context_have_types_and_offsets(bert):
    inputs = bert.encode_inputs([QUESTION], [CONTEXT], 512, pad=False)
    [ids], [types], [offsets] = inputs["ids"], inputs["types"], inputs["offsets"]
    assert " ".join(map(str, ids)) == (
        "101 2054 2003 1996 4827 3007 1997 2859 1029 102 8344 2003 1037 2103 1999 2859 "
        "1010 2009 2003 2036 1037 3361 2415 1010 2049 4827 3007 1998 3919 2103 1012 102"
    )
    assert types.tolist() == 10 * [0] + 22 * [1]
    start = CONTEXT.index("Shanghai")
    stop = start + len("Shanghai")
    answer = [
        token
        for token, (begin, end) in enumerate(offsets)
        if types[token] == 1 and begin < stop and end > start
    ]
    assert (answer[0], answer[-1]) == (10, 10)
