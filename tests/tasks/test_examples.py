"""Batches of labelled examples: complete, repeatable, and of little padding."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.run.config import UsageError
from bert_jax.tasks.examples import WIDTHS, Examples
from bert_jax.tasks.features import NO_LABEL, Features

PAD = 0


def examples(lengths, seed=0, *, length=512, choices=1, tags=False) -> Examples:
    """Rows of these lengths, their tokens numbered from 1 on; labels are the numbers
    of the examples, or of tags those of the tokens."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.arange(1, starts[-1] + 1, dtype=np.int32)
    number = len(lengths) // choices
    made = Features(
        ids=ids,
        types=ids % 2,
        starts=starts,
        choices=choices,
        targets=ids if tags else np.arange(number, dtype=np.int32),
        owners=np.arange(number),
        places=[],
        lost={"texts cut": 0},
    )
    return Examples(range(number), made, PAD, length, seed)


def epochs(found: Examples, batch_size: int, count: int) -> list[list[int]]:
    """The numbers of the examples of each epoch, in their order."""
    last = -(-count * found.num_examples // batch_size)
    batches = [found.batch(step, batch_size, slice(None)) for step in range(last)]
    seen = [[] for _ in range(count + 1)]
    for batch in batches:
        for epoch, example in zip(batch["epochs"], batch["example_ids"], strict=True):
            seen[epoch].append(int(example))
    return seen[:count]


sizes = st.integers(1, 120).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


@given(sizes, st.integers(0, 9))
def test_every_example_comes_once_an_epoch_also_where_batches_straddle(size, seed):
    number, batch_size = size
    lengths = np.random.default_rng(seed).integers(2, 60, number)
    for epoch in epochs(examples(lengths, seed), batch_size, 3):
        assert sorted(epoch) == list(range(number))


@given(sizes, st.integers(0, 300), st.data())
def test_the_rows_of_a_host_are_those_of_the_whole_batch(size, step, data):
    number, batch_size = size
    lengths = np.random.default_rng(step).integers(2, 60, number)
    own = data.draw(st.lists(st.integers(0, batch_size - 1), min_size=1, unique=True))
    whole = examples(lengths).batch(step, batch_size, slice(None))
    part = examples(lengths).batch(step, batch_size, np.array(own))
    assert whole.keys() == part.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(part[name], array[own], err_msg=name)


def test_a_row_is_its_pieces_and_padding():
    found = examples([3, 5, 2, 4])
    batch = found.batch(0, 4, slice(None))
    for row, example in enumerate(batch["example_ids"]):
        begin, end = found.features.starts[example : example + 2]
        padding = [PAD] * (width(5) - (end - begin))
        assert batch["ids"][row].tolist() == [*range(begin + 1, end + 1), *padding]
        np.testing.assert_array_equal(batch["types"][row], batch["ids"][row] % 2)
    np.testing.assert_array_equal(batch["label"], batch["example_ids"])
    assert batch["rows"].tolist() == [0, 1, 2, 3]
    assert batch["weights"].tolist() == [1, 1, 1, 1]


def test_tags_are_padded_with_no_label():
    batch = examples([3, 5, 2], tags=True).batch(0, 3, slice(None))
    real = np.arange(width(5)) < batch["lengths"][:, None]
    np.testing.assert_array_equal(batch["label"][real], batch["ids"][real])
    assert (batch["label"][~real] == NO_LABEL).all()


def test_choices_have_a_dimension_of_their_own():
    batch = examples([3, 5, 2, 4, 6, 2], choices=3).batch(0, 2, slice(None))
    assert batch["ids"].shape == batch["types"].shape == (2, 3, width(6))
    order = batch["example_ids"]
    lengths = np.array([[3, 5, 2], [4, 6, 2]])
    np.testing.assert_array_equal(batch["lengths"], lengths[order])
    np.testing.assert_array_equal(batch["label"], order)
    assert batch["ids"][order == 1, 1, 0] == 3 + 5 + 2 + 4 + 1


def test_a_row_is_never_wider_than_data_length():
    batch = examples([20] * 4, length=20).batch(0, 4, slice(None))
    assert batch["ids"].shape == (4, 20)


@pytest.fixture(scope="module")
def sentences() -> np.ndarray:
    """Lengths like those of SST-2's training sentences: 25 tokens, half of it about."""
    draw = np.random.default_rng(0)
    return np.clip(np.round(draw.gamma(4.0, 6.2, 6_400)), 3, 64).astype(int)


def width(longest: int) -> int:
    return next(width for width in WIDTHS if width >= longest)


def padding(lengths: list[np.ndarray]) -> float:
    """The share of batches as wide as the next of WIDTHS."""
    places = sum(len(x) * width(max(x)) for x in lengths)
    return 1 - sum(sum(x) for x in lengths) / places


def test_few_widths_and_little_padding(sentences):
    found = examples(sentences, length=64)
    batches = [found.batch(step, 32, slice(None)) for step in range(200)]
    widths = {batch["ids"].shape[1] for batch in batches}
    assert widths <= set(WIDTHS)
    assert len(widths) <= 12
    sorted_share = 1 - sum(batch["lengths"].sum() for batch in batches) / sum(
        batch["ids"].size for batch in batches
    )
    order = np.random.default_rng(1).permutation(sentences)
    random_share = padding(np.split(order, 200))
    assert sorted_share < 0.1
    assert random_share > 0.5


def test_short_and_long_batches_come_in_random_order(sentences):
    """Of the means of 200 batches, those next to each other are hardly alike: their
    correlation is 0 with a standard deviation of about 0.07."""
    found = examples(sentences, length=64)
    means = [
        found.batch(step, 32, slice(None))["lengths"].mean() for step in range(200)
    ]
    assert abs(np.corrcoef(means[1:], means[:-1])[0, 1]) < 4 * 0.07


def test_within_a_width_batches_are_of_random_examples_and_not_of_neighbours_in_length():
    """Questions about one context, eight here, are of one length: a batch of eight
    random ones of 320 has more than four contexts but for once in thousands."""
    lengths = np.repeat(np.arange(17, 25), 40)
    found = examples(lengths)
    for step in range(40):
        batch = found.batch(step, 8, slice(None))
        assert len(set(batch["example_ids"] // 8)) > 4


def test_sentences_of_tags_are_of_all_lengths_in_a_batch(sentences):
    found = examples(sentences, length=64, tags=True)
    spreads = [
        np.ptp(found.batch(step, 32, slice(None))["lengths"]) for step in range(200)
    ]
    assert min(spreads) > np.ptp(sentences) / 4


def test_another_seed_and_another_epoch_are_another_order():
    lengths = np.full(64, 5)
    one, two = epochs(examples(lengths), 8, 2)
    (other,) = epochs(examples(lengths, seed=1), 8, 1)
    assert epochs(examples(lengths), 8, 2) == [one, two]
    assert len({tuple(order) for order in (one, two, other)}) == 3


@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 70))
def test_an_evaluation_has_each_example_once_and_fillers_of_no_weight(
    number, batch_size, most
):
    lengths = np.random.default_rng(number).integers(2, 60, number)
    found = examples(lengths)
    batches = list(found.evaluation(batch_size, most, slice(None)))
    assert all(len(batch["weights"]) == batch_size for batch in batches)
    weights = np.concatenate([batch["weights"] for batch in batches])
    seen = np.concatenate([batch["example_ids"] for batch in batches])[weights > 0]
    assert len(set(seen)) == len(seen) == min(number, most or number)
    assert set(weights) <= {0, 1}
    assert (np.diff(lengths[seen]) >= 0).all()
    assert (np.diff(weights) <= 0).all()


def test_a_part_of_an_evaluation_is_spread_over_the_file():
    (batch,) = examples(np.full(100, 5)).evaluation(4, 4, slice(None))
    assert batch["example_ids"].tolist() == [0, 25, 50, 75]


def test_an_evaluation_divides_among_hosts():
    found = examples([3, 9, 4, 30, 2])
    whole = found.evaluation(4, 0, slice(None))
    parts = found.evaluation(4, 0, np.array([1, 3]))
    for batch, part in itertools.zip_longest(whole, parts):
        for name in batch:
            np.testing.assert_array_equal(part[name], batch[name][[1, 3]])


def test_more_than_there_are_is_refused():
    with pytest.raises(UsageError, match="3 examples are fewer than a batch of 4"):
        examples([3, 3, 3]).batch(0, 4, slice(None))


def test_what_is_lost_is_described():
    found = examples([3, 9, 4])
    lost = found.features._replace(lost={"words cut": 2, "words vanished": 0})
    said = Examples(range(3), lost, PAD, 16, 0).describe()
    assert said == (
        "3 records, 3 examples of 5.3 tokens (longest 9); 2 words cut; 0 words vanished"
    )
