"""Checks of vocabulary files from other sources: vocab.txt, tokenizer.json, and
vocab.json with merges.txt."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from bert_jax.data import components
from bert_jax.data.components import TokenizerFile
from bert_jax.data.roles import roles
from bert_jax.run import files
from bert_jax.run.exits import UsageError

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PREFIX = "##"
VOCAB, MERGES = "vocab.json", "merges.txt"
SENTENCEPIECE = ("spiece.model", "sentencepiece.bpe.model")
NO_MODEL = (
    "is a model of sentencepiece, which is not read here: save it once with "
    "transformers' save_pretrained to get a tokenizer.json"
)
NAMED = 5  # tokens that a message names
LARGEST = 20_000_000  # bytes of a file, which takes some 27 times its size in memory
LONGEST = 1000  # characters of a line; words of more than 100 are [UNK]
FILES = ("tokenizer.json", "vocab.txt", VOCAB, *SENTENCEPIECE)
OF_MERGES = {"<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"}
REPLACED = {"padding": None, "truncation": None}  # set per call


def read(path: Path) -> str:
    """The text of a file of a vocabulary. Raises UsageError."""
    try:
        return files.read_text(path, LARGEST)
    except UsageError as error:
        raise UsageError(f"cannot read the vocabulary {path}: {error}") from error


def find(path: Path) -> Path:
    """The file of a vocabulary, or of the folder of one. Raises UsageError."""
    names = [path / name for name in FILES] if path.is_dir() else [path]
    existing = [name for name in names if name.is_file()]
    if not existing:
        raise UsageError(
            f"no vocabulary at {path}: give a vocab.txt or tokenizer.json, or a folder "
            "with one or with vocab.json and merges.txt"
        )
    if existing[0].suffix == ".model":
        raise UsageError(f"{existing[0]} {NO_MODEL}")
    return existing[0]


def word_piece(
    ids: dict[str, int], lowercase: bool, strip_accents: bool, chinese: bool
) -> tokenizers.Tokenizer:
    """Return the library's tokenizer of BERT (Devlin et al. 2019), with these
    tokens."""
    library = tokenizers.Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    library.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=chinese,
        strip_accents=strip_accents,
        lowercase=lowercase,
    )
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return library


def byte_level(
    ids: Mapping[str, int], merges: list[tuple[str, str]], add_prefix_space: bool
) -> tokenizers.Tokenizer:
    """Return the library's tokenizer of GPT-2 (Radford et al. 2019): byte-level BPE.

    `add_prefix_space` reads a text as if a space stood before its first word.
    """
    library = tokenizers.Tokenizer(models.BPE(dict(ids), merges))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    library.decoder = decoders.ByteLevel()
    return library


def read_lines(text: str, name: str) -> tuple[dict[str, int], list[str]]:
    """Return the token ids of a vocab.txt, by line, and warnings about repairs.

    As in transformers, the last line of a token counts. A blank or repeated line keeps
    its number, as a token that occurs in no text.
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    tokens = lines.rstrip("\n").split("\n")
    for number, token in enumerate(tokens, 1):
        if len(token) > LONGEST:
            raise UsageError(
                f"{name}, line {number}: {len(token):,} characters are no token: is it a "
                "vocab.txt?"
            )
    last = {token: number for number, token in enumerate(tokens)}
    repeated = [t for number, t in enumerate(tokens) if t and last[t] != number]
    ids = {
        token if token and last[token] == number else f"[unused line {number + 1}]": number
        for number, token in enumerate(tokens)
    }  # fmt: skip
    check_tokens(ids, name)
    if len(ids) != len(tokens):
        raise UsageError(f"{name} holds a token [unused line ...] beside a blank line")
    named = " ".join(map(repr, repeated[:NAMED]))
    warning = f"{name} has duplicates: {named}: the last line of each counts"
    return ids, [warning] if repeated else []


def read_merges(
    vocab: str, merges: str, name: str, space: bool
) -> tokenizers.Tokenizer:
    """Return the library's tokenizer of a vocab.json and a merges.txt.

    `space` as `add_prefix_space` of `byte_level`. Rows are framed as RoBERTa's if
    there is an <s>, else not at all, as GPT-2's. Raises UsageError.
    """
    ids = files.parse_written(f"{name}/{VOCAB}", vocab)
    if not isinstance(ids, dict):
        raise UsageError(f"{name}/vocab.json holds no ids by token")
    lines = merges.removeprefix("\ufeff").split("\n")
    pairs = [
        tuple(line.rstrip("\r").split(" "))
        for line in lines
        if line.strip() and not line.startswith("#version")
    ]
    if broken := [pair for pair in pairs if len(pair) != 2]:
        raise UsageError(f"{name}/merges.txt: {' '.join(broken[0])!r} is no merge")
    model = {"type": "BPE", "vocab": ids, "merges": pairs}
    level = {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True}
    level |= {"use_regex": True}
    cls, sep = (["<s>", ids.get("<s>")], ["</s>", ids.get("</s>")])
    roberta = {"type": "RobertaProcessing", "cls": cls, "sep": sep}
    roberta |= {"trim_offsets": True, "add_prefix_space": space}
    content = {
        "added_tokens": _added(ids),
        "pre_tokenizer": level,
        "post_processor": roberta if "<s>" in ids else level,
        "decoder": level,
        "model": model,
    }
    return read_json(json.dumps(content), name)


def _added(ids: Mapping[str, int]) -> list[dict[str, Any]]:
    """The special tokens of RoBERTa and GPT-2 that a vocabulary has. The mask takes the
    space before it."""
    flags = dict.fromkeys(("single_word", "rstrip", "normalized"), False)
    return [
        flags
        | {"id": ids[token], "content": token, "special": True}
        | {"lstrip": token == "<mask>"}
        for token in sorted(OF_MERGES & ids.keys())
    ]


def read_json(text: str, name: str) -> tokenizers.Tokenizer:
    """Return the library's tokenizer of a tokenizer.json.

    Raises UsageError for unsupported parts, and for ids that do not number the tokens.
    """
    content: Any = files.parse_json(text, TokenizerFile, name)
    kind = components.check(content, name)
    roles(content, _ids(content, kind, name), name)
    content = {"version": "1.0", **content, **REPLACED}
    content["model"]["type"] = kind
    if kind == "WordPiece":  # its decoder follows from its prefix
        content["decoder"] = None
    library = parse(json.dumps(content), name)
    for token in content.get("added_tokens", []):
        if library.token_to_id(token["content"]) != token["id"]:
            raise UsageError(
                f"{name}: the id {token['id']} of the added token "
                f"{token['content']!r} does not follow those before it"
            )
    return library


def _ids(content: Mapping[str, Any], kind: str, name: str) -> dict[str, int]:
    """The ids of all tokens, checked to number them."""
    tokens = content["model"]["vocab"]
    if kind == "Unigram":
        ids = {token: number for number, (token, _) in enumerate(tokens)}
        if len(ids) != len(tokens):
            raise UsageError(f"{name}: its vocabulary holds a token twice")
    else:
        ids = dict(tokens)
    for token in content.get("added_tokens", []):
        if ids.setdefault(token["content"], token["id"]) != token["id"]:
            raise UsageError(
                f"{name}: the added token {token['content']!r} has the id {token['id']}, "
                f"and in the vocabulary {ids[token['content']]}"
            )
    if kind == "WordPiece":
        check_lines(ids, name)
    if sorted(ids.values()) != list(range(len(ids))):
        raise UsageError(f"{name}: its ids are not 0 to {len(ids) - 1}, each once")
    return ids


def check_tokens(tokens: Collection[str], name: str) -> None:
    """Refuse a vocab.txt that lacks a special token of BERT or has tokens with line
    breaks. Raises UsageError."""
    if missing := [token for token in SPECIALS if token not in tokens]:
        raise UsageError(f"{name} lacks the special tokens {' '.join(missing)}")
    check_lines(tokens, name)


def check_lines(tokens: Collection[str], name: str) -> None:
    """Refuse tokens with line breaks, which no vocab.txt could hold. Raises
    UsageError."""
    if broken := [token for token in tokens if "\n" in token or "\r" in token]:
        raise UsageError(f"{name}: the token {broken[0]!r} holds a line break")


def parse(text: str, name: str) -> tokenizers.Tokenizer:
    """The library's tokenizer of a tokenizer.json. Raises UsageError for what it
    refuses."""
    try:
        return tokenizers.Tokenizer.from_str(text)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library's panics are no Exception
        reason = " ".join(str(error).split())
        raise UsageError(f"{name} is no tokenizer.json: {reason}") from error
