"""The library's tokenizer of a tokenizer.json: parts that a file may lack, and the copy
of it that reads input texts."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, processors

from bert_jax.data import components, vocabulary
from bert_jax.data.roles import Roles
from bert_jax.run import files


def set_defaults(
    library: tokenizers.Tokenizer, roles: Roles, content: Mapping[str, Any]
) -> None:
    """Set the parts that a file may lack, or that are set per call.

    `content` is that of its tokenizer.json. WordPiece has one form of every part, so
    that files that mean the same are the same.
    """
    library.no_truncation()
    library.no_padding()
    model, frame = content["model"], roles.frame
    if model["type"] == "WordPiece":
        library.add_special_tokens(list(roles.tokens))
        library.decoder = decoders.WordPiece(prefix=model["continuing_subword_prefix"])
        if (frame.separators, frame.pair_type) == (1, 1):
            ids = library.get_vocab()
            sep, cls = ((token, ids[token]) for token in (frame.sep, frame.cls))
            library.post_processor = processors.BertProcessing(sep, cls)
        return
    special = {each["content"] for each in content["added_tokens"] if each["special"]}
    missing = [token for token in roles.tokens if token not in special]
    library.add_special_tokens(
        [AddedToken(token, lstrip=token == roles.mask) for token in missing]
    )
    if content["decoder"] is None:
        library.decoder = _decoder(content)


def _decoder(content: Mapping[str, Any]) -> Any:
    if content["model"]["type"] == "BPE":
        return decoders.ByteLevel()
    steps = components.steps(content["pre_tokenizer"])
    [scheme] = [s["prepend_scheme"] for s in steps if s["type"] == "Metaspace"]
    return decoders.Metaspace(prepend_scheme=scheme)


def input_tokenizer(content: Mapping[str, Any], roles: Roles) -> tokenizers.Tokenizer:
    """The tokenizer of a tokenizer.json, adjusted to read input texts.

    Texts may contain the mask, which is never a target, and a model's added tokens;
    other special tokens are read as other words are. Their entries in the vocabulary
    get a space in front, as no text gives such a token.
    """
    unread = {roles.pad, roles.frame.cls, roles.frame.sep}
    name = {token: f" {token}" for token in unread}
    model, added = dict(content["model"]), []
    for token in content["added_tokens"]:
        special = token["content"] in roles.tokens and token["content"] != roles.mask
        renamed = name.get(token["content"], token["content"])
        added.append(token | {"special": special, "content": renamed})
    if isinstance(model["vocab"], list):
        model["vocab"] = [[name.get(t, t), score] for t, score in model["vocab"]]
    else:
        model["vocab"] = {name.get(t, t): id_ for t, id_ in model["vocab"].items()}
    if model.get("unk_token") in name:
        model["unk_token"] = name[model["unk_token"]]
    changes = {"model": model, "added_tokens": added, "post_processor": None}
    library = vocabulary.parse(json.dumps({**content, **changes}), "the tokenizer")
    library.encode_special_tokens = True
    return library


def fingerprint(text: str) -> str:
    """Fingerprint of a tokenizer.json, except for truncation and padding, which are set
    per call."""
    parts = json.loads(text)
    left_out = ("version", "truncation", "padding")
    content = {name: part for name, part in parts.items() if name not in left_out}
    return "2:" + files.digest(json.dumps(content, sort_keys=True), length=12)


def fingerprint_1(text: str) -> str:
    """Fingerprint as runs and stores of version 1 recorded it."""
    rules = json.loads(text)
    content = [rules["normalizer"], rules["pre_tokenizer"], rules["model"]]
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=6).hexdigest()
