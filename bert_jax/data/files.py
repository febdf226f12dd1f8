"""A corpus of text files."""

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from ml_collections import ConfigDict

from bert_jax.data import textfiles
from bert_jax.data.paragraphs import Document, clean, paragraphs
from bert_jax.data.sentences import sentences
from bert_jax.run import files
from bert_jax.run.config import UsageError

LONGEST = 32_000_000  # characters of one document, which is held in memory
MOST_LINES = 2_000_000  # of one document: each costs some 60 bytes beside its text
# documents=auto takes this many files or more for a document each; of fewer it makes
# about this many documents, of this many bytes.
AUTO_FILES = 5
AUTO_DOCUMENTS = 25
AUTO_BYTES = (500, 6000)
SMALLEST = 100  # bytes of a document of `small_windows`


def documents(data) -> Iterator[Document]:
    paths = textfiles.find(data.files).paths
    kind, size = unit(paths, data), _window_bytes(paths, data)
    for path in paths:
        empty = True
        for document in _read(path, data, kind, size):
            empty = empty and not document.text
            yield document
        if empty:
            raise UsageError(f"{path} is empty")


def identity(data) -> dict:
    paths = textfiles.find(data.files).paths
    return {
        "files": [[path.suffix.lower(), files.content_digest(path)] for path in paths],
        "documents": data.documents,
        "encoding": data.encoding,
        "field": data.text_field,
    }


def describe(data) -> str:
    paths, _ = found = textfiles.find(data.files)
    what = paths[0].name if len(paths) == 1 else f"{len(paths)} files"
    remark = f"; {found.remark()}" if found.left_out else ""
    return f"{what}, {_documents_of(paths, data)}{remark}"


def small_windows(data) -> ConfigDict:
    """The same files as so many documents that two of them are `valid_share`."""
    changed = ConfigDict(data.to_dict())
    changed.documents = "window"
    return changed


def _documents_of(paths: list[Path], data) -> str:
    if all(textfiles.has_suffix(path, ".jsonl") for path in paths):
        return "an object a document"
    why = "which is little" if data.documents == "auto" else "few or uneven"
    return {
        "file": "a file a document",
        "blank_line": "a document between blank lines",
        "window": f"{why}: consecutive paragraphs or sentences of "
        f"about {_window_bytes(paths, data):,} bytes make a document",
    }[unit(paths, data)]


def unit(paths: list[Path], data) -> str:
    """file, blank_line or window: what one document is, auto having been decided."""
    if data.documents != "auto":
        return data.documents
    return "file" if len(paths) >= AUTO_FILES else "window"


def _read(path: Path, data, kind: str, size: int) -> Iterator[Document]:
    lines = textfiles.lines(path, data.encoding)
    if textfiles.has_suffix(path, ".jsonl"):
        yield from _objects(path, lines, data.text_field)
        return
    blocks = paragraphs(_bounded(path, lines, kind))
    if kind == "file":
        if text := "\n".join(paragraph for block in blocks for paragraph in block):
            yield Document(str(path), text)
    else:
        if kind == "blank_line":
            texts = map("\n".join, blocks)
        else:
            texts = windows(
                (paragraph for block in blocks for paragraph in block), size
            )
        for number, text in enumerate(texts, 1):
            yield Document(f"{path}#{number}", text)


OTHER_DOCUMENTS = {"file": "blank_line or auto", "blank_line": "auto"}


def _bounded(path: Path, lines: Iterable[str], kind: str) -> Iterator[str]:
    """The lines, of which no document has more than memory has room for; windows, which
    may end anywhere, get a blank line there."""
    size = count = 0
    for line in lines:
        if kind != "file" and not line.strip():
            size = count = 0
        size, count = size + len(line), count + 1
        if size > LONGEST or count > MOST_LINES:
            if kind != "window":
                raise UsageError(
                    f"{path}: a document of more than {LONGEST:,} characters or "
                    f"{MOST_LINES:,} lines; "
                    f"say --config.data.documents={OTHER_DOCUMENTS[kind]}"
                )
            yield ""
            size, count = len(line), 1
        yield line


def _window_bytes(paths: list[Path], data) -> int:
    low, high = AUTO_BYTES
    total, wanted = sum(path.stat().st_size for path in paths), AUTO_DOCUMENTS
    if data.documents == "window":
        low, wanted = SMALLEST, max(wanted, math.ceil(2 / data.valid_share))
    return min(max(total // wanted, low), high)


def windows(texts: Iterable[str], target: int) -> Iterator[str]:
    """Consecutive paragraphs of `target` bytes or more.

    Half as many more may end one in mid-paragraph, at a sentence end. Less than half
    of it, left at the end, goes to the last one.
    """
    held, window, size = "", "", 0
    for text in texts:
        parts = sentences(text)
        for left, sentence in zip(range(len(parts) - 1, -1, -1), parts, strict=True):
            window += sentence + (" " if left else "\n")
            size += len(sentence.encode())
            if size >= target * (1.5 if left else 1):
                yield from [held.rstrip()] if held else []
                held, window, size = window, "", 0
    if held and size >= target / 2:
        yield held.rstrip()
        held = ""
    if rest := (held + window).rstrip():
        yield rest


def _objects(path: Path, lines: Iterable[str], field: str) -> Iterator[Document]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            name = f"{path}, line {number}"
            yield Document(name, clean(_field(name, line, field)))


def _field(name: str, line: str, field: str) -> str:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{name}: no JSON ({error})") from error
    if not isinstance(value, dict):
        raise UsageError(f"{name}: no JSON object")
    text = value.get(field)
    if text is None and field in value:
        return ""
    if not isinstance(text, str):
        raise UsageError(
            f"{name}: no text in the field {field!r} (it has {', '.join(value)}); "
            "say --config.data.text_field=NAME"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:  # half of an escaped surrogate pair
        raise UsageError(f"{name}: badly encoded ({error})") from error
    return text
