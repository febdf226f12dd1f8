"""What a network's logits say: probabilities, answers, words with tags, entities.

Answers as in Devlin et al. 2019, sections 4.2 and 4.3, tags of words as in 5.3.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bert_jax.tasks.alignment import Window, text_of_span
from bert_jax.tasks.entities import Entity, from_tags, is_of_a_word, marks

# Of a text's kinds of character, see `_kind`: a word, or another one that is no space.
_WORD = re.compile(r"(?:@?w(?:\S*w)?|\S)m*")


class Answer(NamedTuple):
    text: str  # "" where the context has no piece
    start: int  # characters [start, end) of the context; -1 and -1 for no text
    end: int
    probability: float  # of this span, among all that could have been chosen
    no_answer: float  # probability that there is none; 0 where there always is one


class Found(NamedTuple):
    """Characters [start, end) of a text."""

    type: str
    text: str
    start: int
    end: int
    probability: float  # the least of its words' probabilities


class _Best(NamedTuple):
    """The best span of a window, and the log of the sum of exp(score) of all."""

    score: float
    window: Window
    first: int
    last: int
    total: float


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, float64."""
    logits = np.asarray(logits, np.float64)
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


def answer(
    context: str,
    windows: Sequence[Window],
    logits: Sequence[np.ndarray],
    max_answer: int,
    may_be_none: bool,
) -> Answer:
    """The best span of a question's windows (sections 4.2 and 4.3).

    It is given however probable "no answer" is: to choose is answers.with_threshold's.

    `logits` holds (T, 2) a window, of start and end; rows beyond the window's are
    padding. A span's score is the sum of its first piece's start and its last piece's
    end logit; it has at most `max_answer` pieces, all in the window in which the first
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
        raise ValueError(f"max_answer={max_answer}: an answer has a piece or more")
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
        raise ValueError(f"logits {logits.shape} of {length} pieces: want (T, 2)")
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


def words(text: str) -> list[tuple[int, int]]:
    """Characters [start, end) of the words of a text, for tags: in order, all but space.

    Of what stands between spaces, punctuation and symbols (Unicode's categories P and
    S) at either side are a word each; what they enclose is one word. A "@" or "#"
    directly before it belongs to it, as social media are annotated, and combining marks
    (M) to the character before them. So "(U.N.)" is ( U.N . ) and "#1" and "don't" are
    one word; an abbreviation loses its last full stop.
    """
    return _words(text, 0, len(text))


def words_beside(text: str, added: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """`words`, none of which is a part of an added token (Tokenizer.added_spans)."""
    found, begin = [], 0
    for start, end in added:
        if len(_words(text, start, end)) > 1:
            found += [*_words(text, begin, start), (start, end)]
            begin = end
    return found + _words(text, begin, len(text))


def _words(text: str, start: int, end: int) -> list[tuple[int, int]]:
    kinds = "".join(map(_kind, text[start:end]))
    spans = (match.span() for match in _WORD.finditer(kinds))
    return [(start + a, start + b) for a, b in spans]


def _kind(character: str) -> str:
    """A space, "@" (or #), "p"unctuation or symbol, "m"ark, or else of a "w"ord."""
    if character.isspace():
        return " "
    if character in "@#":
        return "@"
    return {"P": "p", "S": "p", "M": "m"}.get(unicodedata.category(character)[0], "w")


def expand(first: np.ndarray, classes: np.ndarray, outside: int) -> np.ndarray:
    """(W,): for each word the class at its first piece, of `classes` (T,).

    `first` (W,) is alignment.Tags's; words of which no piece is in the row, -1 there,
    are `outside`.
    """
    return np.where(first >= 0, classes[first], outside)


def entities(
    text: str,
    spans: Sequence[tuple[int, int]],
    tags: Sequence[str],
    probabilities: Sequence[float],
    labels: Sequence[str],
) -> list[Found]:
    """What the words at `spans` of a text are, given each one's tag and its probability.

    `labels` are the set of the tags. If they mark entities (entities.marks), those are
    found; else each word is one, whose type is its tag (parts of speech). What is tagged
    O is none in either case. An entity is as probable as the least probable of its
    words' tags. ValueError where the numbers of words, tags and probabilities differ,
    and for tags that are not of the set.
    """
    if not len(spans) == len(tags) == len(probabilities):
        raise ValueError(
            f"{len(tags)} tags and {len(probabilities)} probabilities "
            f"of {len(spans)} words"
        )
    if marks(labels) is not None:
        found = from_tags(tags, labels)
    else:
        words = [(at, tag) for at, tag in enumerate(tags) if is_of_a_word(tag)]
        found = [Entity(tag, at, at + 1) for at, tag in words]
    return [
        Found(
            type=entity.type,
            text=text[spans[entity.start][0] : spans[entity.end - 1][1]],
            start=spans[entity.start][0],
            end=spans[entity.end - 1][1],
            probability=float(min(probabilities[entity.start : entity.end])),
        )
        for entity in found
    ]
