"""The hash behind dropout, by the statistics that threefry passes too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bert_jax.models import random_bits

KEY = jax.random.key(0)
CHANCE = 1e-6  # of a false alarm, for each statistic


def threefry(keys, shape):
    return jax.vmap(lambda key: jax.random.bits(key, shape, jnp.uint32))(keys)


def folded(*numbers):
    """Keys as a run makes them: of a step, a site and each row, folded in in turn."""
    key = KEY
    for number in numbers[:-1]:
        key = jax.random.fold_in(key, number)
    return jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.arange(numbers[-1]))


SOURCES = pytest.mark.parametrize("source", [random_bits.bits, threefry])


def agreement(one, other):
    """Whether the bits of two arrays agree in half of the cases, as unrelated ones do."""
    same = np.bitwise_count(~(one ^ other)).sum()
    low, high = stats.binom.interval(1 - CHANCE, 32 * one.size, 0.5)
    return low <= same <= high


@SOURCES
def test_every_bit_is_set_half_of_the_time(source):
    words = np.asarray(source(folded(0, 64), (4096,)))
    low, high = stats.binom.interval(1 - CHANCE / 32, words.size, 0.5)
    for bit in range(32):
        assert low <= (words >> bit & 1).sum() <= high


@SOURCES
def test_every_byte_takes_its_values_evenly_and_so_do_pairs_of_neighbours(source):
    words = np.asarray(source(folded(1, 64), (4096,)))
    octets = words.view(np.uint8).reshape(-1, 4)
    for place in range(4):
        counts = np.bincount(octets[:, place], minlength=256)
        assert CHANCE < stats.chisquare(counts).pvalue < 1 - CHANCE
        pairs = octets[:-1, place].astype(int) * 256 + octets[1:, place]
        counts = np.bincount(pairs, minlength=65536)
        assert CHANCE < stats.chisquare(counts).pvalue < 1 - CHANCE


@SOURCES
def test_neighbours_in_any_direction_are_unrelated(source):
    shape = (8, 16, 64)  # as heads, queries and keys
    words = np.asarray(source(folded(2, 64), shape))
    for axis in range(4):
        assert agreement(words, np.roll(words, 1, axis))
    step, site = (np.asarray(source(folded(*way, 64), shape)) for way in ((3,), (2, 0)))
    assert agreement(words, step) and agreement(words, site)


@SOURCES
def test_what_is_kept_varies_between_keys_as_coins_do(source):
    kept = (np.asarray(source(folded(4, 4096), (512,))) >= 429_496_730).sum(1)
    deviations = (kept - 512 * 0.9) / np.sqrt(512 * 0.9 * 0.1)
    assert abs(deviations.mean()) < 5 / np.sqrt(4096)
    # 4096 squared deviations: a chi-square, up to the kurtosis of so many coins.
    assert abs((deviations**2).mean() - 1) < 5 * np.sqrt(2 / 4096)


@SOURCES
def test_no_two_rows_share_their_bits_in_any_order(source):
    words = np.sort(np.asarray(source(folded(5, 512), (64,))), axis=1)
    assert len(np.unique(words, axis=0)) == 512
    # Of 32768 words of 32 bits 0.1 repeat by chance; of shared streams, dozens.
    assert words.size - len(np.unique(words)) < 8


def test_places_of_a_row_never_share_a_word():
    words = np.asarray(random_bits.bits(folded(6, 2), (1 << 16,)))
    assert all(len(np.unique(row)) == 1 << 16 for row in words)  # a bijection


def test_one_bit_of_the_key_flips_each_bit_half_of_the_time():
    data = np.asarray(jax.random.bits(KEY, (16384, 2), jnp.uint32))

    # A bit of the place is xored with one of the key's first word: it does the same.
    def words(data):
        return np.asarray(random_bits.bits(jax.random.wrap_key_data(data), (1,)))

    low, high = stats.binom.interval(1 - CHANCE, len(data), 0.5)
    for flip in np.eye(2, dtype=np.uint32)[None] << np.arange(32)[:, None, None]:
        for word in flip.astype(np.uint32):
            flipped = words(data) ^ words(data ^ word)
            counts = (flipped >> np.arange(32) & 1).sum(0)
            assert (low <= counts).all() and (counts <= high).all()


def test_places_count_in_the_order_of_memory():
    np.testing.assert_array_equal(
        random_bits.places((2, 3, 4)), np.arange(24).reshape(2, 3, 4)
    )


def test_the_mixing_is_lowbias32():
    assert [int(random_bits.mix(jnp.uint32(x))) for x in (0, 1, 2)] == [
        0,
        1753845952,
        3507691905,
    ]
