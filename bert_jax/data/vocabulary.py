"""Checks of vocabulary files from other sources, vocab.txt and tokenizer.json.

The tokenizers library runs any regular expression of a file, and panics at unknown
parts: it is given only the parts listed here.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from bert_jax.run import files
from bert_jax.run.exits import UsageError

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PREFIX = "##"
NAMED = 5  # tokens that a message names
LARGEST = 16_000_000  # bytes of a file, which takes some 27 times its size in memory
LONGEST = 1000  # characters of a line; words of more than 100 are [UNK]

# Supported parts of a tokenizer.json by place, with their settings. All take linear
# time.
NORMALIZERS = {
    "BertNormalizer": {"clean_text", "handle_chinese_chars", "strip_accents", "lowercase"},
    "Sequence": {"normalizers"},
    "Strip": {"strip_left", "strip_right"},
    **{name: set() for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents")},
}  # fmt: skip
PRE_TOKENIZERS = {
    "BertPreTokenizer": set(),
    "Sequence": {"pretokenizers"},
    "Whitespace": set(),
    "WhitespaceSplit": set(),
    "Punctuation": {"behavior"},
    "Digits": {"individual_digits"},
}
# Parts that `tokenizer` sets: truncation, padding and framing of rows.
REPLACED = {
    "padding": None,
    "truncation": None,
    "post_processor": None,
    "decoder": None,
}
FRAME = (("[CLS]", 0), ("A", 0), ("[SEP]", 0))
FRAME_OF_TWO = (*FRAME, ("B", 1), ("[SEP]", 1))


class AddedToken(TypedDict):
    id: int
    content: str
    single_word: bool
    lstrip: bool
    rstrip: bool
    normalized: bool
    special: bool


class WordPieceModel(TypedDict, total=False):
    type: str
    unk_token: str
    continuing_subword_prefix: str
    max_input_chars_per_word: int
    vocab: dict[str, int]


class TokenizerFile(TypedDict, total=False):
    """JSON content of tokenizer.json."""

    version: str
    truncation: dict | None
    padding: dict | None
    added_tokens: list[AddedToken]
    normalizer: dict | None
    pre_tokenizer: dict | None
    post_processor: dict | None
    decoder: dict | None
    model: WordPieceModel


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


def read_json(text: str, name: str) -> tokenizers.Tokenizer:
    """Return the library's tokenizer of a tokenizer.json.

    Raises UsageError for unsupported parts, and for ids that do not number the tokens.
    """
    content: Any = files.parse_json(text, TokenizerFile, name)
    _check_model(content, name)
    _check_steps(content, "normalizer", NORMALIZERS, name)
    _check_steps(content, "pre_tokenizer", PRE_TOKENIZERS, name)
    ids = dict(content["model"]["vocab"])
    added = content.get("added_tokens", [])
    for token in added:
        if ids.setdefault(token["content"], token["id"]) != token["id"]:
            raise UsageError(
                f"{name}: the added token {token['content']!r} has the id {token['id']}, "
                f"and in the vocabulary {ids[token['content']]}"
            )
    check_tokens(ids, name)
    if sorted(ids.values()) != list(range(len(ids))):
        raise UsageError(f"{name}: its ids are not 0 to {len(ids) - 1}, each once")
    _check_frame(content.get("post_processor"), ids, name)
    library = _parse(json.dumps({"version": "1.0", **content, **REPLACED}), name)
    if moved := [x for x in added if library.token_to_id(x["content"]) != x["id"]]:
        raise UsageError(
            f"{name}: the id {moved[0]['id']} of the added token "
            f"{moved[0]['content']!r} does not follow those before it"
        )
    return library


def check_tokens(tokens: Sequence[str] | Mapping[str, int], name: str) -> None:
    """Refuse a vocabulary that lacks a special token or has tokens with line breaks.
    Raises UsageError."""
    if missing := [token for token in SPECIALS if token not in tokens]:
        raise UsageError(f"{name} lacks the special tokens {' '.join(missing)}")
    if broken := [token for token in tokens if "\n" in token or "\r" in token]:
        raise UsageError(f"{name}: the token {broken[0]!r} holds a line break")


def _check_model(content: TokenizerFile, name: str) -> None:
    model = content.get("model", {})
    if not content.get("model") or "vocab" not in model:
        raise UsageError(f"{name} is no tokenizer.json: it has no model with a vocab")
    if (kind := model.get("type", "WordPiece")) != "WordPiece":
        raise UsageError(f"{name} holds a {kind} model, not WordPiece")
    _check_keys(content, TokenizerFile.__annotations__, name)
    _check_keys(model, WordPieceModel.__annotations__, f"{name}: model")
    for token in content.get("added_tokens", []):
        _check_keys(token, AddedToken.__annotations__, f"{name}: added_tokens")
    for key, wanted in (("unk_token", "[UNK]"), ("continuing_subword_prefix", PREFIX)):
        if (value := model.get(key, wanted)) != wanted:
            raise UsageError(
                f"{name}: {key} is {value!r}; only {wanted!r} is known here"
            )


def _check_keys(value: Mapping[str, Any], known: Mapping[str, Any], name: str) -> None:
    if unknown := [key for key in value if key not in known]:
        raise UsageError(f"{name}: the key {unknown[0]!r} is not known here")


def _check_steps(
    content: TokenizerFile, place: str, known: Mapping[str, set[str]], name: str
) -> None:
    if content.get(place) is None:
        raise UsageError(f"{name} has no {place}: its rules are open")
    for step in _steps(content[place]):
        kind = step.get("type")
        if not isinstance(kind, str) or kind not in known:
            raise UsageError(
                f"{name}: the {place} {kind!r} is not known here; "
                f"known are {', '.join(known)}"
            )
        _check_keys(step, dict.fromkeys({"type", *known[kind]}), f"{name}: {kind}")


def _steps(step: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a step and its nested steps."""
    waiting = [step]
    while waiting:
        step = waiting.pop()
        yield step if isinstance(step, Mapping) else {}
        for key in ("normalizers", "pretokenizers"):
            inside = step.get(key, []) if isinstance(step, Mapping) else []
            waiting += inside if isinstance(inside, list) else [inside]


def _check_frame(frame: Any, ids: Mapping[str, int], name: str) -> None:
    """Refuse a file whose post-processor does not give [CLS] A [SEP] and [CLS] A [SEP]
    B [SEP]."""
    if frame is None:
        return
    cls, sep = ["[CLS]", ids["[CLS]"]], ["[SEP]", ids["[SEP]"]]
    usual = {"type": "BertProcessing", "sep": sep, "cls": cls}
    framed = {
        place: _template_items(frame, place)
        for place in ("single", "pair", "special_tokens")
    }
    template = {
        "single": FRAME,
        "pair": FRAME_OF_TWO,
        "special_tokens": (("[CLS]", (ids["[CLS]"],)), ("[SEP]", (ids["[SEP]"],))),
    }
    if frame != usual and (
        frame.get("type") != "TemplateProcessing" or framed != template
    ):
        raise UsageError(
            f"{name}: the post_processor {frame.get('type')} frames rows otherwise than "
            "[CLS] A [SEP] B [SEP] of the types 0 and 1, the only frame known here"
        )


def _template_items(frame: Mapping[str, Any], place: str) -> Any:
    """The names in a template with their types, or with the ids of special tokens; None
    if it is no template."""
    try:
        if place == "special_tokens":
            items = sorted(frame[place].items())
            return tuple((token, tuple(value["ids"])) for token, value in items)
        items = [next(iter(item.values())) for item in frame[place]]
        return tuple((item["id"], item["type_id"]) for item in items)
    except (KeyError, TypeError, AttributeError, StopIteration):
        return None


def _parse(text: str, name: str) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_str(text)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library's panics are no Exception
        reason = " ".join(str(error).split())
        raise UsageError(f"{name} is no tokenizer.json: {reason}") from error
