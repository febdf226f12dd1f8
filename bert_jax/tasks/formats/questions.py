"""Questions, contexts and answers from SQuAD 1.1 and 2.0 JSON (Rajpurkar et al. 2016,
2018)."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bert_jax.run.config import UsageError
from bert_jax.run.files import parse_written
from bert_jax.tasks.records import Question, encodable, member

SHOWN = 40  # characters of an answer in an error
_KINDS = {list: "list", str: "text", int: "number", bool: "truth value"}


def questions(path: Path, labelled: bool) -> Iterator[Question]:
    """The questions of a file, in UTF-8 (or -16, -32) as JSON is.

    Unlabelled ones have no answers, whatever the file says of them. Labelled ones have
    one or more, or else are marked impossible (SQuAD 2.0). UsageError for another
    nesting, an empty text, an id that occurs twice, and an answer that does not stand
    in its context where it is said to.
    """
    yield from checked(str(path), _entries(_tree(path), f"{path}, $"), labelled)


def checked(
    source: str, entries: Iterable[tuple[str, str, Any]], labelled: bool
) -> Iterator[Question]:
    """Questions from entries: where one stands, its context, what SQuAD's JSON has of it.

    UsageError as in `questions`, of which `source` names the file.
    """
    places = {}
    for at, context, qa in entries:
        name, question = text_of(qa, at, "id"), text_of(qa, at, "question")
        if name in places:
            raise UsageError(f"{at}: its id {name!r} is that of {places[name]}")
        places[name] = at.removeprefix(f"{source}, ")
        answers = tuple(_answers(qa, at, context)) if labelled else ()
        yield Question(at, name, question, context, answers)
    if not places:
        raise UsageError(f"{source} holds no question")


def _tree(path: Path) -> Any:
    try:
        content = path.read_bytes()
        if not content.strip():
            raise UsageError(f"{path} is empty")
        return parse_written(str(path), content)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error


def _entries(tree: Any, root: str) -> Iterator[tuple[str, str, Any]]:
    """Place, context and object of each question of a file."""
    for article_at, article in _items(tree, root, "data"):
        for at, paragraph in _items(article, article_at, "paragraphs"):
            context = text_of(paragraph, at, "context")
            for qa_at, qa in _items(paragraph, at, "qas"):
                yield qa_at, context, qa


def _answers(qa: dict, at: str, context: str) -> Iterator[tuple[int, str]]:
    impossible = "is_impossible" in qa and _get(qa, at, "is_impossible", bool)
    empty = True
    for answer_at, answer in _items(qa, at, "answers"):
        empty = False
        if impossible:
            raise UsageError(f"{at}: answers, but is_impossible is true")
        text = text_of(answer, answer_at, "text")
        start = _get(answer, answer_at, "answer_start", int)
        _check(context, start, text, answer_at)
        yield start, text
    if empty and not impossible:
        raise UsageError(f"{at}: no answers, but is_impossible is not true")


def _check(context: str, start: int, text: str, at: str) -> None:
    if start >= 0 and context.startswith(text, start):
        return
    found = _nearest(context, text, start)
    truth = "nowhere in it" if found < 0 else f"at {found}"
    cut = text if len(text) <= SHOWN else text[:SHOWN] + "..."
    raise UsageError(
        f"{at}: the answer {cut!r} is not at character {start} of its context "
        f"but {truth}"
    )


def _nearest(context: str, text: str, start: int) -> int:
    """Start of the occurrence of a text nearest to `start`, -1 if it has none."""
    before = context.rfind(text, 0, max(start, 0) + len(text))
    after = context.find(text, max(start, 0))
    found = [place for place in (before, after) if place >= 0]
    return min(found, key=lambda place: abs(place - start), default=-1)


# What is in a JSON value, by key. `at` is the value's file and JSONPath (RFC 9535).


def _items(value: Any, at: str, key: str) -> Iterator[tuple[str, Any]]:
    for number, item in enumerate(_get(value, at, key, list)):
        yield f"{at}.{key}[{number}]", item


def text_of(value: Any, at: str, key: str) -> str:
    """Text under a key. UsageError if it is missing, empty or no text."""
    text = encodable(f"{at}.{key}", _get(value, at, key, str))
    if not text.strip():
        raise UsageError(f"{at}.{key}: empty text")
    return text


def _get(value: Any, at: str, key: str, kind: type) -> Any:
    item = member(at, value, key)
    if type(item) is not kind:  # a truth value is an int too
        raise UsageError(f"{at}: {key!r} holds no {_KINDS[kind]}")
    return item
