"""Chunks and pairs: what must hold of every row, and that nothing but the text tells."""

import itertools
from typing import NamedTuple, cast
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from bert_jax.data import pairs
from bert_jax.data.chunks import as_text
from bert_jax.data.store import Split
from bert_jax.data.tokenizer import Tokenizer

PAD, CLS, SEP, FIRST = 0, 2, 3, 5


class Vocabulary(NamedTuple):
    """What pairs need of a tokenizer."""

    continuation: np.ndarray
    pad_id: int = PAD
    cls_id: int = CLS
    sep_id: int = SEP
    separator: tuple[int, ...] = (SEP,)
    pair_type: int = 1

    def special_count(self, paired: bool) -> int:
        return 2 + paired * len(self.separator)


def split_of(documents, tokens=None):
    """A split from sentence lengths; its token at position i is FIRST + i."""
    lengths = [length for document in documents for length in document]
    sentences = np.concatenate([[0], np.cumsum(lengths)])
    ends = np.cumsum([len(document) for document in documents])
    if tokens is None:
        tokens = FIRST + np.arange(sentences[-1], dtype=np.uint16)
    return Split(tokens, sentences, sentences[np.append(0, ends)], np.zeros(0))


def text_of(documents, kind, inside_words=()):
    split = split_of(documents)
    continuation = np.zeros(FIRST + len(split.tokens), bool)
    continuation[FIRST + np.array(inside_words, int)] = True
    return as_text(split, cast(Tokenizer, Vocabulary(continuation)), kind)


def chunks_of(documents, kind, length, inside_words=()):
    table = pairs.chunk_table(text_of(documents, kind, inside_words), kind, length)
    return list(zip(table.starts.tolist(), table.sizes.tolist(), strict=True))


def rows_of(text, kind, length, versions=1, seed=0):
    """The table, and a batch of all its chunks in each version."""
    table = pairs.chunk_table(text, kind, length)
    examples = np.tile(np.arange(len(table.starts)), versions)
    version = np.repeat(np.arange(versions), len(table.starts))
    batch = pairs.assemble(text, table, kind, length, examples, version, seed)
    return table, batch | {"examples": examples}


def segments_of(row, length):
    """Positions of A and of B, by the tokens' numbering."""
    middle = row.tolist().index(SEP)
    return row[1:middle] - FIRST, row[middle + 1 : length - 1] - FIRST


# The table of chunks, by hand. The budget of nsp is length - 3, of single length - 2.


def test_next_chunk_repeats_the_cut_sentence():
    assert chunks_of([[4, 4, 4]], "nsp", 9) == [(0, 6), (4, 6), (8, 4)]


def test_chunk_ending_with_sentence_has_no_overlap():
    assert chunks_of([[3, 3, 3]], "nsp", 9) == [(0, 6), (6, 3)]


def test_long_sentence_continues_at_its_cut():
    assert chunks_of([[2, 10, 3]], "nsp", 8) == [(0, 5), (2, 5), (7, 5), (12, 3)]
    assert chunks_of([[2, 10, 2]], "single", 7) == [(0, 5), (2, 5), (7, 5), (12, 2)]


def test_long_sentence_continues_at_cut_word():
    assert chunks_of([[12]], "single", 7, inside_words=[5, 6]) == [
        (0, 5),
        (4, 5),
        (9, 3),
    ]


def test_overlong_word_is_cut_and_kept():
    assert chunks_of([[9]], "single", 6, inside_words=range(1, 9)) == [
        (0, 4),
        (4, 4),
        (8, 1),
    ]


def test_chunks_stay_inside_their_document():
    assert chunks_of([[2, 2], [5], [3]], "nsp", 20) == [(0, 4), (4, 5), (9, 3)]


def test_single_words_are_no_pairs():
    documents = [[3], [4, 4]]
    assert chunks_of(documents, "nsp", 20, inside_words=[1, 2]) == [(3, 8)]
    assert chunks_of(documents, "single", 20, inside_words=[1, 2]) == [(0, 3), (3, 8)]


def test_full_sentences_cross_documents_with_a_separator_between():
    text = text_of([[2, 2], [3]], "full")
    _, batch = rows_of(text, "full", 10)
    expected = [CLS, 5, 6, 7, 8, SEP, 9, 10, 11, SEP]
    assert batch["ids"].tolist() == [expected]
    assert batch["types"].sum() == 0
    assert batch["lengths"].tolist() == [10]


def test_full_sentences_do_not_end_with_two_separators():
    _, batch = rows_of(text_of([[2, 2], [3]], "full"), "full", 7)
    assert batch["ids"].tolist() == [
        [CLS, 5, 6, 7, 8, SEP, PAD],
        [CLS, 9, 10, 11, SEP, PAD, PAD],
    ]


def test_single_is_one_padded_segment():
    _, batch = rows_of(text_of([[2, 1]], "single"), "single", 8)
    assert batch["ids"].tolist() == [[CLS, 5, 6, 7, SEP, PAD, PAD, PAD]]
    assert batch["lengths"].tolist() == [5]
    assert {
        name: array.dtype for name, array in batch.items() if name != "examples"
    } == {name: np.int32 for name in ("ids", "types", "lengths", "pair_label")}


# What must hold of every row.


@st.composite
def texts(draw, kind, shortest):
    """A text of 2 to 5 short documents, some tokens inside words, and a length."""
    sentence = st.integers(shortest, 14)
    document = st.lists(sentence, min_size=1, max_size=5)
    documents = draw(st.lists(document, min_size=2, max_size=5))
    split = split_of(documents)
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    inside = random.random(len(split.tokens)) < draw(st.sampled_from([0.0, 0.3, 0.7]))
    inside[split.sentences[:-1]] = False
    return text_of(documents, kind, np.flatnonzero(inside)), draw(st.integers(8, 40))


def documents_at(text, positions):
    return np.searchsorted(text.documents, positions, side="right") - 1


@pytest.mark.parametrize("kind", ["single", "full"])
@given(data=st.data())
def test_every_token_is_in_some_chunk(kind, data):
    text, length = data.draw(texts(kind, 1))
    _, batch = rows_of(text, kind, length)
    seen = np.unique(batch["ids"][batch["ids"] >= FIRST])
    assert seen.tolist() == text.tokens.tolist()


@given(data=st.data())
def test_nsp_leaves_out_unsplittable_chunks(data):
    text, length = data.draw(texts("nsp", 1))
    kept = pairs.chunk_table(text, "nsp", length)
    every = pairs.chunks(text, length - 3)
    for start, size in zip(every.starts, every.sizes, strict=True):
        assert 0 < size <= length - 3
        splits = text.opens(np.arange(start + 1, start + size)).any()
        assert splits == (start in kept.starts)


@given(data=st.data())
def test_nsp_rows(data):
    text, length = data.draw(texts("nsp", 1))
    table, batch = rows_of(text, "nsp", length, versions=3)
    for row, types, size, label, example in zip(
        *(batch[k] for k in ("ids", "types", "lengths", "pair_label", "examples")),
        strict=True,
    ):
        a, b = segments_of(row, size)
        assert row[0] == CLS and row[size - 1] == SEP and (row[size:] == PAD).all()
        assert types.tolist() == [0] * (len(a) + 2) + [1] * (len(b) + 1) + [0] * (
            length - size
        )
        assert a[0] == table.starts[example] and len(a) + len(b) <= table.sizes[example]
        assert (np.diff(a) == 1).all() and (np.diff(b) == 1).all() and len(b)
        assert text.boundary(b[:1]) > 0  # B does not start inside a word
        inside, outside = documents_at(text, a), documents_at(text, b)
        assert len(set(inside)) == len(set(outside)) == 1
        assert (inside[0] != outside[0]) if label else (b[0] == a[-1] + 1)


@given(data=st.data())
def test_sop_rows(data):
    text, length = data.draw(texts("sop", 1))
    _, batch = rows_of(text, "sop", length, versions=3)
    for row, size, label in zip(
        *(batch[k] for k in ("ids", "lengths", "pair_label")), strict=True
    ):
        a, b = segments_of(row, size)
        assert (np.diff(a) == 1).all() and (np.diff(b) == 1).all()
        assert len(a) and len(b) and size <= length
        assert len(set(documents_at(text, np.append(a, b)))) == 1
        assert b[-1] < a[0] if label else a[-1] < b[0]
        assert text.opens(np.array([a[0], b[0]])).all()


@pytest.mark.parametrize("kind", ["nsp", "sop"])
@given(data=st.data())
def test_label_does_not_change_shapes(kind, data):
    # A sentence of one token ends where it starts: there is nothing to shorten.
    text, length = data.draw(texts(kind, 2))
    draws = pairs.uniform

    def batch_with(coin):
        def forced(seed, versions, examples, name):
            drawn = draws(seed, versions, examples, name)
            return np.full_like(drawn, coin) if name == "coin" else drawn

        with mock.patch.object(pairs, "uniform", forced):
            return rows_of(text, kind, length, versions=2)[1]

    zero, one = batch_with(0.9), batch_with(0.1)
    assert not zero["pair_label"].any() and one["pair_label"].all()
    np.testing.assert_array_equal(zero["types"], one["types"])
    np.testing.assert_array_equal(zero["lengths"], one["lengths"])
    for rows in zip(zero["ids"], one["ids"], zero["lengths"], strict=True):
        segments = zip(*(segments_of(row, rows[2]) for row in rows[:2]), strict=True)
        for shown, other in segments:
            ends = text.boundary(np.array([shown[-1], other[-1]]) + 1)
            assert (ends == 2).sum() != 1
            assert len(shown) == 1 or ends[0] == ends[1]


def test_rows_depend_on_seed_and_version():
    text = text_of([[5] * 30, [7] * 30, [6] * 40], "nsp")

    def ids(version, seed):
        table = pairs.chunk_table(text, "nsp", 32)
        examples = np.arange(len(table.starts))
        versions = np.full_like(examples, version)
        return pairs.assemble(text, table, "nsp", 32, examples, versions, seed)["ids"]

    np.testing.assert_array_equal(ids(0, 0), ids(0, 0))
    assert (ids(0, 0) != ids(1, 0)).any() and (ids(0, 0) != ids(0, 1)).any()


def test_partners_are_uniform_over_other_documents():
    # Sentences of 3 against a rest of at most 3: all have room.
    text = text_of([[3, 3], [3] * 7, [3] * 5], "nsp")
    table = pairs.chunk_table(text, "nsp", 9)
    examples, versions = np.zeros(50_000, int), np.arange(50_000)
    batch = pairs.assemble(text, table, "nsp", 9, examples, versions, 0)
    random = batch["pair_label"] == 1
    starts = batch["ids"][random, 5] - FIRST
    counts = np.bincount((starts - 6) // 3, minlength=12)
    low, high = binom.interval(1 - 1e-6, random.sum(), 1 / 12)
    assert ((counts >= low) & (counts <= high)).all()


# Nothing but the text tells the label.

END, MARK, ABBREVIATION = 5, 6, 7  # "." and "!" that end sentences, "." that does not
STARTERS, WORDS, PIECES = (10, 20), (20, 60), (60, 80)


def corpus(sentences_per_document, shortest, longest):
    """Tokens that say nothing of their document; sentences that show start and end."""
    random = np.random.default_rng(0)
    lengths = random.integers(shortest, longest + 1, np.sum(sentences_per_document))
    bounds = np.append(0, np.cumsum(sentences_per_document))
    documents = [lengths[a:b] for a, b in itertools.pairwise(bounds)]
    split = split_of(documents, np.zeros(lengths.sum(), np.uint16))
    size = len(split.tokens)
    is_word = random.random(size) < 0.75
    words, pieces = random.integers(*WORDS, size), random.integers(*PIECES, size)
    split.tokens[:] = np.where(is_word, words, pieces)
    split.tokens[random.random(size) < 0.02] = ABBREVIATION
    ends = np.where(random.random(len(lengths)) < 0.9, END, MARK)
    split.tokens[split.sentences[1:] - 1] = ends
    split.tokens[split.sentences[:-1]] = random.integers(*STARTERS, len(lengths))
    return split


def labelled(split, kind, length, rows):
    vocabulary = Vocabulary(np.arange(PIECES[1]) >= PIECES[0])
    text = as_text(split, cast(Tokenizer, vocabulary), kind)
    versions = rows // len(pairs.chunk_table(text, kind, length).starts) + 1
    table, batch = rows_of(text, kind, length, versions)
    return batch, table.documents[batch["examples"]]


def shape_of(batch):
    """What can be seen of a row's shape: sizes, and how its segments end."""
    ids, lengths, rows = batch["ids"], batch["lengths"], np.arange(len(batch["ids"]))
    middle = (ids == SEP).argmax(axis=1)
    columns = [middle, lengths]
    for last in (ids[rows, middle - 1], ids[rows, lengths - 2]):
        columns += [
            np.isin(last, [END, MARK]),
            np.isin(last, [END, ABBREVIATION]),
            last >= PIECES[0],
        ]
    return np.stack(columns, axis=1).astype(np.int64)


def starts_of(batch):
    """Whether A and B start with the first word of a sentence."""
    ids, rows = batch["ids"], np.arange(len(batch["ids"]))
    middle = (ids == SEP).argmax(axis=1)
    firsts = np.stack([ids[:, 1], ids[rows, middle + 1]], axis=1)
    return ((firsts >= STARTERS[0]) & (firsts < STARTERS[1])).astype(np.int64)


def guess_by_table(seen, labels, new):
    """The majority label of the same features; of unseen ones, 0."""
    _, keys = np.unique(np.concatenate([seen, new]), axis=0, return_inverse=True)
    votes = np.bincount(keys[: len(seen)], 2 * labels - 1.0, keys.max() + 1)
    return votes[keys[len(seen) :]] > 0


def guess_by_line(seen, labels, new):
    """Least squares on each value of each feature."""

    def hot(features):
        widths = np.concatenate([seen, new]).max(axis=0) + 1
        columns = zip(features.T, widths, strict=True)
        return np.concatenate([np.eye(w)[c] for c, w in columns], axis=1)

    x = hot(seen)
    weights = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ (2.0 * labels - 1))
    return hot(new) @ weights > 0


def assert_at_chance(features, batch, documents):
    """Guessing the label on documents other than those learnt from."""
    learnt, labels = documents % 2 == 0, batch["pair_label"]
    low, high = binom.interval(1 - 1e-4, (~learnt).sum(), 0.5)
    for guess in (guess_by_table, guess_by_line):
        guessed = guess(features[learnt], labels[learnt], features[~learnt])
        assert low <= (guessed == labels[~learnt]).sum() <= high, guess.__name__


random = np.random.default_rng(1)
CORPORA = {
    "two to four sentences of 1 to 40 tokens": (random.integers(2, 5, 8000), 1, 40),
    "one to four sentences": (random.integers(1, 5, 8000), 3, 40),
    "one sentence": (np.ones(10_000, int), 3, 60),
    "long documents": (np.full(300, 200), 3, 40),
    "short and long": (
        np.concatenate(
            [random.integers(1, 4, 4000), random.integers(5, 21, 800), [99] * 90]
        ),
        1,
        60,
    ),
}


@pytest.mark.parametrize("length", [32, 128])
@pytest.mark.parametrize("kind", ["nsp", "sop"])
@pytest.mark.parametrize("name", CORPORA)
def test_shape_features_predict_label_at_chance(name, kind, length):
    batch, documents = labelled(corpus(*CORPORA[name]), kind, length, 20_000)
    assert_at_chance(shape_of(batch), batch, documents)


@pytest.mark.parametrize("kind", ["nsp", "sop"])
@pytest.mark.parametrize("name", ["one to four sentences", "long documents"])
def test_starts_of_short_sentences_predict_nothing(name, kind):
    batch, documents = labelled(corpus(*CORPORA[name]), kind, 128, 20_000)
    assert_at_chance(starts_of(batch), batch, documents)


@pytest.mark.parametrize("kind", ["nsp", "sop"])
def test_predictor_detects_unequal_ends(kind):
    with mock.patch.object(pairs, "_agree", lambda text, one, two, size, draw: size):
        batch, documents = labelled(corpus(*CORPORA["one sentence"]), kind, 32, 20_000)
    with pytest.raises(AssertionError):
        assert_at_chance(shape_of(batch), batch, documents)


@pytest.mark.parametrize("kind", ["nsp", "sop"])
@pytest.mark.parametrize("sentences", [*range(1, 21), "mixed"])
def test_labels_are_half_and_half_whatever_the_documents(kind, sentences):
    each = np.arange(1, 21).repeat(3) if sentences == "mixed" else [sentences] * 60
    batch, _ = labelled(corpus(each, 3, 20), kind, 64, 10_000)
    labels = batch["pair_label"]
    low, high = binom.interval(1 - 1e-4, len(labels), 0.5)
    assert low <= labels.sum() <= high
