"""Corpus of text files."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from ml_collections import ConfigDict

from bert_jax.data import textfiles
from bert_jax.data.paragraphs import CorpusDocument, clean, paragraphs
from bert_jax.data.sentences import sentences
from bert_jax.run import files
from bert_jax.run.config import UsageError

LONGEST = 32_000_000  # characters of one document, which is kept in memory
MOST_LINES = 2_000_000  # of one document: each takes some 60 bytes besides its text
# documents=auto: from AUTO_FILES files on, each is a document; fewer files are split
# into about AUTO_DOCUMENTS windows of AUTO_BYTES bytes (minimum, maximum).
AUTO_FILES = 5
AUTO_DOCUMENTS = 25
AUTO_BYTES = (500, 6000)
SMALLEST = 100  # bytes of a document of `small_windows`


def documents(data) -> Iterator[CorpusDocument]:
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
    paths, _ = spec = textfiles.find(data.files)
    name = paths[0].name if len(paths) == 1 else f"{len(paths)} files"
    remark = f"; {spec.remark()}" if spec.left_out else ""
    return f"{name}, {_documents_of(paths, data)}{remark}"


def small_windows(data) -> ConfigDict:
    """A config of the same files with windows so small that two make up
    `valid_share`."""
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
    """The unit of a document: file, blank_line or window; auto is resolved."""
    if data.documents != "auto":
        return data.documents
    return "file" if len(paths) >= AUTO_FILES else "window"


def _read(path: Path, data, kind: str, size: int) -> Iterator[CorpusDocument]:
    lines = textfiles.lines(path, data.encoding)
    if textfiles.has_suffix(path, ".jsonl"):
        yield from _objects(path, lines, data.text_field)
        return
    blocks = paragraphs(_bounded(path, lines, kind))
    if kind == "file":
        if text := "\n".join(paragraph for block in blocks for paragraph in block):
            yield CorpusDocument(str(path), text)
    else:
        if kind == "blank_line":
            texts = map("\n".join, blocks)
        else:
            texts = windows(
                (paragraph for block in blocks for paragraph in block), size
            )
        for number, text in enumerate(texts, 1):
            yield CorpusDocument(f"{path}#{number}", text)


OTHER_DOCUMENTS = {"file": "blank_line or auto", "blank_line": "auto"}


def _bounded(path: Path, lines: Iterable[str], kind: str) -> Iterator[str]:
    """The lines, with documents checked to be small enough for memory.

    Windows may end anywhere: they get a blank line instead of an error.
    """
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
    """Group consecutive paragraphs into windows of `target` bytes or more.

    A window may end inside a paragraph, at a sentence end, from 1.5 times `target`. A
    rest of less than half of it is added to the last window.
    """
    pending, window, size = "", "", 0
    for text in texts:
        parts = sentences(text)
        for left, sentence in zip(range(len(parts) - 1, -1, -1), parts, strict=True):
            window += sentence + (" " if left else "\n")
            size += len(sentence.encode())
            if size >= target * (1.5 if left else 1):
                yield from [pending.rstrip()] if pending else []
                pending, window, size = window, "", 0
    if pending and size >= target / 2:
        yield pending.rstrip()
        pending = ""
    if rest := (pending + window).rstrip():
        yield rest


def _objects(path: Path, lines: Iterable[str], field: str) -> Iterator[CorpusDocument]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            name = f"{path}, line {number}"
            yield CorpusDocument(name, clean(_field(name, line, field)))


def _field(name: str, line: str, field: str) -> str:
    value = files.parse_written(name, line)
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
