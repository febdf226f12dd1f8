"""A corpus of text files."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from bert_jax.config import UsageError
from bert_jax.data import textfiles
from bert_jax.data.paragraphs import Document, clean, paragraphs
from bert_jax.data.sentences import sentences

LONGEST = 32_000_000  # characters of one document, which is held in memory
# documents=auto takes this many files or more for a document each; of fewer it makes
# about this many documents, of this many bytes.
AUTO_FILES = 5
AUTO_DOCUMENTS = 25
AUTO_BYTES = (500, 6000)


def documents(data) -> Iterator[Document]:
    paths = textfiles.find(data.files)
    kind, size = unit(paths, data), _window_bytes(paths)
    for path in paths:
        empty = True
        for document in _read(path, data, kind, size):
            empty = False
            yield document
        if empty:
            raise UsageError(f"{path} is empty")


def identity(data) -> dict:
    stats = [(path.name, path.stat()) for path in textfiles.find(data.files)]
    return {
        "files": [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats],
        "documents": data.documents,
        "encoding": data.encoding,
        "field": data.text_field,
    }


def describe(data) -> str:
    paths = textfiles.find(data.files)
    what = paths[0].name if len(paths) == 1 else f"{len(paths)} files"
    if all(path.suffix == ".jsonl" for path in paths):
        return f"{what}, an object a document"
    return {
        "file": f"{what}, a file a document",
        "blank_line": f"{what}, a document between blank lines",
        "window": f"{what}, which is little: consecutive paragraphs or sentences of "
        f"about {_window_bytes(paths):,} bytes make a document",
    }[unit(paths, data)]


def unit(paths: list[Path], data) -> str:
    """file, blank_line or window: what one document is, auto having been decided."""
    if data.documents != "auto":
        return data.documents
    return "file" if len(paths) >= AUTO_FILES else "window"


def _read(path: Path, data, kind: str, size: int) -> Iterator[Document]:
    lines = textfiles.lines(path, data.encoding)
    if path.suffix == ".jsonl":
        yield from _objects(path, lines, data.text_field)
    elif kind == "file":
        blocks = paragraphs(_bounded(path, lines))
        if text := "\n".join(paragraph for block in blocks for paragraph in block):
            yield Document(str(path), text)
    else:
        blocks = paragraphs(lines)
        if kind == "blank_line":
            texts = map("\n".join, blocks)
        else:
            texts = windows(
                (paragraph for block in blocks for paragraph in block), size
            )
        for number, text in enumerate(texts, 1):
            yield Document(f"{path}#{number}", text)


def _bounded(path: Path, lines: Iterable[str]) -> Iterator[str]:
    size = 0
    for line in lines:
        size += len(line)
        if size > LONGEST:
            raise UsageError(
                f"{path}: a document of more than {LONGEST:,} characters; "
                "say --config.data.documents=blank_line or auto"
            )
        yield line


def _window_bytes(paths: list[Path]) -> int:
    low, high = AUTO_BYTES
    total = sum(path.stat().st_size for path in paths)
    return min(max(total // AUTO_DOCUMENTS, low), high)


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
            text = clean(_field(name, line, field))
            if not text:
                raise UsageError(f"{name}: an empty document")
            yield Document(name, text)


def _field(name: str, line: str, field: str) -> str:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{name}: no JSON ({error})") from error
    if not isinstance(value, dict):
        raise UsageError(f"{name}: no JSON object")
    text = value.get(field)
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
