"""Shared evaluation rows: one table, masked once, whatever an arm is trained on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.data import shared_rows, store
from bert_jax.data.chunks import as_text, chunks
from bert_jax.objectives import pretrain
from bert_jax.run.config import UsageError
from tests.storing import generated, silent

LENGTH = 32
KINDS = ("single", "pair", "nsp", "single_word")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Some 15 held-out documents of random words."""
    config = generated(tmp_path_factory.mktemp("corpus"))
    return store.prepare(config, silent)


@pytest.fixture(scope="module")
def made(corpus):
    return shared_rows.make(KINDS, corpus.valid, corpus.tokenizer, LENGTH, True)


def read(rows, size=16, most=0, hosts=(slice(None),)):
    """All rows of a kind, fillers left out, in order."""
    parts = [
        {name: array[batch["weights"] > 0] for name, array in batch.items()}
        for given in zip(*(rows.evaluation(size, most, host) for host in hosts))
        for batch in given
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def unmasked(batch):
    """The ids with every target where it was."""
    ids = batch["ids"].copy()
    rows, slots = np.nonzero(batch["target_weights"])
    ids[rows, batch["positions"][rows, slots]] = batch["targets"][rows, slots]
    return ids


def test_single_and_pair_rows_have_equal_targets(made, corpus):
    """FAULTS 54: targets, their count and their unigram loss, to the last bit."""
    single, pair = read(made["single"]), read(made["pair"])
    for name in ("targets", "target_weights", "example_ids"):
        np.testing.assert_array_equal(single[name], pair[name])
    special = corpus.tokenizer.special
    log_probs = pretrain.unigram_log_probs(corpus.train.counts, special)
    one, two = (
        (batch["target_weights"] * log_probs[batch["targets"]]).sum()
        for batch in (single, pair)
    )
    assert one == two != 0


def test_single_and_pair_rows_have_equal_masks(made, corpus):
    """Without [CLS] and [SEP] their ids are the same, masks included."""
    outer = {corpus.tokenizer.cls_id, corpus.tokenizer.sep_id, corpus.tokenizer.pad_id}
    single, pair = read(made["single"])["ids"], read(made["pair"])["ids"]
    for one, two in zip(single, pair, strict=True):
        assert [i for i in one if i not in outer] == [i for i in two if i not in outer]


def test_rows_hold_the_text_of_their_chunks(made, corpus):
    text = as_text(corpus.valid, corpus.tokenizer, "single")
    table = chunks(text, LENGTH - 3)
    batch = read(made["pair"])
    for number, row in zip(batch["example_ids"], unmasked(batch), strict=True):
        chunk = text.read(table.starts[number] + np.arange(table.sizes[number]))
        inner = row[(row != corpus.tokenizer.pad_id) & (row != corpus.tokenizer.sep_id)]
        assert inner.tolist() == [corpus.tokenizer.cls_id, *chunk]


def test_pairs_are_cut_at_sentences_or_middle_words(made, corpus):
    text = as_text(corpus.valid, corpus.tokenizer, "single")
    table, batch = chunks(text, LENGTH - 3), read(made["pair"])
    first = (batch["ids"] == corpus.tokenizer.sep_id).argmax(1) - 1
    seen = set()
    for number, size in zip(batch["example_ids"], first, strict=True):
        start, full_size = table.starts[number], table.sizes[number]
        places = start + np.arange(1, full_size)
        sentences = places[text.between_sentences(places)] - start
        words = np.flatnonzero(text.boundary(places)) + 1
        seen.add(len(sentences) > 0)
        if len(sentences):
            assert size in sentences
        else:
            assert abs(2 * size - full_size) == abs(2 * words - full_size).min()
    assert seen == {True, False}


def test_half_of_nsp_rows_are_random_pairs(made):
    labels = read(made["nsp"])["pair_label"]
    assert 0.3 < labels.mean() < 0.7
    assert not read(made["pair"])["pair_label"].any()


@pytest.mark.parametrize("kind", KINDS)
def test_masks_follow_bert_shares(made, corpus, kind):
    batch, tokenizer = read(made[kind]), corpus.tokenizer
    outer = {tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id}
    maskable = sum(
        not tokenizer.special[i]
        for row in unmasked(batch)
        for i in row
        if i not in outer
    )
    assert batch["target_weights"].sum() / maskable == pytest.approx(0.15, rel=0.08)
    assert (batch["target_weights"].sum(1) >= 1)[batch["lengths"] > 12].all()
    rows, slots = np.nonzero(batch["target_weights"])
    there = batch["ids"][rows, batch["positions"][rows, slots]]
    targets = batch["targets"][rows, slots]
    assert not tokenizer.special[targets].any()
    assert (there == tokenizer.mask_id).mean() == pytest.approx(0.8, abs=0.06)
    assert (there == targets).mean() == pytest.approx(0.1, abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_do_not_depend_on_batch_or_hosts(made, kind):
    full_size = read(made[kind], 16)
    shared = read(made[kind], 12, hosts=(slice(0, 6), np.arange(6, 12)))
    for name in full_size.keys() - {"rows"}:
        np.testing.assert_array_equal(full_size[name], shared[name], err_msg=name)


def test_fillers_ask_for_nothing(made):
    rows = made["single"]
    size = rows.num_examples - 1
    *_, last = rows.evaluation(size, 0, slice(None))
    assert last["weights"].sum() == 1
    assert not last["target_weights"][1:].any()
    assert len(list(rows.evaluation(size, 3, slice(None)))) == 1


def test_untyped_rows_have_one_type(made, corpus):
    plain = shared_rows.make(["pair"], corpus.valid, corpus.tokenizer, LENGTH, False)
    one, two = read(plain["pair"]), read(made["pair"])
    assert not one["types"].any()
    assert two["types"].any(1).all()
    np.testing.assert_array_equal(one["ids"], two["ids"])


class Words:
    """A vocabulary of 50 whole words and 50 continuations, after five specials."""

    special = np.arange(105) < 5
    continuation = np.arange(105) >= 55
    mask_id = 4


def words_of(size, count):
    """A row of words of so many tokens."""
    ids = np.where(np.arange(size * count) % size == 0, 7, 60)[None]
    return ids, np.ones_like(ids, bool)


@given(size=st.integers(1, 40), number=st.integers(0, 10**6))
def test_word_masks_keep_their_share(size, number):
    ids, inside = words_of(size, max(2, 120 // size))
    numbers = number + np.arange(64)
    many, here = np.repeat(ids, 64, 0), np.repeat(inside, 64, 0)
    chosen, _ = shared_rows.mask(many, here, numbers, "word", Words)  # pyright: ignore
    assert chosen.any(1).all()
    assert chosen.mean() == pytest.approx(0.15, rel=0.1)


def test_short_words_are_masked_completely():
    ids, inside = words_of(2, 60)
    many, here = np.repeat(ids, 64, 0), np.repeat(inside, 64, 0)
    chosen, _ = shared_rows.mask(many, here, np.arange(64), "word", Words)  # pyright: ignore
    np.testing.assert_array_equal(chosen[:, ::2], chosen[:, 1::2])


def test_single_word_chunks_are_left_out(tmp_path):
    config = generated(tmp_path, documents=40)
    made = store.prepare(config, silent)
    split = made.valid
    head = int(split.documents[1])
    # The first document becomes one word: a start, and tokens that go on with it.
    tokens = np.array(split.tokens)
    pieces = np.flatnonzero(made.tokenizer.continuation)
    tokens[1:head] = pieces[0]
    tokens[0] = np.flatnonzero(~made.tokenizer.continuation & ~made.tokenizer.special)[
        0
    ]
    long = split._replace(
        tokens=tokens,
        sentences=np.concatenate([[0], split.sentences[split.sentences >= head]]),
    )
    rows = shared_rows.make(KINDS, long, made.tokenizer, LENGTH, True)
    numbers = {kind: rows[kind].numbers.tolist() for kind in KINDS}
    table = rows["single"].table
    assert numbers["single"] == numbers["pair"] == numbers["single_word"]
    assert (table.documents[numbers["single"]] > 0).all()
    assert (table.documents == 0).any()


def test_rows_of_too_little_text_are_refused(corpus):
    split = corpus.valid
    short = split._replace(
        tokens=split.tokens[:1],
        sentences=np.array([0, 1]),
        documents=np.array([0, 1]),
    )
    with pytest.raises(
        UsageError, match=r"no row of eval\.rows=pair .* give more text"
    ):
        shared_rows.make(["pair"], short, corpus.tokenizer, LENGTH, True)
    alone = split._replace(documents=split.documents[[0, -1]])
    with pytest.raises(UsageError, match=r"eval\.rows=nsp .* other documents"):
        shared_rows.make(["nsp"], alone, corpus.tokenizer, LENGTH, True)
