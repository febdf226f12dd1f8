"""Batches are functions of (seed, step); the thread ahead of them changes nothing."""

import itertools
import threading
from typing import NamedTuple, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_collections import ConfigDict

from bert_jax.data.pipeline import Pipeline, prefetch
from bert_jax.data.store import Split
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.run.config import UsageError

ALL_ROWS = slice(None)


class Vocabulary(NamedTuple):
    """What pairs need of a tokenizer."""

    continuation: np.ndarray
    pad_id: int = 0
    cls_id: int = 2
    sep_id: int = 3
    separator: tuple[int, ...] = (3,)
    pair_type: int = 1

    def special_count(self, paired: bool) -> int:
        return 2 + paired * len(self.separator)


def pipeline(documents=12, sentences=9, kind="nsp", copies=0, seed=0):
    """Over sentences of five tokens; at length 16 most chunks are full."""
    size = documents * sentences * 5
    split = Split(
        5 + np.arange(size, dtype=np.uint16),
        np.arange(0, size + 1, 5),
        np.arange(0, size + 1, sentences * 5),
        np.zeros(0),
    )
    vocabulary = Vocabulary(np.zeros(5 + size, bool))
    config = ConfigDict({"pairs": kind, "length": 16, "copies": copies})
    return Pipeline(split, cast(Tokenizer, vocabulary), config, seed)


def assert_equal(one, two):
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
        assert one[name].dtype == two[name].dtype


def epoch(pipe, number):
    """All rows of an epoch, by batches of one."""
    count = pipe.num_examples
    rows = [pipe.batch(number * count + i, 1, ALL_ROWS) for i in range(count)]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def test_the_keys_of_a_batch():
    batch = pipeline().batch(3, 4, ALL_ROWS)
    assert {name: (array.shape, array.dtype) for name, array in batch.items()} == {
        "ids": ((4, 16), np.int32),
        "types": ((4, 16), np.int32),
        "lengths": ((4,), np.int32),
        "pair_label": ((4,), np.int32),
        "example_ids": ((4,), np.int32),
        "epochs": ((4,), np.int32),
        "rows": ((4,), np.int32),
        "weights": ((4,), np.float32),
    }


@pytest.mark.parametrize("kind", ["nsp", "sop", "single", "full"])
def test_epochs_are_permutations(kind):
    pipe = pipeline(kind=kind)
    orders = [epoch(pipe, number)["example_ids"].tolist() for number in range(3)]
    assert all(sorted(order) == list(range(pipe.num_examples)) for order in orders)
    assert orders[0] != orders[1] != orders[2]


@given(
    step=st.integers(0, 10**6),
    size=st.integers(1, 40),
    chosen=st.lists(st.integers(0, 39), min_size=1, max_size=9, unique=True),
    kind=st.sampled_from(["nsp", "sop"]),
)
def test_rows_are_equal_for_any_host(step, size, chosen, kind):
    pipe = pipeline(kind=kind)
    rows = np.array([row % size for row in chosen])
    full = pipe.batch(step, size, ALL_ROWS)
    part = pipeline(kind=kind).batch(step, size, rows)
    assert_equal(part, {name: array[rows] for name, array in full.items()})


def test_rows_do_not_depend_on_batch_size():
    pipe = pipeline()
    small = [pipe.batch(step, 5, ALL_ROWS) for step in range(4)]
    large = pipe.batch(0, 20, ALL_ROWS)
    for name in large.keys() - {"rows"}:
        joined = np.concatenate([batch[name] for batch in small])
        np.testing.assert_array_equal(joined, large[name])


def test_a_batch_straddles_epochs():
    pipe = pipeline()
    count = pipe.num_examples
    size = count - 1
    batch = pipe.batch(1, size, ALL_ROWS)
    assert batch["epochs"].tolist() == [0] + [1] * (size - 1)
    order = epoch(pipe, 1)["example_ids"]
    np.testing.assert_array_equal(batch["example_ids"][1:], order[: size - 1])


def test_seeds_and_epochs_give_other_pairs():
    first, second = (epoch(pipeline(seed=0), number) for number in (0, 1))
    other = epoch(pipeline(seed=1), 0)
    for rows in (second, other):
        here, there = (np.argsort(batch["example_ids"]) for batch in (first, rows))
        assert (first["ids"][here] != rows["ids"][there]).any()


def test_copies_repeat_in_turn_while_epochs_count_on():
    pipe = pipeline(copies=2)
    epochs = [epoch(pipe, number) for number in range(4)]
    ids = [rows["ids"][np.argsort(rows["example_ids"])] for rows in epochs]
    np.testing.assert_array_equal(ids[0], ids[2])
    np.testing.assert_array_equal(ids[1], ids[3])
    assert (ids[0] != ids[1]).any()
    assert [rows["epochs"][0] for rows in epochs] == [0, 1, 2, 3]
    assert (epochs[0]["example_ids"] != epochs[2]["example_ids"]).any()


def test_evaluation_pads_last_batch_with_weight_0():
    pipe = pipeline()
    batches = list(pipe.evaluation(7, 0, ALL_ROWS))
    assert {batch["ids"].shape for batch in batches} == {(7, 16)}
    weights = np.concatenate([batch["weights"] for batch in batches])
    examples = np.concatenate([batch["example_ids"] for batch in batches])
    assert examples[weights == 1].tolist() == list(range(pipe.num_examples))
    assert (weights[: pipe.num_examples] == 1).all()
    assert pipe.num_examples % 7 and (weights[pipe.num_examples :] == 0).all()


def test_evaluation_does_not_depend_on_seed():
    for one, two in zip(
        pipeline(seed=0).evaluation(8, 0, ALL_ROWS),
        pipeline(seed=1).evaluation(8, 0, ALL_ROWS),
        strict=True,
    ):
        assert_equal(one, two)


def test_evaluation_of_some_is_spread_over_the_text():
    pipe = pipeline()
    batches = list(pipe.evaluation(4, 6, ALL_ROWS))
    examples = np.concatenate([batch["example_ids"] for batch in batches])[:6]
    assert sum(batch["weights"].sum() for batch in batches) == 6
    assert (np.diff(examples) >= pipe.num_examples // 6).all()


def test_hosts_share_the_rows_of_an_evaluation():
    pipe = pipeline()
    hosts = [pipe.evaluation(8, 0, rows) for rows in (slice(0, 4), np.arange(4, 8))]
    for full, first, second in zip(
        pipe.evaluation(8, 0, ALL_ROWS), *hosts, strict=True
    ):
        both = {k: np.concatenate([first[k], second[k]]) for k in full}
        assert_equal(full, both)


def test_the_audit_counts_padding_and_labels():
    pipe = pipeline()
    audit = pipe.audit(10_000)
    rows = epoch(pipe, 0)
    assert audit["examples"] == pipe.num_examples
    assert audit["random_share"] == rows["pair_label"].mean()
    assert audit["padding_share"] == pytest.approx((rows["ids"] == 0).mean())


def test_too_few_examples_for_a_batch_are_refused():
    pipe = pipeline()
    with pytest.raises(UsageError, match=f"{pipe.num_examples} examples .* of 1000"):
        pipe.batch(0, 1000, ALL_ROWS)


def test_one_document_is_refused_for_nsp_alone():
    with pytest.raises(UsageError, match="nsp .* other documents"):
        pipeline(documents=1)
    for kind in ("sop", "single", "full"):
        assert pipeline(documents=1, kind=kind).num_examples


def test_a_split_of_no_example_is_refused():
    split = Split(np.full(2, 5), np.arange(3), np.arange(3), np.zeros(0))
    vocabulary = cast(Tokenizer, Vocabulary(np.zeros(6, bool)))
    config = ConfigDict({"pairs": "nsp", "length": 16, "copies": 0})
    with pytest.raises(UsageError, match="no example can be made of the 2 tokens"):
        Pipeline(split, vocabulary, config, 0)


@pytest.mark.parametrize(("kind", "short"), [("nsp", 2), ("single", 0), ("full", 0)])
def test_documents_too_short_are_counted(kind, short):
    """FAULTS, kind I: two documents of a single word make no pair."""
    split = Split(
        np.full(22, 5),
        np.array([0, 10, 20, 21, 22]),
        np.array([0, 10, 20, 21, 22]),
        np.zeros(0),
    )
    config = ConfigDict({"pairs": kind, "length": 16, "copies": 0})
    vocabulary = cast(Tokenizer, Vocabulary(np.zeros(6, bool)))
    pipe = Pipeline(split, vocabulary, config, 0)
    assert pipe.left_out == short
    assert ("2 documents are too short for an example" in pipe.describe()) == bool(
        short
    )


def test_prefetch_gives_the_batches_in_order():
    pipe = pipeline()
    batches = prefetch(lambda step: pipe.batch(step, 4, ALL_ROWS), 5, 3)
    for step, batch in enumerate(itertools.islice(batches, 10), 5):
        assert_equal(batch, pipe.batch(step, 4, ALL_ROWS))
    batches.close()


def test_prefetch_stays_within_its_depth():
    made = []
    batches = prefetch(lambda step: made.append(step) or {}, 0, 2)
    next(batches)
    batches.close()
    assert made in ([0], [0, 1], [0, 1, 2])


def test_prefetch_raises_errors_at_their_batch():
    def make(step):
        if step == 2:
            raise UsageError("broken")
        return {"step": np.array(step)}

    batches = prefetch(make, 0, 4)
    assert [int(next(batches)["step"]) for _ in range(2)] == [0, 1]
    with pytest.raises(UsageError, match="broken"):
        next(batches)


def test_closing_a_prefetch_ends_its_thread():
    batches = prefetch(lambda step: {}, 0, 2)
    next(batches)
    batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("prefetch")]
    assert next(batches, None) is None
