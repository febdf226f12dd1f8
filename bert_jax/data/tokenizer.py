"""WordPiece tokenizers (Devlin et al. 2019, section 3, "Input/Output Representations"):
train, load, save, encode with character offsets."""

import hashlib
import json
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import decoders, processors, trainers

from bert_jax.data import vocabulary
from bert_jax.data.vocabulary import PREFIX, SPECIALS
from bert_jax.run import files
from bert_jax.run.config import UsageError

# Limits of the alphabet: ALPHABET characters that occur inside words (Chinese ones do
# not), and, with ##characters, ALPHABET_SHARE of the vocabulary.
ALPHABET = 1000
ALPHABET_SHARE = 0.5
MIN_FREQUENCY = 2  # of a merged pair
LONGEST_LINE = 100_000  # characters; a longer one is cut, even inside a word


class Tokenizer:
    """WordPiece tokenizer: a vocabulary and its rules; ids are rows of the token
    table."""

    def __init__(self, library: tokenizers.Tokenizer):
        _set_defaults(library)
        self._json = library.to_str()
        # Two equal tokenizers: truncation is set on the second.
        self._plain = _input_tokenizer(self._json)
        self._framing = _input_tokenizer(self._json)
        self.vocabulary = _sorted_by_id(library.get_vocab())
        self.vocab_size = len(self.vocabulary)
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = map(
            self.vocabulary.index, SPECIALS
        )
        self.continuation = np.array([w.startswith(PREFIX) for w in self.vocabulary])
        added = library.get_added_tokens_decoder().values()
        self._named = {token.content for token in added if token.special}
        self._added = library.get_added_tokens_decoder().keys()
        self.special = np.array(
            [w in self._named or w.startswith("[unused") for w in self.vocabulary]
        )
        self.normalize = library.normalizer.normalize_str
        self.lowercase = self.normalize("A") == "a"
        self.strips_accents = self.normalize("\u00e9") == "e"
        self.fingerprint = _fingerprint(self._json)

    def has_fingerprint(self, known: str) -> bool:
        """Whether `known` is a fingerprint of this tokenizer, in its version."""
        return known in (self.fingerprint, _fingerprint_1(self._json))

    def encode(self, text: str) -> tokenizers.Encoding:
        """Encode a text without [CLS] and [SEP]: `.ids` and character `.offsets`."""
        return self._plain.encode(text, add_special_tokens=False)

    def encode_batch(self, texts: Sequence[str]) -> list[tokenizers.Encoding]:
        """Encode texts without [CLS] and [SEP]."""
        return self._plain.encode_batch(list(texts), add_special_tokens=False)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of texts; faster than `encode_batch`, since without offsets."""
        encodings = self._plain.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def encode_inputs(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        max_length: int,
        pad: bool,
    ) -> dict[str, Any]:
        """Encode rows [CLS] text [SEP] (pair [SEP]), each text read as by `encode`.

        Pairs are truncated from the longer of the two; `cut` marks truncated rows. With
        `pad` the width is `max_length`, else that of the longest row. `offsets` point
        into text or pair by type.
        """
        library = self._framing
        library.enable_truncation(max_length, strategy="longest_first")
        inputs = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
        rows = library.encode_batch(inputs)
        width = max_length if pad else max((len(row.ids) for row in rows), default=0)
        ids = np.full((len(rows), width), self.pad_id, np.int32)
        types = np.zeros((len(rows), width), np.int32)
        for i, row in enumerate(rows):
            ids[i, : len(row.ids)] = row.ids
            types[i, : len(row.ids)] = row.type_ids
        lengths = np.array([len(row.ids) for row in rows], np.int32)
        offsets = [row.offsets for row in rows]
        arrays = {"ids": ids, "types": types, "lengths": lengths, "offsets": offsets}
        return arrays | {"cut": [bool(row.overflowing) for row in rows]}

    def decode(self, ids: Sequence[int]) -> str:
        """Decode tokens to text, in composed form (NFC)."""
        shown = [int(i) for i in ids if self.vocabulary[int(i)] not in self._named]
        return unicodedata.normalize("NFC", self._plain.decode(shown))

    @cached_property
    def display_tokens(self) -> list[str]:
        """The vocabulary for display, composed (NFC): stripping accents decomposes
        Korean syllables."""
        return [unicodedata.normalize("NFC", token) for token in self.vocabulary]

    def added_spans(self, text: str) -> list[tuple[int, int]]:
        """Character spans [start, end) of tokens that were added to the vocabulary."""
        encoding = self.encode(text)
        spans = zip(encoding.ids, encoding.offsets, strict=True)
        return [span for id_, span in spans if id_ in self._added]

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that are [UNK], in order."""
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


def _count_marks(text: str) -> int:
    return sum(unicodedata.category(character) == "Mn" for character in text)


def train(
    texts: Iterable[str], vocab_size: int, lowercase: bool, strip_accents: str = "auto"
) -> Tokenizer:
    """Train a vocabulary of at most `vocab_size` tokens; reads `texts` twice.

    `strip_accents` is auto (as `lowercase`), always or never.

    The library numbers the alphabet in the order of a hash table, and breaks ties
    between merges by these numbers. Passing the whole alphabet as special tokens fixes
    the order; the vocabulary is then rebuilt with only the five special tokens.
    """
    library = _library({}, lowercase, strip_accents)
    symbols = _alphabet(texts, library, vocab_size)
    if not symbols or len(SPECIALS) + len(symbols) > vocab_size:
        raise UsageError(
            f"tokenizer.vocab_size={vocab_size} cannot hold the characters of this text"
        )
    alphabet = [symbol for symbol in symbols if not symbol.startswith(PREFIX)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=MIN_FREQUENCY,
        show_progress=False,
        special_tokens=[*SPECIALS, *symbols],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
    )
    library.train_from_iterator(_lines(texts), trainer)
    return Tokenizer(_library(library.get_vocab(), lowercase, strip_accents))


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """Yield short lines: the library reads several at once, with 40 times their size in
    memory."""
    for text in texts:
        for line in text.split("\n"):
            for start in range(0, len(line), LONGEST_LINE):
                yield line[start : start + LONGEST_LINE]


def load(path: str | Path, lowercase: bool, strip_accents: str = "auto") -> Tokenizer:
    """Load a vocab.txt or tokenizer.json, or the directory of one.

    For a tokenizer.json, which states whether it strips accents, auto means its
    setting.
    """
    path = _find(Path(path))
    try:
        text = files.read_text(path, vocabulary.LARGEST)
    except UsageError as error:
        raise UsageError(f"cannot read the vocabulary {path}: {error}") from error
    if path.suffix != ".json":
        ids, warnings = vocabulary.read_lines(text, str(path))
        for line in warnings:
            print(f"warning: {line}", file=sys.stderr)
        return Tokenizer(_library(ids, lowercase, strip_accents))
    tokenizer = parse(text, str(path))
    if tokenizer.lowercase != lowercase:
        raise UsageError(
            f"{path} was made with lowercase={tokenizer.lowercase}: "
            f"set --config.tokenizer.lowercase={tokenizer.lowercase}"
        )
    made = "always" if tokenizer.strips_accents else "never"
    if strip_accents not in ("auto", made):
        raise UsageError(
            f"{path} was made with strip_accents={made}: "
            f"set --config.tokenizer.strip_accents={made}"
        )
    return tokenizer


def parse(text: str, name: str) -> Tokenizer:
    """Parse the content of a tokenizer.json; `name` is for error messages."""
    return Tokenizer(vocabulary.read_json(text, name))


def _find(path: Path) -> Path:
    names = [path / "tokenizer.json", path / "vocab.txt"] if path.is_dir() else [path]
    existing = [name for name in names if name.is_file()]
    if not existing:
        raise UsageError(f"no vocabulary at {path}: give a vocab.txt or tokenizer.json")
    return existing[0]


def _library(
    ids: dict[str, int], lowercase: bool, strip_accents: str
) -> tokenizers.Tokenizer:
    strips = lowercase if strip_accents == "auto" else strip_accents == "always"
    return vocabulary.word_piece(ids, lowercase, strips, chinese=True)


def _set_defaults(library: tokenizers.Tokenizer) -> None:
    """Set the parts that a file may lack, or that are set per call."""
    library.no_truncation()
    library.no_padding()
    library.add_special_tokens(list(SPECIALS))
    ids = library.get_vocab()
    cls, sep = ids["[CLS]"], ids["[SEP]"]
    library.post_processor = processors.BertProcessing(("[SEP]", sep), ("[CLS]", cls))
    library.decoder = decoders.WordPiece(prefix=PREFIX)


def _input_tokenizer(text: str) -> tokenizers.Tokenizer:
    """The tokenizer of a tokenizer.json, adjusted to read input texts.

    Texts may contain [MASK], which is never a target, and a model's added tokens; [SEP]
    and other special tokens are split into three words.
    """
    content = json.loads(text)
    for token in content["added_tokens"]:
        token["special"] = token["content"] in SPECIALS and token["content"] != "[MASK]"
    library = tokenizers.Tokenizer.from_str(json.dumps(content))
    library.encode_special_tokens = True
    return library


def _sorted_by_id(ids: dict[str, int]) -> list[str]:
    return sorted(ids, key=ids.__getitem__)


def _fingerprint(text: str) -> str:
    """Fingerprint of a tokenizer.json, except for truncation and padding, which are set
    per call."""
    parts = json.loads(text)
    left_out = ("version", "truncation", "padding")
    content = {name: part for name, part in parts.items() if name not in left_out}
    return "2:" + files.digest(json.dumps(content, sort_keys=True), length=12)


def _fingerprint_1(text: str) -> str:
    """Fingerprint as runs and stores of version 1 recorded it."""
    rules = json.loads(text)
    content = [rules["normalizer"], rules["pre_tokenizer"], rules["model"]]
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=6).hexdigest()


def _alphabet(texts, library: tokenizers.Tokenizer, vocab_size: int) -> list[str]:
    """Sorted characters, then sorted ##characters, as many as fit."""
    raw = Counter()
    for text in texts:
        raw.update(text)
    counts = Counter()
    for character, count in raw.items():
        for plain in library.normalizer.normalize_str(character).replace(" ", ""):
            counts[plain] += count
    room, inner, outer = int(vocab_size * ALPHABET_SHARE), [], []
    for character in sorted(counts, key=lambda c: (-counts[c], c)):
        continues = _continues(character, library)
        if room > continues and not (continues and len(inner) == ALPHABET):
            outer.append(character)
            inner += [PREFIX + character] * continues
            room -= 1 + continues
    return sorted(outer) + sorted(inner)


def _continues(character: str, library: tokenizers.Tokenizer) -> bool:
    """Whether a character can be inside a word, unlike punctuation and Chinese ones."""
    text = library.normalizer.normalize_str("a" + character)
    return len(library.pre_tokenizer.pre_tokenize_str(text)) == 1
