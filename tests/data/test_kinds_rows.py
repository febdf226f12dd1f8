"""Rows of pretraining by tokenizers of every kind: sentences, pairs, whole words."""

import numpy as np
import pytest

from bert_jax.data import pairs, shared_rows, workers
from bert_jax.data.chunks import as_text
from bert_jax.data.store import Split

DOCUMENTS = [
    "The cat sat on the mat. Dogs ran! The unaffable dog's mat. It sat on a cat.",
    "A naïve dog ran. The “cat” sat. The mats ran on the cats.",
    "Dogs sat. The dogs ran on the mat. Unaffable cats ran. The dog sat.",
] * 3
LENGTH = 20


def split_of(words) -> Split:
    """A split of the documents."""
    tokens = workers.tokenise(words, (DOCUMENTS, [True] * len(DOCUMENTS)))
    sentences = np.concatenate([[0], np.cumsum(tokens.sentences)])
    documents = sentences[np.concatenate([[0], np.cumsum(tokens.texts)])]
    counts = np.bincount(tokens.ids, minlength=words.vocab_size)
    return Split(tokens.ids, sentences, documents, counts)


@pytest.fixture
def split(words) -> Split:
    return split_of(words)


def test_sentences_of_a_document_are_its_text(words, split):
    """FAMILIES: sentences encoded one by one lost the space before their first word, so
    that none opened a word."""
    starts = split.sentences[:-1]
    inner = ~np.isin(starts, split.documents)
    assert inner.sum() == 3 * 8
    assert not words.continuation[split.tokens[starts[inner]]].any()
    document = split.tokens[: split.documents[1]].tolist()
    assert document == words.ids([DOCUMENTS[0]])[0]
    text = as_text(split, words, "single")
    long = np.diff(split.sentences) > 1
    assert text.opens(starts)[long].all()


def test_a_part_of_a_document_follows_it(words):
    begun, later = (workers.tokenise(words, (["The cat."], [b])) for b in (True, False))
    assert begun.ids.tolist() == words.ids(["The cat."])[0]
    assert later.ids.tolist() == words.ids([words.following("The cat.")])[0]


@pytest.mark.parametrize("kind", ["nsp", "sop", "single", "full"])
def test_rows_are_framed_as_the_tokenizer_does(words, split, kind):
    text = as_text(split, words, kind)
    table = pairs.chunk_table(text, kind, LENGTH)
    numbers = np.arange(len(table.starts))
    chunk = table.select(numbers)
    versions = np.zeros_like(numbers)
    made = pairs.segments(text, chunk, kind, numbers, versions, 0)
    batch = pairs.assemble(text, table, kind, LENGTH, numbers, versions, 0)
    assert len(numbers) > 5
    for i, length in enumerate(batch["lengths"]):
        first = text.read(made.first[i] + np.arange(made.first_size[i])).tolist()
        second = text.read(made.second[i] + np.arange(made.second_size[i])).tolist()
        row = words.framed(first, second if kind in ("nsp", "sop") else None)
        assert batch["ids"][i, :length].tolist() == row
        assert (batch["ids"][i, length:] == words.pad_id).all()
        begin = len(row) - len(second) - 1 if second else LENGTH
        expected = (np.arange(LENGTH) >= begin) & (np.arange(LENGTH) < length)
        assert batch["types"][i].tolist() == (expected * words.pair_type).tolist()
    assert batch["lengths"].max() <= LENGTH
    assert kind in ("nsp", "sop") or batch["lengths"].max() == LENGTH


def test_shared_rows_are_framed_alike(masked_words):
    kinds = ("single", "pair", "nsp", "single_word")
    made = shared_rows.make(kinds, split_of(masked_words), masked_words, LENGTH, True)
    for kind, rows in made.items():
        [batch] = rows.evaluation(256, 0, slice(None))
        real = np.flatnonzero(batch["weights"])
        for i in real:
            length, ids = batch["lengths"][i], batch["ids"][i].copy()
            used = batch["target_weights"][i] > 0
            ids[batch["positions"][i][used]] = batch["targets"][i][used]
            assert not masked_words.special[batch["targets"][i][used]].any()
            inner = np.flatnonzero(ids[1 : length - 1] == masked_words.sep_id)
            separators = len(masked_words.separator) if kind in ("pair", "nsp") else 0
            assert len(inner) == separators
            assert (ids[0], ids[length - 1]) == (
                masked_words.cls_id,
                masked_words.sep_id,
            )
            segments = masked_words.segments(ids[:length])
            assert (
                batch["types"][i, :length].tolist()
                == (segments * masked_words.pair_type).tolist()
            )
        assert batch["target_weights"].sum() > 0


def test_rows_of_words_mask_whole_words(masked_words):
    """All of a word or none; of one word a row, a part may fill up what is left."""
    text = "the unaffable dogs' naïve mats, sat on unaffable cats! " * 4
    ids = np.array(masked_words.ids([text]))
    numbers, inside = np.zeros(1, int), np.ones_like(ids, bool)
    group = np.cumsum(~masked_words.continuation[ids[0]])
    partly, whole = [], []
    for number in range(40):
        chosen, _ = shared_rows.mask(
            ids, inside, numbers + number, "word", masked_words
        )
        counts = np.bincount(group[chosen[0]], minlength=group[-1] + 1)
        sizes = np.bincount(group, minlength=group[-1] + 1)
        partly.append(int(((counts > 0) & (counts < sizes)).sum()))
        whole.append(int(((counts == sizes) & (sizes > 1)).sum()))
    assert max(partly) <= 1
    assert sum(whole) > sum(partly)
    assert len(set(group)) >= len(text.split())


def test_the_share_of_masked_tokens_is_kept(masked_words):
    ids = np.array(
        masked_words.ids(["the unaffable dogs sat on the mats, naïve cats. " * 4] * 300)
    )
    numbers = np.arange(len(ids))
    for unit in ("token", "word"):
        chosen, new = shared_rows.mask(
            ids, np.ones_like(ids, bool), numbers, unit, masked_words
        )
        share = chosen.mean() / (~masked_words.special[ids]).mean()
        assert abs(share - 0.15) < 0.012, unit
        assert abs((new[chosen] == masked_words.mask_id).mean() - 0.8) < 0.02
