"""Known parts of a tokenizer.json, by its kind of model, with their settings.

The tokenizers library runs any regular expression of a file, and panics at unknown
parts: it is given only the parts listed here. All take linear time.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Required, TypedDict

from bert_jax.data.token_text import SPACE
from bert_jax.run import files
from bert_jax.run.exits import UsageError


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


class BPEModel(TypedDict, total=False):
    type: str
    dropout: float | None
    unk_token: str | None
    continuing_subword_prefix: str | None
    end_of_word_suffix: str | None
    fuse_unk: bool
    byte_fallback: bool
    ignore_merges: bool
    vocab: dict[str, int]
    merges: list[str | tuple[str, str]]


class UnigramModel(TypedDict, total=False):
    type: str
    unk_id: Required[int]
    vocab: list[tuple[str, float]]
    byte_fallback: bool


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
    model: dict


MODELS = {"WordPiece": WordPieceModel, "BPE": BPEModel, "Unigram": UnigramModel}
NORMALIZERS = {
    "BertNormalizer": {"clean_text", "handle_chinese_chars", "strip_accents", "lowercase"},
    "Sequence": {"normalizers"},
    "Strip": {"strip_left", "strip_right"},
    **{name: set() for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents")},
}  # fmt: skip
OF_SENTENCEPIECE = {
    "Nmt": set(),
    "Precompiled": {"precompiled_charsmap"},
    "Replace": {"pattern", "content"},
}
BYTE_LEVEL = {"ByteLevel": {"add_prefix_space", "trim_offsets", "use_regex"}}
METASPACE = {
    "Metaspace": {
        "replacement",
        "prepend_scheme",
        "split",
        "add_prefix_space",
        "str_rep",
    }
}
SPLITS = {"Sequence": {"pretokenizers"}, "Digits": {"individual_digits"}}
SPACES = {"Whitespace": set(), "WhitespaceSplit": set(), "Punctuation": {"behavior"}}
# The parts of each place, by the kind of model.
PARTS = {
    "WordPiece": {
        "normalizer": NORMALIZERS,
        "pre_tokenizer": {"BertPreTokenizer": set(), **SPLITS, **SPACES},
    },
    "BPE": {
        "normalizer": NORMALIZERS,
        "pre_tokenizer": {**BYTE_LEVEL, **SPLITS},
        "decoder": BYTE_LEVEL,
    },
    "Unigram": {
        "normalizer": NORMALIZERS | OF_SENTENCEPIECE,
        "pre_tokenizer": {**METASPACE, **SPLITS, **SPACES},
        "decoder": METASPACE,
    },
}
# Places that may be empty, as then nothing is done there.
OPTIONAL = {"WordPiece": (), "BPE": ("normalizer", "decoder"), "Unigram": ("normalizer", "decoder")}  # fmt: skip
# The step that splits a text into what the model reads, with the only settings known.
NEEDED = {
    "BPE": ("ByteLevel", {"use_regex": (True,)}),
    "Unigram": ("Metaspace", {"replacement": (SPACE,), "str_rep": (SPACE,), "split": (True,)}),
}  # fmt: skip
EMPTY = (None, "")
SETTINGS = {
    "BPE": {
        "dropout": (None, 0.0),
        "continuing_subword_prefix": EMPTY,
        "end_of_word_suffix": EMPTY,
        "byte_fallback": (False,),
    },
    "Unigram": {"byte_fallback": (False,)},
}
SPACES_EXPRESSION = " {2,}"  # of sentencepiece; no other one of a file is run


def check(content: Mapping[str, Any], name: str) -> str:
    """The kind of the model of a tokenizer.json. Raises UsageError for parts that are
    not known here, other than its post-processor."""
    kind = _check_model(content, name)
    for place, known in PARTS[kind].items():
        if content.get(place) is not None:
            _check_steps(content[place], place, known, name)
        elif place not in OPTIONAL[kind]:
            raise UsageError(f"{name} has no {place}: its rules are open")
    if kind in NEEDED:
        step, settings = NEEDED[kind]
        _check_needed(content["pre_tokenizer"], step, settings, name)
    return kind


def _check_model(content: Mapping[str, Any], name: str) -> str:
    model = content.get("model")
    if not model or "vocab" not in model:
        raise UsageError(f"{name} is no tokenizer.json: it has no model with a vocab")
    kind = model.get("type", "BPE" if "merges" in model else "WordPiece")
    if kind not in tuple(MODELS):
        raise UsageError(
            f"{name} holds a {kind!r} model; known here are {', '.join(MODELS)}"
        )
    _check_keys(content, TokenizerFile.__annotations__, name)
    files.parse_json(json.dumps(model), MODELS[kind], f"{name}: model")
    _check_keys(model, MODELS[kind].__annotations__, f"{name}: model")
    _check_settings(model, SETTINGS.get(kind, {}), f"{name}: model")
    for token in content.get("added_tokens", []):
        _check_keys(token, AddedToken.__annotations__, f"{name}: added_tokens")
    return kind


def _check_keys(value: Mapping[str, Any], known: Collection[str], name: str) -> None:
    if unknown := [key for key in value if key not in known]:
        raise UsageError(f"{name}: the key {unknown[0]!r} is not known here")


def _check_settings(
    value: Mapping[str, Any], known: Mapping[str, tuple[Any, ...]], name: str
) -> None:
    for key, wanted in known.items():
        if key in value and value[key] not in wanted:
            raise UsageError(
                f"{name}: {key} is {value[key]!r}; only "
                f"{' | '.join(map(repr, wanted))} is known here"
            )


def _check_steps(
    part: Any, place: str, known: Mapping[str, Collection[str]], name: str
) -> None:
    for step in steps(part):
        kind = step.get("type")
        if not isinstance(kind, str) or kind not in known:
            raise UsageError(
                f"{name}: the {place} {kind!r} is not known here; "
                f"known are {', '.join(known)}"
            )
        _check_keys(step, {"type", *known[kind]}, f"{name}: {kind}")
        pattern = step.get("pattern")
        expression = pattern.get("Regex", "") if isinstance(pattern, Mapping) else ""
        if expression not in ("", SPACES_EXPRESSION):
            raise UsageError(
                f"{name}: the {place} {kind!r} of the pattern {expression!r} is not "
                "known here"
            )


def _check_needed(
    part: Any, kind: str, known: Mapping[str, tuple[Any, ...]], name: str
) -> None:
    found = [step for step in steps(part) if step["type"] == kind]
    if len(found) != 1:
        raise UsageError(f"{name}: its pre_tokenizer must have one {kind} step")
    _check_settings(found[0], known, f"{name}: {kind}")


def steps(part: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a step and its nested steps."""
    waiting = [part]
    while waiting:
        step = waiting.pop()
        yield step if isinstance(step, Mapping) else {}
        for key in ("normalizers", "pretokenizers"):
            inside = step.get(key, []) if isinstance(step, Mapping) else []
            waiting += inside if isinstance(inside, list) else [inside]


def adds_space(pre_tokenizer: Any) -> bool:
    """Whether a text is read as if a space stood before its first word."""
    return any(
        step.get("add_prefix_space", True) and step.get("prepend_scheme") != "never"
        for step in steps(pre_tokenizer)
        if step.get("type") in ("ByteLevel", "Metaspace")
    )
