"""Word2vec (Mikolov et al. 2013a, "Efficient Estimation of Word Representations in
Vector Space", section 3; negative sampling as in 2013b, section 2.2), by gensim.

A separate module, as gensim takes seconds to import and only this needs it.
"""

from collections.abc import Sequence

import numpy as np
from gensim.models import Word2Vec

DIM, WINDOW = 100, 5
READ = 5_000_000  # tokens to read over all epochs
FEWEST, MOST = 5, 200  # epochs
LARGE = 1_000_000  # tokens from which rare words are left out, as word2vec.c does
RARE = 5  # least count of a word in a large corpus


def train(
    sentences: Sequence[Sequence[str]], kind: str, seed: int
) -> tuple[list[str], np.ndarray]:
    """Return the words, by descending frequency, and their vectors (V, DIM) float32.

    kind: "skipgram" predicts the words around a word, "cbow" a word from those around
    it. It runs on one thread, so that a seed always gives the same bits. ValueError for
    sentences without words.
    """
    tokens = sum(map(len, sentences))
    if not tokens:
        raise ValueError("word2vec learns from words: there is none")
    model = Word2Vec(
        list(sentences),
        vector_size=DIM,
        window=WINDOW,
        min_count=RARE if tokens >= LARGE else 1,
        sg=int(kind == "skipgram"),
        workers=1,
        seed=seed,
        epochs=epochs(tokens),
    )
    return list(map(str, model.wv.index_to_key)), np.array(model.wv.vectors, np.float32)


def epochs(tokens: int) -> int:
    """The number of epochs over a corpus of `tokens` tokens."""
    return min(MOST, max(FEWEST, round(READ / tokens)))
