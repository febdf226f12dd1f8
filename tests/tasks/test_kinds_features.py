"""Features of tasks by tokenizers of every kind: words, windows, pairs."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bert_jax.predict import rows as token_rows
from bert_jax.tasks import features
from bert_jax.tasks.records import Sentence
from bert_jax.tasks.windows import answer_span, question_windows, text_of_span
from bert_jax.tasks.words import Passage, passage_of, rows_of, split_words, tag_features

WORDS = ("The", "unaffable", "dog's", "(", "naïve", ")", "mat", "sat", "今天", ".")
CONTEXT = "The cat sat on the mat, “unaffable”. The naïve dogs (two) ran 今天 on it."


def test_each_words_first_token_has_its_tag(words):
    [row] = tag_features(words, [WORDS], 200)
    assert row.vanished == row.cut == 0
    ends = [*row.first[1:].tolist(), len(row.ids) - 1]
    for word, begin, end in zip(WORDS, row.first, ends, strict=True):
        assert row.ids[begin:end].tolist() == words.ids([words.following(word)])[0]
    assert (row.ids[0], row.ids[-1]) == (words.cls_id, words.sep_id)


@pytest.mark.parametrize("length", [8, 13, 40])
def test_words_of_a_passage_fill_rows_uncut(words, length):
    passage = passage_of(CONTEXT, words)
    records = rows_of(passage, words, length)
    made = list(tag_features(words, [record.words for record in records], length))
    assert all(len(row.ids) <= length for row in made)
    whole = [len(record.words) for record, row in zip(records, made) if row.cut == 0]
    assert sum(whole) == len(passage.words) or length == 8


def test_offsets_of_words_are_those_of_the_text(words):
    passage = Passage(CONTEXT, split_words(CONTEXT))
    reader: Any = SimpleNamespace(tokenizer=words)
    found = [CONTEXT[a:b] for a, b in passage.words]
    [row] = tag_features(words, [found], 200)
    made = features.joined(
        [(row.ids, len(row.ids), 0)], 1, np.zeros(1), np.zeros(1, int), []
    )
    rows = token_rows.of_words(reader, made, passage, [len(found)])
    for place, (start, end) in zip(row.first, passage.words, strict=True):
        span = rows.offsets[0][place]
        assert span is not None
        assert span[0] == start and span[1] <= end
    assert len(rows.offsets[0]) == len(row.ids)


@pytest.mark.parametrize(
    "answer", ["unaffable", "naïve dogs", "cat", "two", "mat", "The"]
)
@pytest.mark.parametrize("length", [28, 200])
def test_answers_are_cut_out_exactly(words, answer, length):
    """Of an answer inside a token (UNK's, or a merge of more) it is the token's text."""
    start = CONTEXT.index(answer)
    windows, *_ = question_windows(words, ["the cat sat ?"], [CONTEXT], length, 8, 6)
    spans = [(w, answer_span(w, start, answer)) for w in windows]
    found = [text_of_span(CONTEXT, w, *span) for w, span in spans if span]
    assert answer in found
    for window in windows:
        assert len(window.ids) <= length
        head = window.ids[: window.begin].tolist()
        size = len(words.separator)
        assert head[-size:] == list(words.separator)
        expected = words.segments(window.ids) * words.pair_type
        assert window.types.tolist() == expected.tolist()


def test_pairs_and_their_offsets(words):
    texts = [("the cat", "a dog ran"), ("dogs", ""), ("unaffable " * 9, "the cat")]
    records = [Sentence("", *both, "") for both in texts]
    made = features.of_texts(records, np.zeros(3), words, 20)
    first, second = words.ids(["the cat", "a dog ran"])
    starts = made.starts
    assert made.ids[: starts[1]].tolist() == words.framed(first, second)[:20]
    for number, (one, two) in enumerate(texts):
        part = slice(starts[number], starts[number + 1])
        expected = words.segments(made.ids[part]) * words.pair_type
        assert made.types[part].tolist() == expected.tolist()
        assert starts[number + 1] - starts[number] <= 20
    reader: Any = SimpleNamespace(tokenizer=words)
    given = [(one, two) if two else (one,) for one, two in texts]
    rows = token_rows.of_texts(reader, made, given)
    for number, offsets in enumerate(rows.offsets):
        ids = made.ids[starts[number] : starts[number + 1]]
        assert len(offsets) == len(ids)
        assert [span is None for span in offsets] == np.isin(
            ids, [words.cls_id, words.sep_id]
        ).tolist()
