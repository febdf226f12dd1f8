"""Word2vec (Mikolov et al. 2013a, "Efficient Estimation of Word Representations in
Vector Space", section 3; negative sampling as in 2013b, section 2.2) and fastText
(Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information"), by gensim.

A separate module, as gensim takes seconds to import and only this needs it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gensim.models import FastText, Word2Vec
from gensim.models.fasttext import ft_ngram_hashes

DIM, WINDOW = 100, 5
READ = 5_000_000  # tokens to read over all epochs
FEWEST, MOST = 5, 200  # epochs
LARGE = 1_000_000  # tokens from which rare words are left out, as word2vec.c does
RARE = 5  # least count of a word in a large corpus
SHORTEST, LONGEST = 3, 6  # characters of an n-gram, marks of a word's ends included
BUCKETS = 200_000  # rows of n-grams, 80 MB; fastText's own 2 million suit the web

Compose = Callable[[str], np.ndarray | None]


def train(
    sentences: Sequence[Sequence[str]], kind: str, seed: int
) -> tuple[list[str], np.ndarray]:
    """Return the words, by descending frequency, and their vectors (V, DIM) float32.

    kind: "skipgram" predicts the words around a word, "cbow" a word from those around
    it. It runs on one thread, so that a seed always gives the same bits. ValueError for
    sentences without words.
    """
    model = Word2Vec(**_options(sentences, seed), sg=int(kind == "skipgram"))
    return _vectors(model)


def train_subwords(
    sentences: Sequence[Sequence[str]], seed: int
) -> tuple[list[str], np.ndarray, Compose]:
    """`train` of fastText's skip-gram, and a function that composes a vector for a word
    that is none of them.

    A word's vector is the mean of its own and those of its character n-grams. Another
    word gets the mean of its n-grams that a trained word has too, None if there is none:
    fastText itself counts n-grams that were never trained, whose vectors are noise.
    """
    options = _options(sentences, seed)
    options |= {"sg": 1, "min_n": SHORTEST, "max_n": LONGEST, "bucket": BUCKETS}
    model: Any = FastText(**options)
    rows = model.wv.vectors_ngrams
    trained = np.zeros(BUCKETS, bool)
    for buckets in model.wv.buckets_word:
        trained[buckets] = True

    def compose(word: str) -> np.ndarray | None:
        buckets = np.array(ft_ngram_hashes(word, SHORTEST, LONGEST, BUCKETS), int)
        buckets = buckets[trained[buckets]]
        return rows[buckets].mean(0) if len(buckets) else None

    return *_vectors(model), compose


def _options(sentences: Sequence[Sequence[str]], seed: int) -> dict[str, Any]:
    tokens = sum(map(len, sentences))
    if not tokens:
        raise ValueError("word2vec learns from words: there is none")
    return {
        "sentences": list(sentences),
        "vector_size": DIM,
        "window": WINDOW,
        "min_count": RARE if tokens >= LARGE else 1,
        "workers": 1,
        "seed": seed,
        "epochs": epochs(tokens),
    }


def _vectors(model: Any) -> tuple[list[str], np.ndarray]:
    return list(map(str, model.wv.index_to_key)), np.array(model.wv.vectors, np.float32)


def epochs(tokens: int) -> int:
    """The number of epochs over a corpus of `tokens` tokens."""
    return min(MOST, max(FEWEST, round(READ / tokens)))
