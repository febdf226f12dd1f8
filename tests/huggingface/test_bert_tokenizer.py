"""The files of a Hugging Face tokenizer: every key and token is used, refused or told."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.data import tokenizer
from bert_jax.huggingface import bert_tokenizer
from bert_jax.huggingface.bert_tokenizer import KEYS
from bert_jax.run.config import UsageError
from tests import vocabularies
from tests.exchanging import SPECIALS, VOCABULARY

END = len(VOCABULARY)  # the next id


@pytest.fixture
def folder(tmp_path):
    """A directory with a lower-case vocab.txt, to be changed."""
    (tmp_path / "vocab.txt").write_text("".join(f"{x}\n" for x in VOCABULARY))
    write(tmp_path, "tokenizer_config.json", {"do_lower_case": True})
    return tmp_path


def write(folder, name, content):
    (folder / name).write_text(json.dumps(content))


def read(folder):
    """The tokenizer, and what was said of it."""
    said: list[str] = []
    return bert_tokenizer.read(folder, said.append), said


def refuses(folder, said):
    with pytest.raises(UsageError, match=said) as refused:
        read(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("added_tokens.json", {"[E1]": END}),
        ("special_tokens_map.json", {"additional_special_tokens": ["[E1]"]}),
        ("tokenizer_config.json", {"extra_special_tokens": ["[E1]"]}),
        ("tokenizer_config.json", {"extra_special_tokens": {"entity_token": "[E1]"}}),
        ("tokenizer_config.json", {"entity_token": "[E1]"}),
        ("tokenizer_config.json", {"bos_token": {"content": "[E1]"}}),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {str(END): {"content": "[E1]", "special": True}}},
        ),
    ],
)
def test_an_added_token_of_any_file_is_honoured(folder, name, content):
    """FAULTS 17."""
    rules = {"do_lower_case": True} if name == "tokenizer_config.json" else {}
    write(folder, name, rules | content)
    found, said = read(folder)
    assert found.tokenizer.vocab_size == END + 1
    assert found.tokenizer.ids(["the [E1] king"])[0][1] == END
    assert said == []


def test_a_token_of_the_vocabulary_can_be_made_special(folder):
    write(folder, "special_tokens_map.json", {"additional_special_tokens": ["king"]})
    words = read(folder)[0].tokenizer
    assert words.vocab_size == END
    assert words.special[words.vocabulary.index("king")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("added_tokens.json", {"[E1]": END + 5}, rf"has the id {END + 5}, and by the"),
        (
            "added_tokens.json",
            {"king": 3},
            "'king' has the id 3, and by the vocabulary",
        ),
        ("added_tokens.json", {"[E1]": "x"}, r"'\[E1\]' must have an id"),
        ("added_tokens.json", {"[E1]": None}, r"'\[E1\]' must have an id"),
        ("added_tokens.json", {"a\nb": END}, "holds a line break"),
        ("added_tokens.json", {" ": END}, "an added token is empty"),
        ("added_tokens.json", [], "added_tokens.json is not what"),
        ("special_tokens_map.json", {"cls_token": "<s>"}, "cls_token is '<s>'; only"),
        (
            "special_tokens_map.json",
            {"additional_special_tokens": "x"},
            "must be a list",
        ),
        (
            "special_tokens_map.json",
            {"additional_special_tokens": [5]},
            "'5' is no token",
        ),
        ("tokenizer_config.json", {"added_tokens_decoder": ["x"]}, "must be an object"),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"5": 5}},
            "'5' is no token",
        ),
        (
            "tokenizer_config.json",
            {"bos_token": {"content": "a", "x": 1}},
            "'x' of a tok",
        ),
        ("tokenizer_config.json", {"mask_token": "<mask>"}, "mask_token is '<mask>'"),
    ],
    ids=str,
)
def test_an_added_token_that_does_not_fit_is_named(folder, name, content, said):
    """FAULTS 17."""
    write(folder, name, content)
    refuses(folder, said)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tokenizer_class", "BertJapaneseTokenizer"),
        ("tokenizer_class", "RobertaTokenizer"),
        ("word_tokenizer_type", "mecab"),
        ("subword_tokenizer_type", "character"),
        ("mecab_kwargs", {"mecab_dic": "ipadic"}),
        ("never_split", ["[X]"]),
        ("do_basic_tokenize", False),
        ("do_lower_case", "false"),
        ("strip_accents", 1),
        ("wordpieces_prefix", "@@"),
        ("split_special_tokens", True),
        ("padding_side", "left"),
        ("auto_map", {"AutoTokenizer": ["tokenizer.Mine", None]}),
    ],
)
def test_a_rule_of_another_tokenizer_is_named(folder, key, value):
    """FAULTS 18."""
    rules = {"do_lower_case": True, "tokenizer_class": "BertTokenizer"}
    write(folder, "tokenizer_config.json", rules)
    read(folder)
    write(folder, "tokenizer_config.json", rules | {key: value})
    refuses(folder, f"tokenizer_config.json: {key} is ")


@pytest.mark.parametrize(
    ("switches", "text", "tokens"),
    [
        ({}, "Kíng", ["king"]),
        ({"strip_accents": False}, "Kíng", ["[UNK]"]),
        ({"do_lower_case": False}, "king kíng", ["king", "[UNK]"]),
        ({"do_lower_case": False, "strip_accents": True}, "kíng", ["king"]),
        ({"tokenize_chinese_chars": False}, "a今", ["[UNK]"]),
        ({}, "a今", ["a", "[UNK]"]),
    ],
)
def test_switches_of_a_vocab_txt_are_honoured(folder, switches, text, tokens):
    write(folder, "tokenizer_config.json", {"do_lower_case": True} | switches)
    found, _ = read(folder)
    assert found.tokenizer.encode(text).tokens == tokens
    lowercase = found.tokenizer.lowercase
    strips = {"auto": lowercase, "always": True, "never": False}[found.strip_accents]
    assert strips == switches.get("strip_accents", lowercase)


def test_a_cased_vocabulary_must_say_so(folder):
    """FAULTS 19."""
    lines = [*VOCABULARY, "Anna"]
    (folder / "vocab.txt").write_text("\n".join(lines), encoding="utf-8")
    for rules in ({}, {"do_lower_case": None}):
        write(folder, "tokenizer_config.json", rules)
        refuses(folder, "tokens with capitals, such as 'Anna', and no tokenizer_config")
    (folder / "tokenizer_config.json").unlink()
    refuses(folder, "tokens with capitals, such as 'Anna', and no tokenizer_config")
    write(folder, "tokenizer_config.json", {"do_lower_case": True})
    assert (
        "which no text gives as do_lower_case is true: 1, such as 'Anna'"
        in read(folder)[1][0]
    )
    write(folder, "tokenizer_config.json", {"do_lower_case": False})
    assert read(folder)[0].tokenizer.encode("Anna").tokens == ["Anna"]


def test_reading_in_lower_case_unasked_is_told(folder):
    """FAULTS 19."""
    (folder / "tokenizer_config.json").unlink()
    _, said = read(folder)
    assert said == [
        "no do_lower_case in tokenizer_config.json: texts are read in lower case"
    ]


@pytest.mark.parametrize(
    "rules",
    [
        {"do_lower_case": False},
        {"strip_accents": False},
        {"tokenize_chinese_chars": False},
    ],
)
def test_two_files_that_disagree_are_named(folder, rules):
    read(folder)[0].tokenizer.save(folder / "tokenizer.json")
    assert read(folder)[1] == []
    write(folder, "tokenizer_config.json", rules)
    [key] = rules
    refuses(
        folder, f"tokenizer_config.json: {key} is False, and tokenizer.json does as"
    )


def test_the_most_tokens_are_those_of_the_rules(folder):
    assert read(folder)[0].length is None
    for most, length in ((12, 12), (10**30, 10**30), (512.0, 512)):
        write(
            folder,
            "tokenizer_config.json",
            {"do_lower_case": True, "model_max_length": most},
        )
        assert read(folder)[0].length == length
    write(folder, "tokenizer_config.json", {"model_max_length": "512"})
    refuses(folder, "model_max_length must be a number, not '512'")


@given(
    st.dictionaries(
        st.sampled_from([*KEYS.used, *KEYS.only, *KEYS.idle]) | st.text(max_size=9),
        st.none() | st.booleans() | st.integers() | st.text() | st.just([1]),
        max_size=4,
    )
)
def test_no_key_of_a_tokenizer_is_dropped_unsaid(tmp_path_factory, changes):
    """Kind A: a key is used, or refused or told by its name, or changes no id."""
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    write(folder, "tokenizer_config.json", changes)
    unknown = changes.keys() - (KEYS.used | KEYS.only.keys() | KEYS.idle)
    unknown = {key for key in unknown if not key.endswith("_token")}
    try:
        _, said = read(folder)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert all(any(repr(key) in line for line in said) for key in unknown)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: None,
        lambda content: content["model"].update(max_input_chars_per_word=3),
        lambda content: content.update(pre_tokenizer={"type": "WhitespaceSplit"}),
        lambda content: content.update(normalizer={"type": "Lowercase"}),
    ],
)
def test_an_export_gives_the_same_ids(folder, tmp_path_factory, change):
    """By the class that transformers would read tokenizer.json with as it is."""
    write(folder, "special_tokens_map.json", {"additional_special_tokens": ["[E1]"]})
    content = json.loads(read(folder)[0].tokenizer.to_str())
    change(content)
    words = tokenizer.parse(json.dumps(content), "tokenizer.json")
    target = tmp_path_factory.mktemp("ours")
    bert_tokenizer.write(
        target, words, vocabularies.model_of(words), {"padding_side": "right"}
    )
    again, said = read(target)
    assert said == []
    texts = ["the [E1] king. KÍNG", "stone," * 20]
    assert again.tokenizer.ids(texts) == words.ids(texts)
    rules = json.loads((target / "tokenizer_config.json").read_text())
    plain = content == json.loads(read(folder)[0].tokenizer.to_str())
    assert (rules["tokenizer_class"] == "BertTokenizer") == plain
    assert plain or "token_type_ids" in rules["model_input_names"]
    assert rules["padding_side"] == "right"
    assert rules["additional_special_tokens"] == ["[E1]"]
    lines = (target / "vocab.txt").read_text().splitlines()
    assert lines == words.vocabulary and lines[: len(SPECIALS)] == SPECIALS
