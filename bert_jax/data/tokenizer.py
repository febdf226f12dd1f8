"""WordPiece vocabularies (Devlin et al. 2019, section 3, "Input/Output
Representations"): train, load, save, encode with character offsets."""

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

# An alphabet may hold this many characters that occur inside words (so any number of
# Chinese ones), and with its ##characters fill this share of the vocabulary.
ALPHABET = 1000
ALPHABET_SHARE = 0.5
MIN_FREQUENCY = 2  # of a merged pair
LONGEST_LINE = 100_000  # characters; a longer one is cut, be it inside a word


class Tokenizer:
    """A WordPiece vocabulary and its rules; ids are rows of the token table."""

    def __init__(self, library: tokenizers.Tokenizer):
        _complete(library)
        self._json = library.to_str()
        # Two that read alike: what rows are cut to is kept by the second.
        self._plain, self._framing = _reading(self._json), _reading(self._json)
        self.vocabulary = _by_id(library.get_vocab())
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
        """Whether that is a fingerprint of this tokenizer, by the law of its version."""
        return known in (self.fingerprint, _fingerprint_1(self._json))

    def encode(self, text: str) -> tokenizers.Encoding:
        """A text without [CLS] and [SEP]: `.ids` and character `.offsets`."""
        return self._plain.encode(text, add_special_tokens=False)

    def encode_batch(self, texts: Sequence[str]) -> list[tokenizers.Encoding]:
        return self._plain.encode_batch(list(texts), add_special_tokens=False)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode_batch` without offsets, which is faster."""
        encodings = self._plain.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def encode_inputs(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        max_length: int,
        pad: bool,
    ) -> dict[str, Any]:
        """[CLS] text [SEP] (pair [SEP]), each text read as by `encode`.

        Pairs are cut from the longer of the two; `cut` tells which rows were. With `pad`
        the width is `max_length`, else that of the longest row. `offsets` point into
        text or pair by type.
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
        found = {"ids": ids, "types": types, "lengths": lengths, "offsets": offsets}
        return found | {"cut": [bool(row.overflowing) for row in rows]}

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, in the composed form (NFC) that people write."""
        shown = [int(i) for i in ids if self.vocabulary[int(i)] not in self._named]
        return unicodedata.normalize("NFC", self._plain.decode(shown))

    @cached_property
    def display_tokens(self) -> list[str]:
        """The vocabulary as people read it, composed (NFC): stripping accents leaves
        the syllables of Korean as loose letters."""
        return [unicodedata.normalize("NFC", token) for token in self.vocabulary]

    def added_spans(self, text: str) -> list[tuple[int, int]]:
        """Characters [start, end) of the tokens that were added to the vocabulary."""
        encoding = self.encode(text)
        found = zip(encoding.ids, encoding.offsets, strict=True)
        return [span for id_, span in found if id_ in self._added]

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that are [UNK], in order."""
        encoding = self.encode(text)
        found = zip(encoding.ids, encoding.offsets, strict=True)
        return [text[start:end] for id_, (start, end) in found if id_ == self.unk_id]

    def dropped_share(self, text: str) -> float:
        """The share of a text's characters that stripping accents removes."""
        composed = unicodedata.normalize("NFC", text)
        kept = _count_marks(self.normalize(composed))
        return max(_count_marks(composed) - kept, 0) / max(len(composed), 1)

    def to_str(self) -> str:
        """The content of tokenizer.json; `parse` reads it back."""
        return self._json

    def save(self, path: str | Path) -> None:
        files.write_text(Path(path), self._json)


def _count_marks(text: str) -> int:
    return sum(unicodedata.category(character) == "Mn" for character in text)


def train(
    texts: Iterable[str], vocab_size: int, lowercase: bool, strip_accents: str = "auto"
) -> Tokenizer:
    """A vocabulary of at most `vocab_size`; reads `texts` twice.

    `strip_accents` is auto (as `lowercase`), always or never.

    The library numbers the alphabet in the order of a hash table, and ties between
    merges follow those numbers. Giving the whole alphabet as special tokens fixes the
    order; the vocabulary is then rebuilt with only the five.
    """
    library = _library({}, lowercase, strip_accents)
    pieces = _alphabet(texts, library, vocab_size)
    if not pieces or len(SPECIALS) + len(pieces) > vocab_size:
        raise UsageError(
            f"tokenizer.vocab_size={vocab_size} cannot hold the characters of this text"
        )
    alphabet = [piece for piece in pieces if not piece.startswith(PREFIX)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=MIN_FREQUENCY,
        show_progress=False,
        special_tokens=[*SPECIALS, *pieces],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
    )
    library.train_from_iterator(_lines(texts), trainer)
    return Tokenizer(_library(library.get_vocab(), lowercase, strip_accents))


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """The library reads several at once, with 40 times their size in memory."""
    for text in texts:
        for line in text.split("\n"):
            for start in range(0, len(line), LONGEST_LINE):
                yield line[start : start + LONGEST_LINE]


def load(path: str | Path, lowercase: bool, strip_accents: str = "auto") -> Tokenizer:
    """A vocab.txt or tokenizer.json, or the directory of one.

    Of a tokenizer.json, which says itself whether it strips accents, auto is that.
    """
    path = _find(Path(path))
    try:
        text = files.read_text(path, vocabulary.LARGEST)
    except UsageError as error:
        raise UsageError(f"cannot read the vocabulary {path}: {error}") from error
    if path.suffix != ".json":
        ids, said = vocabulary.read_lines(text, str(path))
        for line in said:
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
    """The tokenizer of a tokenizer.json's content; `name` is for the errors."""
    return Tokenizer(vocabulary.read_json(text, name))


def _find(path: Path) -> Path:
    names = [path / "tokenizer.json", path / "vocab.txt"] if path.is_dir() else [path]
    found = [name for name in names if name.is_file()]
    if not found:
        raise UsageError(f"no vocabulary at {path}: give a vocab.txt or tokenizer.json")
    return found[0]


def _library(
    ids: dict[str, int], lowercase: bool, strip_accents: str
) -> tokenizers.Tokenizer:
    strips = lowercase if strip_accents == "auto" else strip_accents == "always"
    return vocabulary.word_piece(ids, lowercase, strips, chinese=True)


def _complete(library: tokenizers.Tokenizer) -> None:
    """What a file may lack or have too much of, set the one way."""
    library.no_truncation()
    library.no_padding()
    library.add_special_tokens(list(SPECIALS))
    ids = library.get_vocab()
    cls, sep = ids["[CLS]"], ids["[SEP]"]
    library.post_processor = processors.BertProcessing(("[SEP]", sep), ("[CLS]", cls))
    library.decoder = decoders.WordPiece(prefix=PREFIX)


def _reading(text: str) -> tokenizers.Tokenizer:
    """The tokenizer of a tokenizer.json, by which every text is read: it can write
    [MASK], which is never a target, and tokens that a model has besides, but not [SEP]
    and the like, which are three words."""
    content = json.loads(text)
    for token in content["added_tokens"]:
        token["special"] = token["content"] in SPECIALS and token["content"] != "[MASK]"
    library = tokenizers.Tokenizer.from_str(json.dumps(content))
    library.encode_special_tokens = True
    return library


def _by_id(ids: dict[str, int]) -> list[str]:
    return sorted(ids, key=ids.__getitem__)


def _fingerprint(text: str) -> str:
    """Of every part of a tokenizer.json, but for how rows are cut and padded, which is
    asked for anew at each use."""
    parts = json.loads(text)
    left_out = ("version", "truncation", "padding")
    content = {name: part for name, part in parts.items() if name not in left_out}
    return "2:" + files.digest(json.dumps(content, sort_keys=True), length=12)


def _fingerprint_1(text: str) -> str:
    """What runs and stores of version 1 wrote down."""
    rules = json.loads(text)
    content = [rules["normalizer"], rules["pre_tokenizer"], rules["model"]]
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=6).hexdigest()


def _alphabet(texts, library: tokenizers.Tokenizer, vocab_size: int) -> list[str]:
    """Sorted characters, then sorted ##characters, as many as there is room for."""
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
    """Whether it can stand inside a word: no punctuation, no Chinese character."""
    text = library.normalizer.normalize_str("a" + character)
    return len(library.pre_tokenizer.pre_tokenize_str(text)) == 1
