"""Contexts read in overlapping windows, and the best span of them (run_squad.py).

Devlin et al. 2019, sections 4.2 and 4.3.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bert_jax.data.tokenizer import Encoding, Tokenizer
from bert_jax.run.config import UsageError
from bert_jax.tasks.features import BLOCK


class Window(NamedTuple):
    """A row of T tokens, CLS question SEP tokens of the context SEP."""

    ids: np.ndarray  # (T,) int32
    types: np.ndarray  # (T,) int32: the tokenizer's, from the context on
    offsets: np.ndarray  # (T, 2) int32: characters of the context, (0, 0) elsewhere
    best: np.ndarray  # (T,) bool: tokens of the context that see most of it here
    begin: int  # tokens of the context stand at begin <= position < end
    end: int
    covers: tuple[int, int]  # the characters between the nearest tokens outside


class Answer(NamedTuple):
    text: str  # "" where the context has no token
    start: int  # characters [start, end) of the context; -1 and -1 for no text
    end: int
    probability: float  # of this span, among all that could have been chosen
    no_answer: float  # probability that there is none; 0 where there always is one


class _Best(NamedTuple):
    """The best span of a window, and the log of the sum of exp(score) of all."""

    score: float
    window: Window
    first: int
    last: int
    total: float


def question_windows(
    tokenizer: Tokenizer,
    questions: Sequence[str],
    contexts: Sequence[str],
    max_length: int,
    stride: int,
    max_question: int,
) -> Iterator[list[Window]]:
    """The windows of each question's context: one or more, in order.

    Consecutive windows share `stride` tokens of the context (Hugging Face's meaning of
    the word; run_squad.py's doc_stride is what a window moves on). The first begins and
    the last ends with the context. A row has at most `max_length` tokens and is full
    unless it is the last; a question is cut after `max_question` tokens.
    """
    room = max_length - max_question - tokenizer.special_count(paired=True)
    if max_question < 1 or not 0 <= stride < room:
        raise UsageError(
            f"max_length={max_length} leaves {room} tokens of context beside a "
            f"question of max_question={max_question}: stride={stride} must be less, "
            "and none negative"
        )
    for start in range(0, len(questions), BLOCK):
        block = slice(start, start + BLOCK)
        texts = list(dict.fromkeys(contexts[block]))  # questions share contexts
        encoded = dict(zip(texts, tokenizer.encode_batch(texts), strict=True))
        ids = tokenizer.ids(questions[block])
        for question, context in zip(ids, contexts[block], strict=True):
            found = encoded[context]
            asked = question[:max_question]
            yield _windows(tokenizer, asked, found, len(context), max_length, stride)


def _windows(
    tokenizer: Tokenizer,
    question: list[int],
    context: Encoding,
    characters: int,
    max_length: int,
    stride: int,
) -> list[Window]:
    head = tokenizer.framed(question, [])[:-1]
    ids = np.array(context.ids, np.int32)
    offsets = np.array(context.offsets, np.int32).reshape(-1, 2)
    spans = _spans(len(ids), max_length - len(head) - 1, stride)
    owner, types = (
        _owners(len(ids), spans),
        np.array([0, tokenizer.pair_type], np.int32),
    )
    stops = [0, *offsets[:, 1].tolist()]  # of the token before each
    starts = [*offsets[:, 0].tolist(), characters]
    return [
        Window(
            ids=np.array([*head, *ids[a:b], tokenizer.sep_id], np.int32),
            types=np.repeat(types, [len(head), b - a + 1]),
            offsets=np.pad(offsets[a:b], ((len(head), 1), (0, 0))),
            best=np.pad(owner[a:b] == number, (len(head), 1)),
            begin=len(head),
            end=len(head) + b - a,
            covers=(stops[a], starts[b]),
        )
        for number, (a, b) in enumerate(spans)
    ]


def _spans(length: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Token ranges of the windows; an empty context still has one."""
    step = room - stride
    count = 1 + max(-(-(length - room) // step), 0)
    return [(i * step, min(i * step + room, length)) for i in range(count)]


def _owners(length: int, spans: list[tuple[int, int]]) -> np.ndarray:
    """(length,): the window in which each token has most context, by run_squad.py.

    That is the smaller of the tokens to its left and right, plus 0.01 times the
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
    """Positions of the first and the last token that hold a character of the answer.

    None, for which the target is CLS, if a part of it lies in no token here but in
    one elsewhere, or if it lies in no token at all.
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
    """The context from the token `first` to the token `last`; "" for CLS alone."""
    return context[window.offsets[first, 0] : window.offsets[last, 1]]


def answer(
    context: str,
    windows: Sequence[Window],
    logits: Sequence[np.ndarray],
    max_answer: int,
    may_be_none: bool,
) -> Answer:
    """The best span of a question's windows (sections 4.2 and 4.3).

    It is given however probable "no answer" is: to choose is `squad.with_threshold`'s.

    `logits` holds (T, 2) a window, of start and end; rows beyond the window's are
    padding. A span's score is the sum of its first token's start and its last token's
    end logit; it has at most `max_answer` tokens, all in the window in which the first
    has most context (run_squad.py's max_context). All such spans are compared, not
    those of the 20 best starts and ends as in run_squad.py. Of equal scores the first
    window's wins, in it the first start, of one start the shortest.

    `probability` is from one softmax over the spans of all windows and, if the answer
    may be none, the null score: start plus end logit of [CLS], the least of all windows
    (run_squad.py's). `no_answer` is sigmoid(null score - span's score), of that span
    and the null alone: to say "" above a threshold t is section 4.3's rule of tau =
    -logit(t). Differences above 37 all round to 1.

    ValueError for other shapes of logits, and for max_answer < 1.
    """
    if max_answer < 1:
        raise ValueError(f"max_answer={max_answer}: an answer has a token or more")
    rows = [_row(w, row) for w, row in zip(windows, logits, strict=True)]
    found = [
        _best(window, row, max_answer)
        for window, row in zip(windows, rows, strict=True)
        if window.best.any()
    ]
    if not found:
        return Answer("", -1, -1, 0.0, float(may_be_none))
    best = max(found, key=lambda span: span.score)
    null = min(float(row[0].sum()) for row in rows) if may_be_none else -math.inf
    total = np.logaddexp.reduce([null, *(span.total for span in found)])
    offsets = best.window.offsets
    return Answer(
        text=text_of_span(context, best.window, best.first, best.last),
        start=int(offsets[best.first, 0]),
        end=int(offsets[best.last, 1]),
        probability=math.exp(best.score - total),
        no_answer=math.exp(-np.logaddexp(0.0, best.score - null)),
    )


def _row(window: Window, logits: np.ndarray) -> np.ndarray:
    length = len(window.ids)
    if logits.ndim != 2 or len(logits) < length or logits.shape[1] != 2:
        raise ValueError(f"logits {logits.shape} of {length} tokens: want (T, 2)")
    return np.asarray(logits[:length], np.float64)


def _best(window: Window, logits: np.ndarray, max_answer: int) -> _Best:
    (starts,) = np.nonzero(window.best)
    lengths = min(max_answer, window.end - window.begin)
    ends = np.pad(logits[: window.end, 1], (0, lengths), constant_values=-math.inf)
    scores = logits[starts, :1] + sliding_window_view(ends, lengths)[starts]
    start, more = np.unravel_index(np.argmax(scores), scores.shape)
    top, first = float(scores[start, more]), int(starts[start])
    total = top + math.log(np.exp(scores - top).sum())
    return _Best(top, window, first, first + int(more), total)
