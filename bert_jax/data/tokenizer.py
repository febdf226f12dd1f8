"""Tokenizers: load, save, encode with character offsets.

WordPiece (Devlin et al. 2019, section 3, "Input/Output Representations"), byte-level
BPE (Radford et al. 2019, section 2.2) and Unigram (Kudo 2018, section 3.2).
"""

import json
import sys
import unicodedata
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tokenizers

from bert_jax.data import components, library, token_text, vocabulary
from bert_jax.data.roles import roles
from bert_jax.run import files
from bert_jax.run.config import UsageError

Spans = list[tuple[int, int]]  # characters [start, end)
NONE = -1  # the id of a mask that a tokenizer lacks


class Encoding(NamedTuple):
    """The tokens of a text; offsets are its characters [start, end), without the space
    before a word, and so empty for a token that is a space."""

    ids: list[int]
    tokens: list[str]
    offsets: Spans


class Tokenizer:
    """Tokenizer: a vocabulary and its rules; ids are rows of the token table.

    A row is CLS A SEP, or CLS A `separator` B SEP with tokens of type `pair_type` from
    B on. `mask_id` is NONE in a tokenizer without a mask.
    """

    def __init__(self, source: tokenizers.Tokenizer):
        content = json.loads(source.to_str())
        self.roles = roles(content, source.get_vocab(), "the tokenizer")
        library.set_defaults(source, self.roles, content)
        self._json = source.to_str()
        content = json.loads(self._json)
        self._plain = library.input_tokenizer(content, self.roles)
        self._set_vocabulary(source, content["model"])
        self.kind = content["model"]["type"]  # WordPiece | BPE | Unigram
        self.adds_space = components.adds_space(content["pre_tokenizer"])
        self.normalizes = source.normalizer is not None
        self.normalize = source.normalizer.normalize_str if self.normalizes else str
        self.lowercase = self.normalize("A") == "a"
        self.strips_accents = self.normalize("\u00e9") == "e"
        self.fingerprint = library.fingerprint(self._json)

    def _set_vocabulary(self, source: tokenizers.Tokenizer, model: Any) -> None:
        ids = source.get_vocab()
        self.vocabulary = sorted(ids, key=ids.__getitem__)
        self.vocab_size = len(self.vocabulary)
        named, frame = self.roles, self.roles.frame
        self.pad_id, self.unk_id = ids[named.pad], ids[named.unk]
        self.cls_id, self.sep_id = ids[frame.cls], ids[frame.sep]
        self.mask_token, self.mask_id = named.mask, ids.get(named.mask, NONE)
        self.separator = (self.sep_id,) * frame.separators
        self.pair_type = frame.pair_type
        added = source.get_added_tokens_decoder()
        self._added = added.keys()
        contents = {token.content for token in added.values()}
        self._texts = partial(token_text.texts_of, self.vocabulary, contents, model)
        surfaces = enumerate(self._texts(errors="replace"))
        self._blank = {id_ for id_, text in surfaces if not text.strip()}
        self.continuation = np.array(
            token_text.continuing(self.vocabulary, contents, model)
        )
        self._named = {token.content for token in added.values() if token.special}
        self.special = np.array(
            [w in self._named or w.startswith("[unused") for w in self.vocabulary]
        )

    def has_fingerprint(self, known: str) -> bool:
        """Whether `known` is a fingerprint of this tokenizer, in its version."""
        return known in (self.fingerprint, library.fingerprint_1(self._json))

    def check_mask(self) -> None:
        """Raise UsageError for a tokenizer without a mask."""
        if self.mask_id == NONE:
            raise UsageError(
                "this tokenizer has no mask token: a masked LM needs one with [MASK] or "
                "<mask>; objective.kind=clm needs none"
            )

    def encode(self, text: str) -> Encoding:
        """Encode a text without special tokens around it."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode texts without special tokens around them."""
        encodings = self._plain.encode_batch(list(texts), add_special_tokens=False)
        return [
            Encoding(each.ids, each.tokens, self._offsets(text, each))
            for text, each in zip(texts, encodings, strict=True)
        ]

    def _offsets(self, text: str, encoding: tokenizers.Encoding) -> Spans:
        """The characters of each token without the spaces before them."""
        spans = []
        for id_, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            start += len(text[start:end]) - len(text[start:end].lstrip())
            spans.append((start, start if id_ in self._blank else end))
        return spans

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of texts; faster than `encode_batch`, since without offsets."""
        encodings = self._plain.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def following(self, text: str) -> str:
        """A text as what follows another one: with the space before its first word that
        byte-level BPE reads as a part of it, unless the tokenizer adds it itself."""
        spaced = self.kind == "WordPiece" or self.adds_space
        return text if spaced else f" {text}"

    def encode_words(self, words: Sequence[str]) -> list[Encoding]:
        """Encode words of a text one by one, each as if another preceded it."""
        more = len(self.following(""))
        return [
            each._replace(
                offsets=[(max(a - more, 0), b - more) for a, b in each.offsets]
            )
            for each in self.encode_batch([self.following(word) for word in words])
        ]

    def special_count(self, paired: bool) -> int:
        """The special tokens of a row of one text, or of a text and its pair."""
        return 2 + paired * len(self.separator)

    def framed(self, first: Sequence[int], second: Sequence[int] | None) -> list[int]:
        """The row CLS first SEP, or CLS first SEP second SEP, of token ids."""
        if second is None:
            return [self.cls_id, *first, self.sep_id]
        return [self.cls_id, *first, *self.separator, *second, self.sep_id]

    def segments(self, ids: np.ndarray) -> np.ndarray:
        """(T,) int of a row of T tokens: 0 in the first text and the SEP after it, 1 in
        the second and the SEP after it."""
        end = np.flatnonzero(ids[1:] == self.sep_id)[0] + 1 + len(self.separator)
        return (np.arange(len(ids)) >= end).astype(int)

    def encode_inputs(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        max_length: int,
        pad: bool,
    ) -> dict[str, Any]:
        """Encode rows CLS text SEP (pair SEP), each text read as by `encode`.

        Pairs are truncated from the longer of the two; `cut` marks truncated rows. With
        `pad` the width is `max_length`, else that of the longest row. `offsets` point
        into text or pair, as `segments` says.
        """
        firsts = self.encode_batch(texts)
        seconds = [None] * len(firsts) if pairs is None else self.encode_batch(pairs)
        room = max_length - self.special_count(pairs is not None)
        made = [self._row(*both, room) for both in zip(firsts, seconds, strict=True)]
        lengths = np.array([len(row) for row, _, _ in made], np.int32)
        width = max_length if pad else int(lengths.max(initial=0))
        ids = np.full((len(made), width), self.pad_id, np.int32)
        types = np.zeros((len(made), width), np.int32)
        for i, (row, _, _) in enumerate(made):
            ids[i, : len(row)] = row
            types[i, : len(row)] = self.segments(np.array(row)) * self.pair_type
        arrays = {"ids": ids, "types": types, "lengths": lengths}
        offsets, cut = [row[1] for row in made], [row[2] for row in made]
        return arrays | {"offsets": offsets, "cut": cut}

    def _row(
        self, first: Encoding, second: Encoding | None, room: int
    ) -> tuple[list[int], Spans, bool]:
        """The ids and offsets of a row with `room` for tokens that are not special, and
        whether it was cut."""
        if second is None:
            size, none = max(room, 0), [(0, 0)]
            row = self.framed(first.ids[:size], None)
            offsets = [*none, *first.offsets[:size], *none]
            return row, offsets, len(first.ids) > size
        sizes = _longest_first(len(first.ids), len(second.ids), max(room, 0))
        one, two = (each.ids[:n] for each, n in zip((first, second), sizes))
        row = self.framed(one, two)
        between = [(0, 0)] * len(self.separator)
        offsets = [(0, 0), *first.offsets[: sizes[0]], *between]
        offsets += [*second.offsets[: sizes[1]], (0, 0)]
        return row, offsets, sum(sizes) < len(first.ids) + len(second.ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Decode tokens to text without special tokens, in composed form (NFC) where
        the tokenizer changes texts."""
        shown = [int(i) for i in ids if self.vocabulary[int(i)] not in self._named]
        text = self._plain.decode(shown)
        if self.kind == "BPE" and self.adds_space:
            text = text.removeprefix(" ")
        return unicodedata.normalize("NFC", text) if self.normalizes else text

    @cached_property
    def display_tokens(self) -> list[str]:
        """The vocabulary for display, composed (NFC): stripping accents decomposes
        Korean syllables. Of byte-level BPE and Unigram, a space is an underline."""
        if self.kind == "WordPiece":
            return [unicodedata.normalize("NFC", token) for token in self.vocabulary]
        return list(map(token_text.shown, self._texts(errors="backslashreplace")))

    @cached_property
    def word_tokens(self) -> list[str]:
        """The tokens that open a word and are not special, as words."""
        return [
            token.removeprefix(token_text.SPACE)
            for token, special, continues in zip(
                self.display_tokens, self.special, self.continuation, strict=True
            )
            if not (special or continues)
        ]

    def added_spans(self, text: str) -> Spans:
        """Character spans [start, end) of tokens that were added to the vocabulary."""
        encoding = self.encode(text)
        spans = zip(encoding.ids, encoding.offsets, strict=True)
        return [span for id_, span in spans if id_ in self._added]

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that are unknown tokens, in order."""
        encoding = self.encode(text)
        spans = zip(encoding.ids, encoding.offsets, strict=True)
        return [text[start:end] for id_, (start, end) in spans if id_ == self.unk_id]

    def dropped_share(self, text: str) -> float:
        """The share of a text's characters that stripping accents removes."""
        composed = unicodedata.normalize("NFC", text)
        kept = _count_marks(self.normalize(composed))
        return max(_count_marks(composed) - kept, 0) / max(len(composed), 1)

    def to_str(self) -> str:
        """The content of tokenizer.json; `parse` reads it."""
        return self._json

    def save(self, path: str | Path) -> None:
        files.write_text(Path(path), self._json)


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """The sizes to which two texts are cut, the longer first, as transformers does."""
    short = min(first, second)
    rest = short if short > room else max(short, room - short)
    if short + rest > room:
        short, rest = room // 2, room - room // 2
    return (rest, short) if first > second else (short, rest)


def _count_marks(text: str) -> int:
    return sum(unicodedata.category(character) == "Mn" for character in text)


def load(path: str | Path, lowercase: bool, strip_accents: str = "auto") -> Tokenizer:
    """Load a vocab.txt, a tokenizer.json, or the directory of one or of a vocab.json
    with merges.txt.

    For a vocabulary other than a vocab.txt, which states whether it strips accents,
    auto means its setting.
    """
    path = vocabulary.find(Path(path))
    text = vocabulary.read(path)
    if path.suffix == ".txt":
        ids, warnings = vocabulary.read_lines(text, str(path))
        for line in warnings:
            print(f"warning: {line}", file=sys.stderr)
        strips = lowercase if strip_accents == "auto" else strip_accents == "always"
        return Tokenizer(vocabulary.word_piece(ids, lowercase, strips, chinese=True))
    if path.name == vocabulary.VOCAB:
        merges = vocabulary.read(path.parent / vocabulary.MERGES)
        source = vocabulary.read_merges(text, merges, str(path.parent), False)
        tokenizer = Tokenizer(source)
    else:
        tokenizer = parse(text, str(path))
    made = "always" if tokenizer.strips_accents else "never"
    _check(path, "lowercase", lowercase, (tokenizer.lowercase,))
    _check(path, "strip_accents", strip_accents, (made, "auto"))
    return tokenizer


def _check(path: Path, key: str, value: object, made: tuple[object, ...]) -> None:
    if value not in made:
        raise UsageError(
            f"{path} was made with {key}={made[0]}: set --config.tokenizer.{key}={made[0]}"
        )


def parse(text: str, name: str) -> Tokenizer:
    """Parse the content of a tokenizer.json; `name` is for error messages."""
    return Tokenizer(vocabulary.read_json(text, name))
