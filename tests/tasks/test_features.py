"""Rows, types and targets of every kind of task, by hand and against a slow cut."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.data import tokenizer
from bert_jax.data.vocabulary import SPECIALS
from bert_jax.tasks import kinds
from bert_jax.tasks.features import NO_LABEL
from bert_jax.tasks.records import Choice, Question, Sentence, Tagged
from bert_jax.tasks.windows import text_of_span

PIECES = ["un", "##aff", "##able", "the", "cat", "##s", "what", ".", "cafe"]
PAD, UNK, CLS, SEP, MASK, UN, AFF, ABLE, THE, CAT, S, WHAT, STOP, CAFE = range(14)
SPAN = SimpleNamespace(stride=1, max_question=2)
LABELS = ("O", "A", "B")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join([*SPECIALS, *PIECES]) + "\n")
    return tokenizer.load(path, True)


@pytest.fixture(scope="module")
def make(small):
    """make(kind, records, length)."""

    def call(kind, records, length, labels=LABELS):
        return kinds.kind(kind)(labels, SPAN).features(records, small, length)

    return call


def rows(made) -> list[list[int]]:
    return [made.ids[a:b].tolist() for a, b in pairwise(made.starts)]


def types(made) -> list[list[int]]:
    return [made.types[a:b].tolist() for a, b in pairwise(made.starts)]


def sentence(text: str, pair: str = "", label: str = "A") -> Sentence:
    return Sentence("f, line 1", text, pair, label)


# Texts and pairs.


def test_a_text_keeps_its_first_pieces_and_a_cut_is_counted(make):
    texts = ["the cats", "unaffable cats", "the cat . what"]
    made = make("classify", [sentence(text) for text in texts], 6)
    assert rows(made) == [
        [CLS, THE, CAT, S, SEP],
        [CLS, UN, AFF, ABLE, CAT, SEP],
        [CLS, THE, CAT, STOP, WHAT, SEP],
    ]
    assert made.lost == {"texts cut": 1}
    assert made.widths.tolist() == [5, 6, 6]
    assert not made.types.any()


def cut_one_by_one(one: list, two: list, room: int) -> tuple[list, list]:
    """truncate_seq_pair of the authors' create_pretraining_data.py, at the end alone."""
    one, two = list(one), list(two)
    while len(one) + len(two) > room:
        (one if len(one) > len(two) else two).pop()
    return one, two


@given(st.integers(1, 30), st.integers(1, 30), st.integers(8, 40), st.integers(1, 3))
def test_of_a_pair_the_longer_is_cut_first(make, first, second, length, others):
    pair = sentence("the " * first, "cat " * second)
    made = make("classify", [pair] * others, length)
    one, two = cut_one_by_one([THE] * first, [CAT] * second, length - 3)
    assert rows(made) == [[CLS, *one, SEP, *two, SEP]] * others
    assert types(made) == [[0] * (len(one) + 2) + [1] * (len(two) + 1)] * others
    assert made.lost == {"texts cut": others * (first + second > length - 3)}


def test_classes_go_by_the_order_of_the_labels_and_none_is_no_label(make):
    records = [sentence("cat", label=label) for label in ("B", "O", "")]
    made = make("classify", records, 8)
    assert made.targets.tolist() == [2, 0, NO_LABEL]
    assert made.targets.dtype == np.int32
    assert made.owners.tolist() == [0, 1, 2]


def test_numbers_are_floats(make):
    made = make("regress", [sentence("cat", label=x) for x in ("-2", "0.5")], 8, ())
    assert made.targets.tolist() == [-2.0, 0.5]
    assert made.targets.dtype == np.float32
    assert make("regress", [sentence("cat", label="")], 8, ()).targets.shape == (1,)


# Choices.


def test_every_choice_is_a_row_beside_the_text(make):
    records = [
        Choice("f, line 1", "what", ("cat", "unaffable"), "1"),
        Choice("f, line 2", "the cats", ("the", "cat"), ""),
    ]
    made = make("choose", records, 10, ())
    assert made.choices == 2
    assert rows(made) == [
        [CLS, WHAT, SEP, CAT, SEP],
        [CLS, WHAT, SEP, UN, AFF, ABLE, SEP],
        [CLS, THE, CAT, S, SEP, THE, SEP],
        [CLS, THE, CAT, S, SEP, CAT, SEP],
    ]
    assert types(made)[1] == [0, 0, 0, 1, 1, 1, 1]
    assert made.targets.tolist() == [1, NO_LABEL]
    assert made.widths.tolist() == [7, 7]
    assert make("choose", records, 6, ()).lost == {"texts cut": 3}


# Tags.


def test_tags_stand_on_first_pieces_and_lost_words_are_counted(make):
    words = ("The", "unaffable", "\u200b", "cats", "what")
    record = Tagged("f, line 1", words, ("O", "A", "B", "B", "A"))
    made = make("tag", [record, record], 8)
    assert rows(made)[0] == [CLS, THE, UN, AFF, ABLE, CAT, S, SEP]
    assert made.targets[:8].tolist() == [-1, 0, 1, -1, -1, 2, -1, -1]
    assert made.places[0].tolist() == [1, 2, -1, 5, -1]
    assert made.lost == {"words vanished": 2, "words cut": 2}


@given(st.lists(st.sampled_from(["the", "cats", "unaffable", "\u200b"]), min_size=1))
def test_every_word_has_its_tag_or_is_counted(make, words):
    tags = tuple(LABELS[number % 3] for number in range(len(words)))
    made = make("tag", [Tagged("f, line 1", tuple(words), tags)], 12)
    (first,) = made.places
    assert (made.targets >= 0).sum() + sum(made.lost.values()) == len(words)
    for place, tag in zip(first, tags, strict=True):
        if place >= 0:
            assert LABELS[made.targets[place]] == tag


def test_untagged_words_have_places_but_no_targets(make):
    made = make("tag", [Tagged("f, line 1", ("the", "cat"), ())], 8)
    assert made.places[0].tolist() == [1, 2]
    assert (made.targets == NO_LABEL).all()


# Spans.


def question(context: str, *answers: tuple[int, str]) -> Question:
    return Question("f, $", "1", "what", context, answers)


def test_a_span_is_that_of_the_first_answer_in_the_windows_that_hold_it(make):
    # Two windows of five tokens: the cats the cat | cat what ...
    record = question("the cats the cat what", (4, "cats"), (13, "cat"))
    made = make("span", [record, question("the cat")], 10)
    assert rows(made)[0] == [CLS, WHAT, SEP, THE, CAT, S, THE, CAT, WHAT, SEP]
    assert made.targets.tolist() == [[4, 5], [0, 0]]
    assert made.owners.tolist() == [0, 1]
    assert types(made)[1] == [0, 0, 0, 1, 1, 1]


words = st.lists(st.sampled_from(["the", "cats", "unaffable", "."]), min_size=1)


@given(words, st.data())
def test_every_answer_of_words_is_found_again_in_a_window(make, found, data):
    context = " ".join(found)
    begin = data.draw(st.integers(0, len(found) - 1))
    end = data.draw(st.integers(begin + 1, min(begin + 2, len(found))))
    start = len(" ".join(found[:begin])) + (begin > 0)
    answer = " ".join(found[begin:end])
    made = make("span", [question(context, (start, answer))], 13)
    held = [
        (window, span)
        for window, span in zip(made.places, made.targets.tolist(), strict=True)
        if any(span)
    ]
    for window, span in held:
        assert text_of_span(context, window, *span) == answer
    assert made.lost == {"answers in no window": int(not held)}
    assert len(made.owners) == len(made.places) == len(made.widths)


def test_an_answer_of_no_piece_is_counted(make):
    made = make("span", [question("the \u200b cat", (4, "\u200b"))], 10)
    assert made.targets.tolist() == [[0, 0]]
    assert made.lost == {"answers in no window": 1}
