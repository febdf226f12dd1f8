"""The library's tokenizer of a Hugging Face directory: of the files that hold all of its
vocabulary, with the switches of tokenizer_config.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers

from bert_jax.data import vocabulary
from bert_jax.data.vocabulary import MERGES, VOCAB
from bert_jax.huggingface import files as directory
from bert_jax.huggingface import keys
from bert_jax.huggingface.keys import Say
from bert_jax.huggingface.tokenizer_keys import SWITCHES
from bert_jax.run import files
from bert_jax.run.config import UsageError

VOCABULARY, TOKENIZER_JSON = "vocab.txt", "tokenizer.json"
RULES, NAMES = "tokenizer_config.json", "special_tokens_map.json"


def read_library(
    source: Path, rules: Mapping[str, Any], say: Say
) -> tokenizers.Tokenizer:
    """The library's tokenizer of the first of the files that say all of it."""
    if _is_there(source, TOKENIZER_JSON):
        path = directory.inside(source, TOKENIZER_JSON)
        library = vocabulary.read_json(_read(path), str(path))
        _check_switches(library, rules)
        return library
    if _is_there(source, VOCABULARY):
        return _of_vocabulary(source, rules, say)
    if _is_there(source, VOCAB) and _is_there(source, MERGES):
        vocab, merges = (_read(directory.inside(source, n)) for n in (VOCAB, MERGES))
        space = switch_of(rules, "add_prefix_space") or False
        library = vocabulary.read_merges(vocab, merges, str(source), space)
        _check_switches(library, rules)
        return library
    for path in sorted(source.glob("*.model")):
        raise UsageError(f"{path} {vocabulary.NO_MODEL}")
    raise UsageError(
        f"{source} has no {VOCABULARY}, no {TOKENIZER_JSON}, and no {VOCAB} with {MERGES}"
    )


def _is_there(source: Path, name: str) -> bool:
    return (source / name).exists() or (source / name).is_symlink()


def _read(path: Path) -> str:
    return files.read_text(path, vocabulary.LARGEST)


def _of_vocabulary(source: Path, rules: Mapping[str, Any], say: Say) -> tokenizers.Tokenizer:  # fmt: skip
    path = directory.inside(source, VOCABULARY)
    ids, notes = vocabulary.read_lines(_read(path), str(path))
    for line in notes:
        say(line)
    switches = {key: switch_of(rules, key) for key in SWITCHES}
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


def switch_of(rules: Mapping[str, Any], key: str) -> bool | None:
    """The value of a switch, None where the file is silent. Raises UsageError."""
    value = rules.get(key)
    if value is not None and not isinstance(value, bool):
        keys.refuse(RULES, key, value, (True, False))
    return value


def _check_switches(library: tokenizers.Tokenizer, rules: Mapping[str, Any]) -> None:
    """Refuse a tokenizer_config.json that says otherwise than tokenizer.json does."""
    there = switches(library)
    for key in there:
        switch = switch_of(rules, key)
        if switch is not None and there[key] not in (None, switch):
            raise UsageError(
                f"{RULES}: {key} is {switch}, and {TOKENIZER_JSON} does as if it were "
                f"{there[key]}: make the two agree"
            )


def switches(library: tokenizers.Tokenizer) -> dict[str, bool | None]:
    """Values of do_lower_case and the like that fit a tokenizer, None if unknown."""
    normalize = library.normalizer.normalize_str if library.normalizer else str
    rules = json.loads(library.to_str())["normalizer"] or {}
    return {
        "do_lower_case": normalize("A") == "a",
        "strip_accents": normalize("é") == "e",
        "keep_accents": normalize("é") != "e",
        "tokenize_chinese_chars": rules.get("handle_chinese_chars"),
    }
