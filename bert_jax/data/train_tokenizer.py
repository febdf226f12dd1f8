"""Training of a tokenizer: WordPiece (Devlin et al. 2019, section 3) or byte-level BPE
(Radford et al. 2019, section 2.2).

Two trainings on one text give the same file, byte for byte. The library's training of
Unigram does not, so that Unigram is loaded alone.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import tokenizers
from tokenizers import AddedToken, normalizers, pre_tokenizers, processors, trainers

from bert_jax.data import vocabulary
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.data.vocabulary import PREFIX, SPECIALS
from bert_jax.run.config import UsageError

# Limits of the alphabet: ALPHABET characters that occur inside words (Chinese ones do
# not), and, with ##characters, ALPHABET_SHARE of the vocabulary.
ALPHABET = 1000
ALPHABET_SHARE = 0.5
MIN_FREQUENCY = 2  # of a merged pair
LONGEST_LINE = 100_000  # characters; a longer one is cut, even inside a word
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())


def train(
    texts: Iterable[str],
    vocab_size: int,
    lowercase: bool,
    strip_accents: str = "auto",
    model: str = "wordpiece",
) -> Tokenizer:
    """Train a vocabulary of at most `vocab_size` tokens; reads `texts` twice at most.

    `model` is wordpiece or byte_bpe. `strip_accents` is auto (as `lowercase`), always
    or never.
    """
    strips = lowercase if strip_accents == "auto" else strip_accents == "always"
    train_model = {"wordpiece": _word_piece, "byte_bpe": _byte_bpe}[model]
    return train_model(texts, vocab_size, lowercase, strips)


def _byte_bpe(
    texts: Iterable[str], vocab_size: int, lowercase: bool, strips: bool
) -> Tokenizer:
    """Byte-level BPE with the special tokens of BERT. The mask takes the space before
    it, as RoBERTa's and ModernBERT's do."""
    if vocab_size < (least := len(SPECIALS) + len(BYTES)):
        raise UsageError(
            f"tokenizer.vocab_size={vocab_size} cannot hold the {len(BYTES)} bytes and "
            f"the special tokens: set {least} or more"
        )
    library = vocabulary.byte_level({}, [], add_prefix_space=True)
    if lowercase or strips:
        library.normalizer = normalizers.BertNormalizer(
            clean_text=False,
            handle_chinese_chars=False,
            strip_accents=strips,
            lowercase=lowercase,
        )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=MIN_FREQUENCY,
        show_progress=False,
        special_tokens=[AddedToken(t, lstrip=t == "[MASK]") for t in SPECIALS],
        initial_alphabet=BYTES,
    )
    library.train_from_iterator(_lines(texts), trainer)
    library.post_processor = _framing(library)
    return Tokenizer(library)


def _framing(library: tokenizers.Tokenizer) -> processors.PostProcessor:
    """The frame of BERT; offsets leave out the space before a word."""
    ids = library.get_vocab()
    template = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")],
    )
    return processors.Sequence([processors.ByteLevel(trim_offsets=True), template])


def _word_piece(
    texts: Iterable[str], vocab_size: int, lowercase: bool, strips: bool
) -> Tokenizer:
    """WordPiece with the rules of BERT.

    The library numbers the alphabet in the order of a hash table, and breaks ties
    between merges by these numbers. Passing the whole alphabet as special tokens fixes
    the order; the vocabulary is then rebuilt with only the five special tokens.
    """
    library = vocabulary.word_piece({}, lowercase, strips, chinese=True)
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
    ids = library.get_vocab()
    return Tokenizer(vocabulary.word_piece(ids, lowercase, strips, chinese=True))


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """Yield short lines: the library reads several at once, with 40 times their size in
    memory."""
    for text in texts:
        for line in text.split("\n"):
            for start in range(0, len(line), LONGEST_LINE):
                yield line[start : start + LONGEST_LINE]


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
