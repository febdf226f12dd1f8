"""Vocabulary files that others made: known parts are read as they say, others named."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_collections import ConfigDict
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from bert_jax.data import tokenizer, vocabulary
from bert_jax.data.vocabulary import SPECIALS
from bert_jax.run.config import UsageError
from bert_jax.tasks import kinds
from bert_jax.tasks.records import Choice, Question, Sentence, Tagged
from bert_jax.tasks.words import passage_of

TOKENS = [*SPECIALS, "[", "]", "anna", "lives", "e", "##1", "mask", "sep", "cat"]


def library(**changes) -> Tokenizer:
    """A tokenizer.json of these tokens, with a model of these settings."""
    ids = {token: number for number, token in enumerate(TOKENS)}
    made = Tokenizer(models.WordPiece(ids, **{"unk_token": "[UNK]"} | changes))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


def content(**changes) -> str:
    return json.dumps(json.loads(library().to_str()) | changes)


@pytest.fixture(scope="module")
def marked():
    """A tokenizer with special tokens beside those of BERT."""
    made = library()
    made.add_special_tokens(["[E1]", "[E2]"])
    made.add_tokens([AddedToken("newword", normalized=True)])
    return tokenizer.parse(made.to_str(), "tokenizer.json")


def test_added_special_tokens_stay_single_tokens(marked):
    """FAULTS 16: training, predict and score read `ids`, the notebook `encode_inputs`."""
    text = "[E1] Anna [E2] lives NewWord"
    ids = [14, 7, 15, 8, 16]
    assert marked.ids([text]) == [ids]
    assert marked.encode(text).ids == ids
    assert [each.ids for each in marked.encode_batch([text])] == [ids]
    framed = marked.encode_inputs([text], None, 16, pad=False)["ids"].tolist()
    assert framed == [[marked.cls_id, *ids, marked.sep_id]]
    assert tokenizer.parse(marked.to_str(), "again").ids([text]) == [ids]
    assert marked.special[[14, 15]].all() and not marked.special[16]
    assert marked.decode(framed[0]) == "anna lives newword"


PARTS = ["[E1]", "[MASK]", "[SEP]", "[CLS]", "[PAD]", "[e2]", "anna", ".", " "]


@given(st.lists(st.sampled_from(PARTS), min_size=1))
def test_a_text_has_one_encoding(marked, parts):
    """FAULTS 16: framed, by its words, and as every kind of task has it; no door reads
    [SEP] of a text as the end of one."""
    text = "".join(parts)
    ids = marked.encode(text).ids
    framed = marked.encode_inputs([text], None, 200, pad=False)["ids"][0].tolist()
    assert framed[1:-1] == ids == marked.ids([text])[0]
    assert not {marked.sep_id, marked.cls_id, marked.pad_id} & set(ids)
    assert ids.count(marked.mask_id) == parts.count("[MASK]")
    spans = passage_of(text, marked).words
    words = [text[start:end] for start, end in spans]
    assert [id_ for row in marked.ids(words) for id_ in row] == ids
    task = ConfigDict({"stride": 8, "max_question": 8})
    for kind, record, row in [
        ("classify", Sentence("", text, "", ""), framed),
        ("regress", Sentence("", text, "", ""), framed),
        ("tag", Tagged("", tuple(words), ()), framed),
        ("choose", Choice("", "anna", (text, text), ""), [*ids, marked.sep_id]),
        ("span", Question("", "", "anna", text, ()), [*ids, marked.sep_id]),
    ]:
        made = kinds.kind(kind)((), task).features([record], marked, 200)
        assert made.ids[made.starts[1] - len(row) : made.starts[1]].tolist() == row


def test_vocab_txt_is_read_as_transformers_does(tmp_path, capsys):
    """FAULTS 32: a byte order mark is none, and of duplicates the last counts."""
    lines = [*TOKENS, "anna", "", "", "king"]
    text = "\ufeff" + "\n".join(lines) + "\n"
    (tmp_path / "vocab.txt").write_text(text, encoding="utf-8")
    read = tokenizer.load(tmp_path / "vocab.txt", True)
    assert read.vocab_size == len(lines)
    assert read.ids(["anna king cat"]) == [[len(TOKENS), len(lines) - 1, 13]]
    assert read.pad_id == 0
    assert read.special[[7, -2, -3]].all()
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("has duplicates: 'anna': the last line of each counts")
    assert tokenizer.parse(read.to_str(), "again").vocabulary == read.vocabulary


@pytest.mark.parametrize(
    ("normalizer", "pre_tokenizer"),
    [
        (normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase()]), None),
        (None, pre_tokenizers.Whitespace()),
        (None, pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit()])),
    ],
)
def test_known_parts_are_read_as_they_say(normalizer, pre_tokenizer):
    made = library()
    made.normalizer = normalizer or made.normalizer
    made.pre_tokenizer = pre_tokenizer or made.pre_tokenizer
    read = tokenizer.parse(made.to_str(), "tokenizer.json")
    assert read.ids(["Anna lives"]) == [made.encode("Anna lives").ids]


@pytest.mark.parametrize(
    ("place", "part"),
    [
        ("normalizer", normalizers.Replace(Regex("(a+)+b"), "")),
        ("normalizer", normalizers.Prepend("x")),
        ("normalizer", normalizers.Sequence([normalizers.Replace("a", "b")])),
        ("pre_tokenizer", pre_tokenizers.Split(Regex("(a+)+b"), "isolated")),
        ("pre_tokenizer", pre_tokenizers.ByteLevel()),
        ("pre_tokenizer", pre_tokenizers.Sequence([pre_tokenizers.Metaspace()])),
    ],
)
def test_a_part_that_is_not_known_is_named(place, part):
    """FAULTS 49: a regular expression of a file is never run."""
    made = library()
    setattr(made, place, part)
    with pytest.raises(UsageError, match=f"f.json: the {place} .* is not known here"):
        tokenizer.parse(made.to_str(), "f.json")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("continuing_subword_prefix", "@@"), ("unk_token", "cat")],
)
def test_another_word_piece_is_read(setting, value):
    """FAULTS 28: its prefix and its unknown token were taken for BERT's."""
    made = library(**{setting: value})
    read = tokenizer.parse(made.to_str(), "f.json")
    ids = [made.encode(text).ids for text in ("anna1", "what", "e1")]
    assert read.ids(["anna1", "what", "e1"]) == ids
    assert read.vocabulary[read.unk_id] == (
        value if setting == "unk_token" else "[UNK]"
    )
    assert read.continuation.any() == (setting == "unk_token")


def test_an_unknown_token_must_be_a_token():
    """FAULTS 28."""
    made = library(unk_token="[E]")
    with pytest.raises(UsageError, match=r"f.json lacks the special tokens \[E\]"):
        tokenizer.parse(made.to_str(), "f.json")


@pytest.mark.parametrize("token", ["new\nline", "\r"])
def test_a_token_with_a_line_break_is_refused(token):
    """FAULTS 49: no line of a vocab.txt could hold it."""
    made = library()
    made.add_tokens([token])
    with pytest.raises(UsageError, match="f.json: the token .* holds a line break"):
        tokenizer.parse(made.to_str(), "f.json")


@pytest.mark.parametrize(
    ("single", "pair"),
    [
        ("$A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
        ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]"),
        ("[CLS] $A [SEP]", "[CLS] $A [SEP] [SEP] [SEP] $B:1 [SEP]:1"),
        ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:2 [SEP]:2"),
        ("[CLS]:1 $A [SEP]", "[CLS]:1 $A [SEP] $B:1 [SEP]:1"),
    ],
)
def test_a_frame_of_another_kind_is_refused(single, pair):
    made, ends = library(), [("[CLS]", 2), ("[SEP]", 3)]
    usual = ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    made.post_processor = TemplateProcessing(*usual, special_tokens=ends)
    tokenizer.parse(made.to_str(), "f.json")
    made.post_processor = TemplateProcessing(single, pair, special_tokens=ends)
    with pytest.raises(
        UsageError, match="the post_processor 'TemplateProcessing' frames"
    ):
        tokenizer.parse(made.to_str(), "f.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"added_tokens": [{"id": 1}]},
        {"added_tokens": 5},
        {"model": []},
        {"model": {"type": "WordPiece"}},
        {"model": {"vocab": {"a": "b"}}},
        {"normalizer": "BertNormalizer"},
        {"normalizer": {"type": "BertNormalizer", "clean_text": 5}},
        {"normalizer": {"type": "Sequence", "normalizers": 5}},
        {"normalizer": {"type": "BertNormalizer", "speed": True}},
        {"normalizer": {"type": ["BertNormalizer"]}},
        {"pre_tokenizer": {"type": "Digits", "individual_digits": {}}},
        {"post_processor": {"type": "TemplateProcessing", "single": 5}},
        {"post_processor": {"type": "RobertaProcessing"}},
        {"extra": 1},
    ],
    ids=str,
)
def test_a_tokenizer_json_made_wrong_is_one_line(changes):
    """FAULTS 49: neither a traceback nor a panic of the library."""
    with pytest.raises(UsageError, match="^f.json") as refused:
        tokenizer.parse(content(**changes), "f.json")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("added", "message"),
    [
        (
            {"content": "cat", "id": 14},
            "added token 'cat' has the id 14, and in the vo",
        ),
        ({"content": "[E1]", "id": 20}, "its ids are not 0 to 14, each once"),
    ],
)
def test_an_added_token_of_another_id_is_named(added, message):
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    token = dict.fromkeys(flags, False) | added
    with pytest.raises(UsageError, match=f"f.json.*{message}"):
        tokenizer.parse(content(added_tokens=[token]), "f.json")


@given(st.text(alphabet=string.ascii_letters + "\n[]{}\ufeff#", max_size=40))
def test_any_vocab_txt_is_read_or_refused(text):
    try:
        ids, message = vocabulary.read_lines("\n".join(SPECIALS) + "\n" + text, "v.txt")
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert sorted(ids.values()) == list(range(len(ids)))
        assert len(message) <= 1
