"""WordPiece, byte-level BPE and Unigram: what must hold for every kind of tokenizer."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bert_jax.data import tokenizer, train_tokenizer, vocabulary
from bert_jax.data.tokenizer import NONE
from bert_jax.run.config import UsageError
from tests import vocabularies

SENTENCE = "The cat's “naïve” dogs, unaffable!"
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
MANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(text=TEXTS)
@MANY
def test_offsets_lie_in_the_text_in_order(words, text):
    encoding = words.encode(text)
    starts = [start for start, _ in encoding.offsets]
    assert starts == sorted(starts)
    for id_, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
        assert 0 <= start <= end <= len(text)
        assert 0 <= id_ < words.vocab_size
        assert not text[start:end][:1].isspace()
    assert words.ids([text]) == [encoding.ids]


@given(text=TEXTS)
@MANY
def test_no_text_writes_a_special_token(words, text):
    """FAULTS 16: but for the mask and a model's added tokens."""
    frame, named = words.roles.frame, [words.roles.pad]
    parts = [frame.cls, frame.sep, *named, f"{frame.sep}{text}", f" {frame.cls} "]
    for part in (text, *parts):
        ids = words.encode(part).ids
        assert not {words.cls_id, words.sep_id, words.pad_id} & set(ids)


@given(
    text=TEXTS.filter(lambda text: not text.startswith(" ") and "[MASK]" not in text)
)
def test_byte_bpe_gives_back_every_text(tokenizers_by_kind, text):
    for kind in ("byte_bpe", "roberta", "gpt2"):
        words = tokenizers_by_kind[kind]
        assert words.decode(words.encode(text).ids) == text


def test_a_stored_tokenizer_is_the_same(words):
    again = tokenizer.parse(words.to_str(), "tokenizer.json")
    assert again.to_str() == words.to_str()
    assert again.fingerprint == words.fingerprint
    assert again.roles == words.roles
    assert again.ids([SENTENCE]) == words.ids([SENTENCE])


def opened(words, text: str) -> list[str]:
    """What stands at the tokens that open a word."""
    encoding = words.encode(words.following(text))
    more = len(words.following(""))
    spans = zip(encoding.ids, encoding.offsets, strict=True)
    return [
        text[max(a - more, 0) :][:1]
        for id_, (a, b) in spans
        if b > a and not words.continuation[id_]
    ]


def test_words_open_where_they_start(words):
    """Whole words and punctuation; a space that is a token opens the word after it."""
    found = opened(words, "the cat, the unaffable dogs sat.")
    assert [c for c in found if c in "tcuds,."] == [*"tc,tuds."]


def test_special_tokens_by_their_roles(tokenizers_by_kind):
    expected = {
        "word_piece": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        "byte_bpe": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        "roberta": ("<pad>", "<unk>", "<s>", "</s>", "<mask>"),
        "gpt2": ("<|endoftext|>",) * 4 + (None,),
        "unigram": ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"),
    }
    for kind, names in expected.items():
        words = tokenizers_by_kind[kind]
        ids = words.pad_id, words.unk_id, words.cls_id, words.sep_id, words.mask_id
        found = [words.vocabulary[i] if i != NONE else None for i in ids]
        assert tuple(found) == names, kind
        assert all(words.special[i] for i in ids if i != NONE)
        assert words.mask_token == (names[4] or "")


def test_a_missing_mask_is_one_line(tokenizers_by_kind):
    with pytest.raises(
        UsageError, match="this tokenizer has no mask token: a masked LM"
    ):
        tokenizers_by_kind["gpt2"].check_mask()
    tokenizers_by_kind["roberta"].check_mask()


def test_rows_have_the_frame_of_the_file(words):
    first, second = words.ids(["the cat", "a dog"])
    row = words.framed(first, second)
    assert row == [words.cls_id, *first, *words.separator, *second, words.sep_id]
    assert len(row) - len(first + second) == words.special_count(paired=True)
    segments = words.segments(np.array(row)).tolist()
    size = 1 + len(first) + len(words.separator)
    assert segments == [0] * size + [1] * (len(second) + 1)
    alone = words.framed(first, None)
    assert len(alone) - len(first) == words.special_count(paired=False) == 2
    assert not words.segments(np.array(alone)).any()
    inputs = words.encode_inputs(["the cat"], ["a dog"], 64, pad=False)
    assert inputs["ids"][0].tolist() == row
    assert inputs["types"][0].tolist() == [s * words.pair_type for s in segments]
    assert len(inputs["offsets"][0]) == len(row)


def test_separators_and_types_of_pairs(tokenizers_by_kind):
    assert len(tokenizers_by_kind["roberta"].separator) == 2
    assert tokenizers_by_kind["roberta"].pair_type == 0
    for kind in ("word_piece", "byte_bpe", "gpt2", "unigram"):
        words = tokenizers_by_kind[kind]
        assert (words.separator, words.pair_type) == ((words.sep_id,), 1)


@pytest.mark.parametrize("length", [8, 9, 12, 13, 30])
def test_long_pairs_fill_their_rows(words, length):
    first, second = "the cat sat on the mat " * 9, "dogs ran " * 20
    inputs = words.encode_inputs([first, "a"], [second, second], length, pad=True)
    assert inputs["ids"].shape == (2, length)
    assert inputs["lengths"].tolist() == [length, length]
    assert inputs["cut"] == [True, True]


def test_the_mask_takes_its_space(tokenizers_by_kind):
    """A stray space before the mask made masks harder to fill (RoBERTa)."""
    for kind, name in [
        ("byte_bpe", "[MASK]"),
        ("roberta", "<mask>"),
        ("unigram", "[MASK]"),
        ("word_piece", "[MASK]"),
    ]:
        words = tokenizers_by_kind[kind]
        found = words.encode(f"the {name} sat")
        place = found.ids.index(words.mask_id)
        the, sat = words.ids(["the", words.following("sat")])
        assert found.ids[:place] == the
        assert found.ids[place + 1 :] == sat
        assert found.offsets[place] == (4, 4 + len(name))


def test_words_of_a_text_are_encoded_alone(words):
    text = "the dogs , sat"
    encodings = words.encode_words(text.split())
    flat = [id_ for each in encodings for id_ in each.ids]
    assert flat == words.ids([words.following(text)])[0]
    for word, each in zip(text.split(), encodings, strict=True):
        spans = [span for span in each.offsets if span[1] > span[0]]
        assert (spans[0][0], spans[-1][1]) == (0, len(word))


def test_shown_tokens_mark_spaces(tokenizers_by_kind):
    bpe, pieces = tokenizers_by_kind["byte_bpe"], tokenizers_by_kind["unigram"]
    assert {"▁the", "▁naïve", "\\xe2"} <= set(bpe.display_tokens)
    assert {"▁the", "aff"} <= set(pieces.display_tokens)
    for words in (bpe, pieces, tokenizers_by_kind["word_piece"]):
        assert {"the", "cat"} <= set(words.word_tokens)
        assert "##s" not in words.word_tokens
    assert all(map(str.isprintable, bpe.display_tokens))


# Training.


def test_two_trainings_of_bytes_are_equal(tmp_path):
    rng = np.random.default_rng(0)
    letters = [*"abcdefghij", "é", "今", "😀"]
    lines = ["".join(rng.choice(letters, 5)) for _ in range(400)]
    texts = [" ".join(rng.choice(lines, 50)) for _ in range(60)]
    for name in ("one", "two"):
        made = train_tokenizer.train(texts, 600, False, model="byte_bpe")
        made.save(tmp_path / name)
        assert made.vocab_size == 600
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_too_few_tokens_for_the_bytes():
    with pytest.raises(UsageError, match="vocab_size=260 cannot hold the 256 bytes"):
        train_tokenizer.train(["a"], 260, True, model="byte_bpe")
    assert train_tokenizer.train(["a"], 261, True, model="byte_bpe").vocab_size == 261


@pytest.mark.parametrize("strip_accents", ["auto", "always", "never"])
@pytest.mark.parametrize("lowercase", [True, False])
def test_bytes_are_lowered_and_stripped_if_asked(lowercase, strip_accents):
    made = train_tokenizer.train(["É"] * 3, 300, lowercase, strip_accents, "byte_bpe")
    strips = {"auto": lowercase, "always": True, "never": False}[strip_accents]
    assert (made.lowercase, made.strips_accents) == (lowercase, strips)
    shown = made.decode(made.encode("É").ids)
    assert (
        shown == {(1, 1): "e", (1, 0): "é", (0, 1): "E", (0, 0): "É"}[lowercase, strips]
    )
    assert ("normalizer" in made.to_str()) and made.encode("É").offsets[-1][1] == 1


# Loading.


def test_a_model_without_type_is_bpe(tokenizers_by_kind):
    """huggingface/transformers issue 47706."""
    words = tokenizers_by_kind["roberta"]
    content = json.loads(words.to_str())
    del content["model"]["type"]
    read = tokenizer.parse(json.dumps(content), "f.json")
    assert read.fingerprint == words.fingerprint


@pytest.mark.parametrize(
    ("kind", "place", "part", "said"),
    [
        ("roberta", "pre_tokenizer", {"type": "BertPreTokenizer"}, "is not known here"),
        ("roberta", "pre_tokenizer", None, "has no pre_tokenizer"),
        ("roberta", "pre_tokenizer", {"type": "Sequence", "pretokenizers": []}, "one Byte"),
        (
            "roberta",
            "pre_tokenizer",
            {"type": "ByteLevel", "use_regex": False},
            "use_regex is False",
        ),
        ("roberta", "decoder", {"type": "Fuse"}, "the decoder 'Fuse' is not known"),
        ("roberta", "model", {"byte_fallback": True}, "byte_fallback is True"),
        ("roberta", "model", {"dropout": 0.1}, "dropout is 0.1"),
        ("roberta", "model", {"end_of_word_suffix": "</w>"}, "end_of_word_suffix is"),
        ("roberta", "model", {"more": 1}, "the key 'more' is not known"),
        ("roberta", "model", {"merges": [["a"]]}, "f.json: model is not what it should"),
        ("unigram", "model", {"byte_fallback": True}, "byte_fallback is True"),
        ("unigram", "model", {"unk_id": None}, "f.json: model is not what it should"),
        ("unigram", "model", {"vocab": [["a", -1.0]] * 2}, "holds a token twice"),
        ("unigram", "pre_tokenizer", {"type": "ByteLevel"}, "is not known here"),
        (
            "unigram",
            "pre_tokenizer",
            {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"},
            "replacement is '_'",
        ),
        (
            "unigram",
            "normalizer",
            {"type": "Replace", "pattern": {"Regex": "(a+)+b"}, "content": ""},
            "is not known here",
        ),
        ("unigram", "normalizer", {"type": "Prepend", "prepend": "x"}, "is not known here"),
        ("gpt2", "post_processor", {"type": "ByteLevel", "x": 1}, "frames rows otherwise"),
        (
            "gpt2",
            "post_processor",
            {"type": "Sequence", "processors": [{"type": "Other"}]},
            "frames rows otherwise",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_a_part_of_another_kind_is_named(tokenizers_by_kind, kind, place, part, said):
    content = json.loads(tokenizers_by_kind[kind].to_str())
    if place == "model":
        part = content["model"] | part
    with pytest.raises(UsageError, match=said) as refused:
        tokenizer.parse(json.dumps(content | {place: part}), "f.json")
    assert "\n" not in str(refused.value)


def test_a_special_token_that_merges_make_is_refused(tokenizers_by_kind):
    """A text could write it."""
    content = json.loads(tokenizers_by_kind["roberta"].to_str())
    [number] = [i for t, i in content["model"]["vocab"].items() if t == "Ġthe"]
    content["post_processor"] |= {"cls": ["Ġthe", number]}
    with pytest.raises(UsageError, match="the tokenizer is no tokenizer.json: .*Ġthe"):
        tokenizer.parse(json.dumps(content), "f.json")


@given(data=st.data())
@MANY
def test_a_damaged_file_is_read_or_refused(words, data):
    """FAULTS 49: neither a traceback nor a panic of the library."""
    content = json.loads(words.to_str())
    place, key = content, data.draw(st.sampled_from(sorted(content)))
    while isinstance(place[key], dict | list) and len(place[key]):
        if data.draw(st.integers(0, 4)) == 0:
            break
        place = place[key]
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys))
    values = [
        None,
        True,
        -1,
        2.5,
        "",
        "a\nb",
        "[SEP]",
        [],
        {},
        [["a", 1]],
        {"type": "x"},
    ]
    place[key] = data.draw(st.sampled_from(values))
    try:
        read = tokenizer.parse(json.dumps(content), "f.json")
        read.decode(read.encode("the cat’s [MASK] <mask>").ids)
    except UsageError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("pattern", "content"), [({"String": "``"}, '"'), ({"Regex": " {2,}"}, " ")]
)
def test_replacements_of_sentencepiece_are_known(tokenizers_by_kind, pattern, content):
    parts = json.loads(tokenizers_by_kind["unigram"].to_str())
    parts["normalizer"] = {"type": "Replace", "pattern": pattern, "content": content}
    read = tokenizer.parse(json.dumps(parts), "f.json")
    assert read.ids(["the  cat"]) is not None


@pytest.mark.parametrize("name", ["spiece.model", "sentencepiece.bpe.model"])
def test_a_model_of_sentencepiece_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"\n\x0e")
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(
            UsageError, match=f"{name} is a model of .* save_pretrained"
        ):
            tokenizer.load(path, True)


def test_a_folder_of_merges_is_read(tokenizers_by_kind, tmp_path):
    for kind in ("roberta", "gpt2"):
        words = tokenizers_by_kind[kind]
        model = json.loads(words.to_str())["model"]
        (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
        lines = [" ".join(pair) for pair in model["merges"]]
        text = "\n".join(["#version: 0.2", *lines, ""])
        (tmp_path / "merges.txt").write_text(text, encoding="utf-8")
        read = tokenizer.load(tmp_path, False)
        assert read.ids([SENTENCE]) == words.ids([SENTENCE])
        assert read.roles == words.roles
    with pytest.raises(UsageError, match="set --config.tokenizer.lowercase=False"):
        tokenizer.load(tmp_path, True)
    (tmp_path / "merges.txt").write_text("a b c")
    with pytest.raises(UsageError, match="merges.txt: 'a b c' is no merge"):
        tokenizer.load(tmp_path, False)
    (tmp_path / "merges.txt").unlink()
    with pytest.raises(UsageError, match="cannot read the vocabulary .*merges.txt"):
        tokenizer.load(tmp_path, False)


def test_the_real_vocabulary_of_gpt2():
    """The ids of the docstring of GPT2Tokenizer in transformers."""
    folder = vocabularies.real_gpt2()
    vocab, merges = (
        (folder / name).read_text(encoding="utf-8")
        for name in ("encoder.json", "vocab.bpe")
    )
    words = tokenizer.Tokenizer(vocabulary.read_merges(vocab, merges, "gpt2", False))
    texts = ["Hello world", " Hello world"]
    assert words.ids(texts) == [[15496, 995], [18435, 995]]
    assert words.vocab_size == 50257
    assert words.pad_id == words.cls_id == words.sep_id == 50256
    for text in (SENTENCE, "今天 👍🏽\n\n x"):
        assert words.decode(words.encode(text).ids) == text
