"""The tokenizer of a Hugging Face directory, of all its files, each way."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tokenizers

from bert_jax.data import vocabulary
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.data.vocabulary import SPECIALS
from bert_jax.huggingface import added_tokens, card, keys
from bert_jax.huggingface import files as directory
from bert_jax.huggingface.added_tokens import Added
from bert_jax.huggingface.keys import Keys, Only, Say
from bert_jax.run import files
from bert_jax.run.config import UsageError

VOCABULARY, TOKENIZER_JSON = "vocab.txt", "tokenizer.json"
RULES, NAMES = "tokenizer_config.json", "special_tokens_map.json"
SWITCHES = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
NAMED = {f"{token.strip('[]').lower()}_token": token for token in SPECIALS}
MORE = ("additional_special_tokens", "extra_special_tokens")
UNUSUAL = "give a tokenizer.json of the parts of BERT's"
ONLY = {
    **{name: Only((token,)) for name, token in NAMED.items()},
    "tokenizer_class": card.ONLY["tokenizer_class"],
    "auto_map": card.ONLY["auto_map"],
    "do_basic_tokenize": Only((True,), UNUSUAL),
    "do_word_tokenize": Only((True,), UNUSUAL),
    "do_subword_tokenize": Only((True,), UNUSUAL),
    "word_tokenizer_type": Only(("basic",), UNUSUAL),
    "subword_tokenizer_type": Only(("wordpiece",), UNUSUAL),
    "never_split": Only((), "name such tokens in additional_special_tokens"),
    "mecab_kwargs": Only((), UNUSUAL),
    "sudachi_kwargs": Only((), UNUSUAL),
    "jumanpp_kwargs": Only((), UNUSUAL),
    "wordpieces_prefix": Only((vocabulary.PREFIX,)),
    "clean_text": Only((True,), "give a tokenizer.json, which can say so"),
    "split_special_tokens": Only((False,)),
    "add_prefix_space": Only((False,)),
    "add_bos_token": Only((False,)),
    "add_eos_token": Only((False,)),
    "padding_side": Only(("right",)),
    "truncation_side": Only(("right",)),
    "init_inputs": Only(()),
    "fast_tokenizer_files": Only(()),
    "model_specific_special_tokens": Only(()),
}
IDLE = """
    _commit_hash _name_or_path backend chat_template clean_up_tokenization_spaces
    device_map files_loaded from_slow full_tokenizer_file is_local language
    local_files_only max_length model_type name_or_path pad_to_multiple_of
    pad_token_type_id padding processor_class return_tensors slow_tokenizer_class
    special_tokens_map_file stride tokenizer_file tokenizer_type truncation
    truncation_strategy trust_remote_code use_fast verbose vocab_file
"""
KEYS = Keys(
    used=frozenset(
        [*SWITCHES, *MORE, "added_tokens_decoder", "bos_token", "eos_token"]
        + ["max_len", "model_input_names", "model_max_length"]
    ),
    only=ONLY,
    idle=frozenset(IDLE.split()),
)
# What was true of their files alone, and what tokenizer.json holds.
NOT_KEPT = {"_commit_hash", "_name_or_path", "name_or_path", "tokenizer_file"}
NOT_KEPT |= {"special_tokens_map_file", "vocab_file", "added_tokens_decoder", *MORE}


class Read(NamedTuple):
    """strip_accents: as config.tokenizer has it. length: the most tokens that it gives
    the model, where it says so."""

    tokenizer: Tokenizer
    strip_accents: str
    length: int | None
    kept: dict[str, Any]  # of tokenizer_config.json, for an export to write back


def read(source: Path, say: Say) -> Read:
    """Raises UsageError for what would be read otherwise than transformers does."""
    rules = directory.read_optional(source, RULES)
    names = directory.read_optional(source, NAMES)
    for name, given in ((RULES, rules), (NAMES, names)):
        keys.check(KEYS, _plain(given), name, say)
    if (source / TOKENIZER_JSON).exists() or (source / TOKENIZER_JSON).is_symlink():
        path = directory.inside(source, TOKENIZER_JSON)
        library = vocabulary.read_json(
            files.read_text(path, vocabulary.LARGEST), str(path)
        )
        _check_switches(library, rules)
    else:
        library = _of_vocabulary(source, rules, say)
    for added in _added(source, rules, names):
        added_tokens.add(library, added)
    inputs = rules.get("model_input_names") or ["token_type_ids"]
    if "token_type_ids" not in (inputs if isinstance(inputs, list) else [inputs]):
        say(f"{RULES}: model_input_names has no token_type_ids; pairs get them here")
    kept = keys.kept(KEYS, rules)
    kept = {key: value for key, value in kept.items() if key not in NOT_KEPT}
    return Read(Tokenizer(library), _strips(library), _length(rules), kept)


def _strips(library: tokenizers.Tokenizer) -> str:
    """config.tokenizer.strip_accents of a tokenizer."""
    there = switches(library)
    if there["strip_accents"] == there["do_lower_case"]:
        return "auto"
    return "always" if there["strip_accents"] else "never"


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """The special tokens of BERT by their content, other keys as they are."""
    return {
        key: value["content"]
        if key in NAMED and isinstance(value, Mapping) and "content" in value
        else value
        for key, value in given.items()
        if not _is_more(key, value)
    }


def _is_more(key: str, value: Any) -> bool:
    """Whether transformers takes a key that it does not know for a special token."""
    known = key in NAMED or key in KEYS.used or key in KEYS.only or key in KEYS.idle
    return key.endswith("_token") and not known and isinstance(value, str | Mapping)


def _of_vocabulary(source: Path, rules: Mapping[str, Any], say: Say) -> tokenizers.Tokenizer:  # fmt: skip
    path = directory.inside(source, VOCABULARY)
    ids, notes = vocabulary.read_lines(
        files.read_text(path, vocabulary.LARGEST), str(path)
    )
    for line in notes:
        say(line)
    switches = {key: _switch(rules, key) for key in SWITCHES}
    capitals = [token for token in ids if _is_capital(token)]
    lowercase = switches["do_lower_case"]
    if lowercase is None and capitals:
        raise UsageError(
            f"{path} holds tokens with capitals, such as {capitals[0]!r}, and no "
            f"{RULES} says whether texts keep theirs: write one with "
            '{"do_lower_case": false} (or true)'
        )
    if lowercase is None:
        say(f"no do_lower_case in {RULES}: texts are read in lower case")
    elif lowercase and capitals:
        say(
            f"{path}: tokens with capitals, which no text gives as do_lower_case is "
            f"true: {len(capitals):,}, such as {capitals[0]!r}"
        )
    lowercase = lowercase is not False
    strips, chinese = switches["strip_accents"], switches["tokenize_chinese_chars"]
    strips = lowercase if strips is None else strips
    return vocabulary.word_piece(ids, lowercase, strips, chinese is not False)


def _is_capital(token: str) -> bool:
    bracketed = token.startswith("[") and token.endswith("]")
    return token.lower() != token and not bracketed


def _switch(rules: Mapping[str, Any], key: str) -> bool | None:
    value = rules.get(key)
    if value is not None and not isinstance(value, bool):
        keys.refuse(RULES, key, value, (True, False))
    return value


def _check_switches(library: tokenizers.Tokenizer, rules: Mapping[str, Any]) -> None:
    """Refuse a tokenizer_config.json that says otherwise than tokenizer.json does."""
    there = switches(library)
    for key in SWITCHES:
        switch = _switch(rules, key)
        if switch is not None and there[key] not in (None, switch):
            raise UsageError(
                f"{RULES}: {key} is {switch}, and {TOKENIZER_JSON} does as if it were "
                f"{there[key]}: make the two agree"
            )


def switches(library: tokenizers.Tokenizer) -> dict[str, bool | None]:
    """Values of do_lower_case and the like that fit a tokenizer, None if unknown."""
    normalize = library.normalizer.normalize_str
    rules = json.loads(library.to_str())["normalizer"]
    return {
        "do_lower_case": normalize("A") == "a",
        "strip_accents": normalize("é") == "e",
        "tokenize_chinese_chars": rules.get("handle_chinese_chars"),
    }


def _added(
    source: Path, rules: Mapping[str, Any], names: Mapping[str, Any]
) -> Iterator[Added]:
    """Tokens that files besides tokenizer.json add, in the order of transformers."""
    yield from added_tokens.by_id(rules.get("added_tokens_decoder") or {}, RULES)
    more = [
        added_tokens.special(value, name)
        for name, given in ((RULES, rules), (NAMES, names))
        for value in _more(given, name)
    ]
    numbers = directory.read_optional(source, added_tokens.NAME)
    yield from added_tokens.numbered(numbers, {each.token.content for each in more})
    yield from more


def _more(given: Mapping[str, Any], name: str) -> Iterator[Any]:
    """Special tokens of a file besides those of BERT."""
    for key, value in given.items():
        if (key in ("bos_token", "eos_token") or _is_more(key, value)) and value:
            yield value
        elif key in MORE and value:
            if not isinstance(value, list | Mapping):
                raise UsageError(f"{name}: {key} must be a list of tokens")
            yield from value.values() if isinstance(value, Mapping) else value


def check_kept(rules: Mapping[str, Any], name: str, say: Say) -> None:
    """Refuse kept keys that no import would have taken; `name` says where they are."""
    keys.check(KEYS, rules, name, say)
    _length(rules, name)


def _length(rules: Mapping[str, Any], name: str = RULES) -> int | None:
    value = rules.get("model_max_length", rules.get("max_len"))
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1:
        raise UsageError(f"{name}: model_max_length must be a number, not {value!r}")
    return int(value)


def write(target: Path, words: Tokenizer, length: int, kept: Mapping[str, Any]) -> None:
    """tokenizer.json, vocab.txt and tokenizer_config.json, which give the same ids."""
    content = json.loads(words.to_str())
    library = vocabulary.read_json(words.to_str(), TOKENIZER_JSON)
    added = [token["content"] for token in content["added_tokens"] if token["special"]]
    more = [token for token in added if token not in SPECIALS]
    config = {
        **kept,
        "tokenizer_class": "BertTokenizer",
        "model_max_length": kept.get("model_max_length", length),
        **switches(library),
        **NAMED,
        **({"additional_special_tokens": more} if more else {}),
    }
    if not _is_plain(content):  # what BertTokenizer would build anew, by its own rules
        names = ["input_ids", "token_type_ids", "attention_mask"]
        config |= {"tokenizer_class": "PreTrainedTokenizerFast"}
        config |= {"model_input_names": names}
    words.save(target / TOKENIZER_JSON)
    files.write_json(target / RULES, config)
    lines = "".join(f"{token}\n" for token in words.vocabulary)
    files.write_text(target / VOCABULARY, lines)


def _is_plain(content: Mapping[str, Any]) -> bool:
    """Whether tokenizer.json has no part that the keys of BertTokenizer cannot say."""
    rules, model = content["normalizer"], content["model"]
    return (
        rules["type"] == "BertNormalizer"
        and rules["clean_text"]
        and content["pre_tokenizer"] == {"type": "BertPreTokenizer"}
        and model["max_input_chars_per_word"] == 100
    )
