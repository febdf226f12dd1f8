"""Labelled records, their labels, and the lines of the files that hold them."""

import codecs
import json
import math
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bert_jax.run.config import UsageError

NAMED = 20  # labels that an error names; more are counted
LONGEST_LINE = 10_000_000  # characters
BLOCK = 1_000_000  # bytes read at once to find what does not decode


class NotText(UsageError, TypeError):
    """Raised where a caller's list of texts holds something else."""


class Sentence(NamedTuple):
    where: str  # "FILE, line N"
    text: str
    pair: str  # "" where there is none
    label: str  # "" in an unlabelled set


class Tagged(NamedTuple):
    where: str  # of the first word
    words: tuple[str, ...]
    tags: tuple[str, ...]  # one a word, or () in an unlabelled set


class Question(NamedTuple):
    where: str  # "FILE, $.data[0].paragraphs[0].qas[0]", a JSONPath
    id: str
    question: str
    context: str
    answers: tuple[tuple[int, str], ...]  # (first character, text); () if impossible


class Choice(NamedTuple):
    where: str  # "FILE, line N"
    text: str
    choices: tuple[str, ...]
    label: str  # the right one's number from 0; "" in an unlabelled set


def label_set(
    records: Iterable[Sentence] | Iterable[Tagged], stated: Sequence[str]
) -> list[str]:
    """The labels in the order of their numbers: as stated, or sorted if none are.

    Unlabelled records count for nothing. UsageError if there is no label at all, if one
    is stated twice, if a record has one that is not stated, and if two that are not
    stated differ in their spelling alone.
    """
    if repeated := [label for label in stated if stated.count(label) > 1]:
        raise UsageError(f"the label {repeated[0]!r} is stated twice: state it once")
    found: dict[str, str] = {}  # where each stands first
    for record in records:
        for place, label in _labels(record):
            if label in found:
                continue
            if stated and label not in stated:
                raise UsageError(
                    f"{place}: the label {label!r} is not among the stated ones: "
                    f"{_names(stated)}"
                )
            found[label] = place
    if not found:
        raise UsageError("no record has a label: name the column that holds it")
    if not stated:
        _check_spellings(found)
    return list(stated) or sorted(found)


def numbers(records: Iterable[Sentence]) -> np.ndarray:
    """(N,) float64: the labels of a regression. UsageError for what is no number."""
    return np.array([_number(record) for record in records], np.float64)


def lines(path: Path, encoding: str) -> Iterator[str]:
    """Every line without its end (LF or CRLF), so that `enumerate` numbers them.

    A byte order mark is dropped. A carriage return inside a line stays, as line numbers
    would else differ from those of other tools. UsageError for an empty file and for
    what is not text in this encoding.
    """
    number = 0
    try:
        with path.open(encoding=encoding, newline="\n") as file:
            text_lines = iter(lambda: file.readline(LONGEST_LINE + 1), "")
            for number, line in enumerate(text_lines, 1):
                if len(line) > LONGEST_LINE:
                    raise UsageError(
                        f"{path}, line {number}: longer than {LONGEST_LINE:,} characters"
                    )
                if "\0" in line:
                    raise UsageError(
                        f"{path}, line {number}: binary, or not {encoding}: "
                        "state the encoding of the file"
                    )
                text = line.removeprefix("\ufeff") if number == 1 else line
                yield text.removesuffix("\n").removesuffix("\r")
    except UnicodeError as error:
        raise UsageError(
            f"{path}, line {_undecodable(path, encoding, number)}: no {encoding} "
            f"({error}): state the encoding of the file"
        ) from error
    except LookupError as error:
        raise UsageError(f"{path}: {error}: state the encoding of the file") from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    if not number:
        raise UsageError(f"{path} is empty")


def listed(text: str) -> list[str]:
    """Items that commas separate; none in an empty text."""
    return [part.strip() for part in text.split(",")] if text else []


def encodable(where: str, text: str) -> str:
    """The text, which JSON may have given half of an escaped surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{where}: badly encoded ({error})") from error
    return text


def shown(value: Any) -> str:
    """The beginning of a JSON value, for an error."""
    try:
        return f"{json.dumps(value):.40}"
    except RecursionError:
        return "what is nested too deeply"


def tell_left_out(source: str, counts: Mapping[str, int]) -> None:
    """Say on stderr how much of a source was not read, by what it is."""
    if named := ", ".join(f"{n:,} {what}" for what, n in counts.items() if n):
        print(f"{source}: not read: {named}", file=sys.stderr)


def texts_of(name: str, given: Any) -> list[str]:
    """The list of texts that a caller gave, as `name`. NotText names what is none."""
    if isinstance(given, str | bytes | Mapping | set) or not isinstance(
        given, Iterable
    ):
        raise NotText(f"{name} is {_brief(given)}: give a list of texts")
    found = list(given)
    for number, text in enumerate(found):
        if not isinstance(text, str):
            raise NotText(f"{name}[{number}] is {_brief(text)}, not text")
        encodable(f"{name}[{number}]", text)
    return found


def _brief(value: Any) -> str:
    return f"{' '.join(repr(value).split()):.60}"


def member(where: str, value: Any, key: str) -> Any:
    """Value under a key of a JSON object. UsageError if it is none or lacks it."""
    if not isinstance(value, dict):
        raise UsageError(f"{where}: no JSON object")
    if key not in value:
        there = ", ".join(map(repr, value)) or "none"
        raise UsageError(f"{where}: no key {key!r}; it has {there}")
    return value[key]


def _labels(record: Sentence | Tagged) -> Iterator[tuple[str, str]]:
    """Place and name of each label of a record."""
    if isinstance(record, Sentence):
        if record.label:
            yield record.where, record.label
    else:
        for word, tag in zip(record.words, record.tags, strict=bool(record.tags)):
            yield f"{record.where}, {word!r} in this sentence", tag


def _check_spellings(places: Mapping[str, str]) -> None:
    """Labels are one class or two by what they say, and never by how it is written."""
    seen: dict[str, str] = {}
    for label, place in places.items():
        other = seen.setdefault(_meaning(label), label)
        if other != label:
            raise UsageError(
                f"{place}: the label {label!r} differs from {other!r} ({places[other]}) "
                "in spelling alone: write one of them, or state both in task.labels"
            )


def _meaning(label: str) -> str:
    """The same of 1, 1.0 and true, and of texts that differ in case, space, Unicode's
    normal form or characters that cannot be seen."""
    text = unicodedata.normalize("NFKC", label).casefold()
    seen = "".join(c for c in text if unicodedata.category(c) != "Cf")
    plain = " ".join(seen.split())
    plain = {"true": "1", "false": "0"}.get(plain, plain)
    try:
        number = float(plain)
    except ValueError:
        return plain
    return plain if "_" in plain or not math.isfinite(number) else repr(number + 0.0)


def _names(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
    return ", ".join(map(repr, labels[:NAMED])) + more


def _number(record: Sentence) -> float:
    try:
        number = float(record.label)
    except ValueError:
        number = math.nan
    # Python reads 1_000 as a number; in a column of scores it is a slip.
    if not math.isfinite(number) or "_" in record.label:
        raise UsageError(f"{record.where}: the label {record.label!r} is no number")
    return number


def _undecodable(path: Path, encoding: str, read: int) -> int:
    """The number of the first line that does not decode."""
    decoder = codecs.getincrementaldecoder(encoding)()
    number = 1
    with path.open("rb") as file:
        while content := file.read(BLOCK):
            try:
                number += decoder.decode(content).count("\n")
            except UnicodeDecodeError as error:
                before = error.object[: error.start].decode(encoding, "ignore")
                return number + before.count("\n")
    return read + 1
