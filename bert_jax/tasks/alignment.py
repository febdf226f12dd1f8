"""Labels of words and of characters, carried over to pieces and back.

Words: the first piece of each carries its label (Devlin et al. 2019, section 5.3).
Answers: long contexts are read in overlapping windows, as in the authors' run_squad.py.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import tokenizers

from bert_jax.data.tokenizer import Tokenizer
from bert_jax.run.config import UsageError

BLOCK = 256  # sentences or contexts encoded by one call, all of whose result is held


class Tags(NamedTuple):
    """A sentence of W words as a row of T pieces, [CLS] pieces [SEP]."""

    ids: np.ndarray  # (T,) int32
    first: np.ndarray  # (W,) int32: position of each word's first piece, or -1
    vanished: int  # words that give no piece: control and zero-width characters
    cut: int  # words whose first piece stands beyond the row's end


class Window(NamedTuple):
    """A row of T pieces, [CLS] question [SEP] pieces of the context [SEP]."""

    ids: np.ndarray  # (T,) int32
    types: np.ndarray  # (T,) int32: 1 from the first piece of the context on
    offsets: np.ndarray  # (T, 2) int32: characters of the context, (0, 0) elsewhere
    best: np.ndarray  # (T,) bool: pieces of the context that see most of it here
    begin: int  # pieces of the context stand at begin <= position < end
    end: int
    covers: tuple[int, int]  # the characters between the nearest pieces outside


def tag_features(
    tokenizer: Tokenizer, sentences: Sequence[Sequence[str]], max_length: int
) -> Iterator[Tags]:
    """Each sentence's words as pieces, cut to a row of at most `max_length`.

    Words are encoded one by one, so that spaces are neither lost nor added. A word
    whose first piece is in the row keeps its label, though later ones may be cut. Words
    with a position, vanished and cut ones together are all words.
    """
    if max_length < 3:
        raise UsageError(
            f"max_length={max_length} has no room: [CLS], [SEP] and a piece"
        )
    for start in range(0, len(sentences), BLOCK):
        block = sentences[start : start + BLOCK]
        pieces = iter(tokenizer.ids([word for words in block for word in words]))
        for words in block:
            yield _tags(tokenizer, list(islice(pieces, len(words))), max_length)


def _tags(tokenizer: Tokenizer, words: list[list[int]], max_length: int) -> Tags:
    lengths = np.array([len(pieces) for pieces in words], np.int32)
    first = 1 + np.cumsum(lengths, dtype=np.int32) - lengths
    vanished, cut = lengths == 0, first >= max_length - 1
    flat = [piece for pieces in words for piece in pieces][: max_length - 2]
    ids = np.array([tokenizer.cls_id, *flat, tokenizer.sep_id], np.int32)
    first[vanished | cut] = -1
    return Tags(ids, first, int(vanished.sum()), int((cut & ~vanished).sum()))


def question_windows(
    tokenizer: Tokenizer,
    questions: Sequence[str],
    contexts: Sequence[str],
    max_length: int,
    stride: int,
    max_question: int,
) -> Iterator[list[Window]]:
    """The windows of each question's context: one or more, in order.

    Consecutive windows share `stride` pieces of the context (Hugging Face's meaning of
    the word; run_squad.py's doc_stride is what a window moves on). The first begins and
    the last ends with the context. A row has at most `max_length` pieces and is full
    unless it is the last; a question is cut after `max_question` pieces.
    """
    room = max_length - max_question - 3
    if max_question < 1 or not 0 <= stride < room:
        raise UsageError(
            f"max_length={max_length} leaves {room} pieces of context beside a "
            f"question of max_question={max_question}: stride={stride} must be less, "
            "and none negative"
        )
    for start in range(0, len(questions), BLOCK):
        block = slice(start, start + BLOCK)
        texts = list(dict.fromkeys(contexts[block]))  # questions share contexts
        encoded = dict(zip(texts, tokenizer.encode_batch(texts), strict=True))
        ids = tokenizer.ids(questions[block])
        for question, context in zip(ids, contexts[block], strict=True):
            head = [tokenizer.cls_id, *question[:max_question], tokenizer.sep_id]
            yield _windows(
                head,
                encoded[context],
                len(context),
                max_length,
                stride,
                tokenizer.sep_id,
            )


def _windows(
    head: list[int],
    context: tokenizers.Encoding,
    characters: int,
    max_length: int,
    stride: int,
    sep_id: int,
) -> list[Window]:
    ids = np.array(context.ids, np.int32)
    offsets = np.array(context.offsets, np.int32).reshape(-1, 2)
    spans = _spans(len(ids), max_length - len(head) - 1, stride)
    owner = _owners(len(ids), spans)
    stops = [0, *offsets[:, 1].tolist()]  # of the piece before each
    starts = [*offsets[:, 0].tolist(), characters]
    return [
        Window(
            ids=np.array([*head, *ids[a:b], sep_id], np.int32),
            types=np.repeat(np.array([0, 1], np.int32), [len(head), b - a + 1]),
            offsets=np.pad(offsets[a:b], ((len(head), 1), (0, 0))),
            best=np.pad(owner[a:b] == number, (len(head), 1)),
            begin=len(head),
            end=len(head) + b - a,
            covers=(stops[a], starts[b]),
        )
        for number, (a, b) in enumerate(spans)
    ]


def _spans(length: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Which pieces each window holds; a context of none has one window still."""
    step = room - stride
    count = 1 + max(-(-(length - room) // step), 0)
    return [(i * step, min(i * step + room, length)) for i in range(count)]


def _owners(length: int, spans: list[tuple[int, int]]) -> np.ndarray:
    """(length,): the window in which each piece has most context, by run_squad.py.

    That is the smaller of the pieces to its left and right, plus 0.01 times the
    window's; of equal ones the first.
    """
    owner, most = np.zeros(length, np.int32), np.full(length, -1.0)
    for number, (start, end) in enumerate(spans):
        left = np.arange(end - start)
        score = np.minimum(left, left[::-1]) + 0.01 * (end - start)
        owner[start:end][score > most[start:end]] = number
        most[start:end] = np.maximum(score, most[start:end])
    return owner


def answer_span(window: Window, start: int, text: str) -> tuple[int, int] | None:
    """Positions of the first and the last piece that hold a character of the answer.

    None, for which the target is [CLS], if a part of it lies in no piece here but in
    one elsewhere, or if it lies in no piece at all.
    """
    stop = start + len(text)
    if start < window.covers[0] or stop > window.covers[1]:
        return None
    begins, ends = window.offsets[window.begin : window.end].T
    (found,) = np.nonzero((begins < stop) & (ends > start))
    if not found.size:
        return None
    return window.begin + int(found[0]), window.begin + int(found[-1])


def text_of_span(context: str, window: Window, first: int, last: int) -> str:
    """The context from the piece `first` to the piece `last`; "" for [CLS] alone."""
    return context[window.offsets[first, 0] : window.offsets[last, 1]]
