"""Tokens as text: what opens a word and what continues one, and how a token is shown.

WordPiece marks the tokens that continue a word, by a prefix. Byte-level BPE and Unigram
mark those that open one, by the space before it.
"""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import Any

SPACE = "\u2581"  # stands for a space in Unigram, and in what is shown
# Byte-level BPE writes every byte as a character that can be printed (Radford et al.
# 2019): itself, or one of those from 256 on.
_PLAIN = [*range(33, 127), *range(161, 173), *range(174, 256)]
_OTHER = [byte for byte in range(256) if byte not in _PLAIN]
BYTES = {chr(byte): byte for byte in _PLAIN}
BYTES |= {chr(256 + number): byte for number, byte in enumerate(_OTHER)}


def continuing(
    vocabulary: Sequence[str], added: Collection[str], model: Mapping[str, Any]
) -> list[bool]:
    """Whether each token continues the word of the token before it.

    An added token never does; nor does punctuation, of which each is a word.
    """
    if model["type"] == "WordPiece":
        prefix = model["continuing_subword_prefix"]
        return [token.startswith(prefix) for token in vocabulary]
    texts = texts_of(vocabulary, added, model, "replace")
    return [
        token not in added and not _opens_word(text)
        for token, text in zip(vocabulary, texts, strict=True)
    ]


def texts_of(
    vocabulary: Sequence[str],
    added: Collection[str],
    model: Mapping[str, Any],
    errors: str,
) -> list[str]:
    """The text that each token of a model stands for, its space as a space.

    `errors`, as bytes.decode has it, says what a part of a character becomes.
    """
    if model["type"] == "Unigram":
        return [token.replace(SPACE, " ") for token in vocabulary]
    if model["type"] == "BPE":
        return [t if t in added else _decoded(t, errors) for t in vocabulary]
    return list(vocabulary)


def _decoded(token: str, errors: str) -> str:
    if not all(character in BYTES for character in token):
        return token
    content = bytes(BYTES[character] for character in token)
    return content.decode("utf-8", errors)


def _opens_word(text: str) -> bool:
    first = text[:1]
    return first.isspace() or _is_punctuation(first)


def _is_punctuation(character: str) -> bool:
    """Whether BERT's pre-tokenizer makes a character a word: Unicode's punctuation, and
    ASCII's symbols."""
    if character.isascii():
        return character.isprintable() and not character.isalnum()
    return unicodedata.category(character).startswith("P")


def shown(text: str) -> str:
    """The text of a token for a page: a space as an underline, a control as an escape."""
    marked = unicodedata.normalize("NFC", text).replace(" ", SPACE)
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in marked)
