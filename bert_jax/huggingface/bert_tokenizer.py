"""The tokenizer of a Hugging Face directory, of all its files, each way."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tokenizers

from bert_jax.data import roles, vocabulary
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.data.vocabulary import MERGES, VOCAB
from bert_jax.huggingface import added_tokens, keys
from bert_jax.huggingface import files as directory
from bert_jax.huggingface.added_tokens import Added
from bert_jax.huggingface.keys import Say
from bert_jax.huggingface.tokenizer_files import (
    NAMES,
    RULES,
    TOKENIZER_JSON,
    VOCABULARY,
    read_library,
    switch_of,
    switches,
)
from bert_jax.huggingface.tokenizer_keys import (
    CLASSES,
    KEYS,
    MORE,
    NOT_KEPT,
    ROLES,
    SWITCHES,
)
from bert_jax.run import files
from bert_jax.run.config import UsageError


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
    library = read_library(source, rules, say)
    special = roles.roles(
        json.loads(library.to_str()), library.get_vocab(), str(source)
    )
    for added in _added(source, rules, names):
        added_tokens.add(library, added, special.tokens)
    words = Tokenizer(library)
    _check_rules(words, rules)
    for name, given in ((RULES, rules), (NAMES, names)):
        _check_roles(words, given, name)
    inputs = rules.get("model_input_names") or ["token_type_ids"]
    inputs = inputs if isinstance(inputs, list) else [inputs]
    if words.pair_type and "token_type_ids" not in inputs:
        say(f"{RULES}: model_input_names has no token_type_ids; pairs get them here")
    kept = keys.kept(KEYS, rules)
    kept = {key: value for key, value in kept.items() if key not in NOT_KEPT}
    return Read(words, _strips(library), _length(rules), kept)


def _check_rules(words: Tokenizer, rules: Mapping[str, Any]) -> None:
    """Refuse a tokenizer_config.json of another kind of tokenizer."""
    known, kind = CLASSES[words.kind], rules.get("tokenizer_class")
    if kind not in (*keys.ABSENT, *known):
        keys.refuse(RULES, "tokenizer_class", kind, known)
    space = switch_of(rules, "add_prefix_space")
    if space not in (None, words.adds_space):
        keys.refuse(RULES, "add_prefix_space", space, (words.adds_space,))


def _check_roles(words: Tokenizer, given: Mapping[str, Any], name: str) -> None:
    """Refuse special tokens other than those of the vocabulary, or other flags."""
    special, frame = words.roles, words.roles.frame
    tokens = {**special._asdict(), "cls": frame.cls, "sep": frame.sep}
    flags = {
        each["content"]: each for each in json.loads(words.to_str())["added_tokens"]
    }
    for key, role in ROLES.items():
        value, token = given.get(key), tokens[role]
        if value in keys.ABSENT:
            continue
        plain = _plain({key: value})[key]
        if plain != token:
            keys.refuse(name, key, plain, (token,) if token else ())
        if isinstance(value, Mapping) and words.kind != "WordPiece":
            _check_flags(value, flags[token], f"{name}: {key}")


def _check_flags(value: Mapping[str, Any], token: Mapping[str, Any], name: str) -> None:
    """Refuse other flags of a token than tokenizer.json gives it."""
    for flag in ("lstrip", "rstrip"):
        if value.get(flag, False) != token[flag]:
            raise UsageError(
                f"{name} has {flag}={value.get(flag, False)}, and {TOKENIZER_JSON} "
                f"{token[flag]}: make the two agree"
            )


def _strips(library: tokenizers.Tokenizer) -> str:
    """config.tokenizer.strip_accents of a tokenizer."""
    there = switches(library)
    if there["strip_accents"] == there["do_lower_case"]:
        return "auto"
    return "always" if there["strip_accents"] else "never"


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """The special tokens of roles by their content, other keys as they are."""
    return {
        key: value["content"]
        if key in ROLES and isinstance(value, Mapping) and "content" in value
        else value
        for key, value in given.items()
        if not _is_more(key, value)
    }


def _is_more(key: str, value: Any) -> bool:
    """Whether transformers takes a key that it does not know for a special token."""
    known = key in KEYS.used or key in KEYS.only or key in KEYS.idle
    return key.endswith("_token") and not known and isinstance(value, str | Mapping)


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


def write(target: Path, words: Tokenizer, model: Any, kept: Mapping[str, Any]) -> None:
    """tokenizer.json, tokenizer_config.json and the lists of tokens, which give the
    same ids, and no types to a model (config.model) that does not tell them apart."""
    content = json.loads(words.to_str())
    config = {
        **kept,
        "model_max_length": kept.get("model_max_length", model.max_length),
        **_special_tokens(words, content),
    }
    typed = model.num_types > 1
    names = ["input_ids", *["token_type_ids"] * typed, "attention_mask"]
    if not typed:
        config |= {"model_input_names": names}
    if _is_plain(content):  # BertTokenizer builds these rules anew
        config |= {"tokenizer_class": "BertTokenizer"} | _written_switches(words)
    else:  # a class of a family would throw the rules of tokenizer.json away
        config |= {"tokenizer_class": "PreTrainedTokenizerFast"}
        config |= {"model_input_names": kept.get("model_input_names", names)}
    words.save(target / TOKENIZER_JSON)
    files.write_json(target / RULES, config)
    _write_lists(target, words, content["model"])


def _special_tokens(words: Tokenizer, content: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of special tokens, with the flags of those that have any."""
    added = {token["content"]: token for token in content["added_tokens"]}
    special, frame = words.roles, words.roles.frame
    tokens = special._asdict() | {"cls": frame.cls, "sep": frame.sep}
    named = {key: tokens[role] for key, role in ROLES.items() if tokens[role]}
    if frame.cls == frame.sep:  # GPT-2's names of its one special token
        named |= {"bos_token": frame.cls, "eos_token": frame.sep}
    flagged = {
        k: _flagged(added[t]) if added[t]["lstrip"] else t for k, t in named.items()
    }
    more = [
        t for t, each in added.items() if each["special"] and t not in special.tokens
    ]
    return flagged | ({"additional_special_tokens": more} if more else {})


def _flagged(token: Mapping[str, Any]) -> dict[str, Any]:
    flags = {key: value for key, value in token.items() if key != "id"}
    return {"__type": "AddedToken", **flags}


def _written_switches(words: Tokenizer) -> dict[str, Any]:
    library = vocabulary.read_json(words.to_str(), TOKENIZER_JSON)
    return {key: switches(library)[key] for key in SWITCHES}


def _write_lists(target: Path, words: Tokenizer, model: Mapping[str, Any]) -> None:
    """vocab.txt of WordPiece, vocab.json and merges.txt of BPE; none of Unigram."""
    if words.kind == "WordPiece":
        lines = "".join(f"{token}\n" for token in words.vocabulary)
        files.write_text(target / VOCABULARY, lines)
    if words.kind == "BPE":
        files.write_json(target / VOCAB, model["vocab"])
        merges = "".join(f"{one} {two}\n" for one, two in model["merges"])
        files.write_text(target / MERGES, f"#version: 0.2\n{merges}")


def _is_plain(content: Mapping[str, Any]) -> bool:
    """Whether tokenizer.json is WordPiece with no part that the keys of BertTokenizer
    cannot say."""
    rules, model = content["normalizer"] or {}, content["model"]
    settings = {"unk_token": "[UNK]", "continuing_subword_prefix": vocabulary.PREFIX}
    settings |= {"type": "WordPiece", "max_input_chars_per_word": 100}
    return (
        rules.get("type") == "BertNormalizer"
        and rules["clean_text"]
        and content["pre_tokenizer"] == {"type": "BertPreTokenizer"}
        and model | settings == model
        and content["post_processor"]["type"] == "BertProcessing"
        and all(token in model["vocab"] for token in vocabulary.SPECIALS)
    )
