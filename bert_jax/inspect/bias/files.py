"""The input files of a bias inspection: association tests, and pairs of words."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bert_jax.run.config import UsageError
from bert_jax.run.files import parse_written
from bert_jax.tasks.records import encodable, lines

KEYS = ("targ1", "targ2", "attr1", "attr2")
SUFFIXES = (".json", ".jsonl")


class Test(NamedTuple):
    """An association test: the names of X, Y, A and B, and their words or sentences."""

    name: str
    categories: tuple[str, ...]
    sets: tuple[list[str], ...]

    @property
    def targets(self) -> str:
        return " / ".join(self.categories[:2])

    @property
    def attributes(self) -> str:
        return " / ".join(self.categories[2:])


def tests(paths: Sequence[str]) -> list[Test]:
    """Read association tests from files in the format of SEAT (May et al. 2019), and
    from folders of such files.

    A file is one JSON object: targ1, targ2, attr1 and attr2, each with a category and
    examples. UsageError, with file and key, for any other.
    """
    loaded = [test(path) for text in paths for path in _files(Path(text))]
    names = [each.name for each in loaded]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two tests are named {name}: rename one of the files")
    return loaded


def test(path: Path) -> Test:
    """Read the test of a file, which is named like the file."""
    given = parse_written(
        f"{path} is no association test", "\n".join(lines(path, "utf-8"))
    )
    if not isinstance(given, dict):
        raise UsageError(f"{path} is no association test: want an object of 4 sets")
    parts = [_set(path, given, key) for key in KEYS]
    categories, sets = zip(*parts, strict=True)
    return Test(path.stem, categories, sets)


def pairs(path: Path) -> list[tuple[str, str]]:
    """Read lines WORD WORD, with a tab between expressions of several words; blank
    lines are skipped. UsageError for other lines and for a pair of equal words."""
    loaded = []
    for number, line in enumerate(lines(path, "utf-8"), 1):
        fields = line.split("\t") if "\t" in line else line.split()
        words = [field.strip() for field in fields if field.strip()]
        if not words:
            continue
        where = f"{path}, line {number}"
        if len(words) != 2:
            raise UsageError(f"{where}: want two words, got {len(words)}")
        if words[0] == words[1]:
            raise UsageError(f"{where}: {words[0]!r} is paired with itself")
        loaded.append((words[0], words[1]))
    if not loaded:
        raise UsageError(f"{path} has no pair of words")
    return loaded


def _files(path: Path) -> list[Path]:
    """The file itself, or the files of a folder, weat2 before weat10."""
    if not path.is_dir():
        return [path]
    inside = [file for file in path.iterdir() if file.suffix in SUFFIXES]
    if not inside:
        raise UsageError(f"{path} has no {' or '.join(SUFFIXES)} file")
    return sorted(inside, key=lambda file: _natural(file.name))


def _natural(text: str) -> list[tuple[int, str]]:
    """A sort key that orders numbers in a name by value."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(int(part), "") if part[0].isdigit() else (-1, part) for part in parts]


def _set(path: Path, given: dict[str, Any], key: str) -> tuple[str, list[str]]:
    if key not in given:
        raise UsageError(f"{path} has no {key}: a test has {', '.join(KEYS)}")
    part = given[key]
    for name, kind in (("category", str), ("examples", list)):
        if not isinstance(part, dict) or not isinstance(part.get(name), kind):
            wanted = "a text" if kind is str else "a list"
            raise UsageError(f"{path}: {key} has no {name}, {wanted}")
    examples = part["examples"]
    if not examples:
        raise UsageError(f"{path}: {key} ({part['category']}) is empty")
    for example in examples:
        if not isinstance(example, str) or not example.strip():
            raise UsageError(f"{path}: {key} has {example!r}, which is no text")
    where = f"{path}: {key}"
    return (
        encodable(where, part["category"].strip() or key),
        [encodable(where, example.strip()) for example in examples],
    )
