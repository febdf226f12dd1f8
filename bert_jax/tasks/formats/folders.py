"""Labelled documents from folders: one a label, as aclImdb and 20 newsgroups have them."""

from collections.abc import Iterator
from pathlib import Path

from bert_jax.data.paragraphs import clean
from bert_jax.run.config import UsageError
from bert_jax.tasks.records import Sentence, lines, tell_left_out


def folders(path: Path, encoding: str) -> Iterator[Sentence]:
    """The files of the sub-folders of a folder, in the order of their names.

    A sub-folder's name is the label of its files, a file is a text: its paragraphs,
    hard-wrapped lines joined. Hidden files are skipped, and those beside the
    sub-folders. UsageError for a folder without sub-folders, a sub-folder that holds
    no file or a folder, a file that is empty or not in this encoding.
    """
    entries = _entries(path)
    labels = [entry for entry in entries if entry.is_dir()]
    if not labels:
        raise UsageError(
            f"{path} has no sub-folder, but one for each label is expected"
        )
    for label in labels:
        files = _entries(label)
        if not files:
            raise UsageError(f"{label} holds no file: add some, or remove it")
        for file in files:
            yield Sentence(str(file), _text(file, encoding), "", label.name.strip())
    tell_left_out(str(path), {"files beside the folders": len(entries) - len(labels)})


def _entries(path: Path) -> list[Path]:
    """Sorted entries of a folder that are not hidden."""
    try:
        return sorted(entry for entry in path.iterdir() if entry.name[0] != ".")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error


def _text(file: Path, encoding: str) -> str:
    if file.is_dir():
        raise UsageError(
            f"{file} is a folder inside that of a label: "
            f"name the folder whose sub-folders are labels (is it {file.parent}?)"
        )
    text = clean("\n".join(lines(file, encoding)))
    if not text:
        raise UsageError(f"{file} is empty")
    return text
