"""Multiple choice from JSON lines, as SWAG (Zellers et al. 2018; Devlin et al. 2019)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bert_jax.run.config import UsageError
from bert_jax.tasks.formats.tables import label_of, objects, text_of
from bert_jax.tasks.records import Choice, member, shown


def choices(
    path: Path, encoding: str, text: str, columns: Sequence[str], label: str
) -> Iterator[Choice]:
    """An object a line, each of as many choices as the first, and of two or more.

    The arguments are keys: `text` of the context, `columns` of a list of choices or, if
    several, of one choice each, `label` of the right one's number from 0, "" in an
    unlabelled set. UsageError for a missing key, for what is empty or no text, for a
    number of choices or a label out of range.
    """
    if not text or not all(columns or [""]):
        raise UsageError(f"{path}: name the keys that hold its text and its choices")
    count = 0
    for where, value in objects(path, encoding):
        context, texts = _full(where, value, text), _texts(where, value, columns)
        count = count or len(texts)
        if len(texts) != count:
            raise UsageError(
                f"{where}: choices: {len(texts)}, but {count} in the first record"
            )
        yield Choice(where, context, texts, _label(where, value, label, count))


def _texts(where: str, value: dict, columns: Sequence[str]) -> tuple[str, ...]:
    if len(columns) == 1:
        value = _listed(where, value, columns[0])
        columns = list(value)
    return tuple(_full(where, value, column) for column in columns)


def _listed(where: str, value: dict, key: str) -> dict:
    """The items of a list as an object, their keys `KEY[0]` and so on."""
    items = member(where, value, key)
    if not isinstance(items, list):
        raise UsageError(
            f"{where}: no list in {key!r} but {shown(items)}: "
            "name a list, or the key of each choice"
        )
    if len(items) < 2:
        raise UsageError(
            f"{where}: choices: {len(items)}, but two or more are expected"
        )
    return {f"{key}[{number}]": item for number, item in enumerate(items)}


def _full(where: str, value: dict, key: str) -> str:
    text = text_of(where, value, key)
    if not text.strip():
        raise UsageError(f"{where}: nothing in {key!r}")
    return text


def _label(where: str, value: dict, key: str, count: int) -> str:
    label = label_of(where, value, key)
    if key and label not in map(str, range(count)):
        raise UsageError(
            f"{where}: the label {label!r} is no number from 0 to {count - 1}"
        )
    return label
