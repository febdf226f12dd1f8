"""Metrics history: metrics.jsonl, one JSON object a line, appended during training.

A line damaged by a crash (no JSON) is skipped with a warning; JSON of another kind is
refused. Values are stored by name, so that a million lines fit in memory.
"""

import functools
import json
import math
import os
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TextIO

import msgspec
import numpy as np

from bert_jax.run import files
from bert_jax.run.exits import UsageError

STEP = "step"
LONGEST = 1_000_000  # bytes of a line; a longer one is damaged
DAMAGED = "metrics.damaged"  # beside metrics.jsonl: lines removed from it
Value = int | float | None  # None: not finite

_decode = msgspec.json.Decoder(dict[str, Value]).decode


class Series(NamedTuple):
    """The values of one metric, by ascending step."""

    steps: np.ndarray
    values: np.ndarray


class _Lines(NamedTuple):
    """Lines with equal names: their numbers and steps, and their values in turn."""

    numbers: array
    steps: array
    values: array


class History(Mapping[int, dict[str, float]]):
    """Metrics by step, ascending; the last line of a repeated step and name counts."""

    def __init__(self):
        self._lines: dict[tuple[str, ...], _Lines] = {}
        self._count = 0
        self._series: dict[str, Series] = {}  # cache, cleared by `add`

    def add(self, step: int, values: Mapping[str, float]) -> None:
        names = tuple(values)
        lines = self._lines.setdefault(
            names, _Lines(array("q"), array("q"), array("d"))
        )
        lines.numbers.append(self._count)
        lines.steps.append(step)
        lines.values.extend(values.values())
        self._count += 1
        self._series.clear()

    def names(self) -> list[str]:
        """The names of all metrics, in the order of their first lines."""
        return list(dict.fromkeys(name for names in self._lines for name in names))

    def series(self, name: str) -> Series:
        """The series of a metric, empty if there is none."""
        if name not in self._series:
            self._series[name] = self._collect(name)
        return self._series[name]

    def _collect(self, name: str) -> Series:
        parts = [
            (
                np.array(lines.numbers),
                np.array(lines.steps),
                np.array(lines.values)[names.index(name) :: len(names)],
            )
            for names, lines in self._lines.items()
            if name in names
        ]
        if not parts:
            return Series(np.zeros(0, np.int64), np.zeros(0))
        numbers, steps, values = map(np.concatenate, zip(*parts))
        order = np.lexsort((numbers, steps))
        steps, values = steps[order], values[order]
        last = np.append(steps[1:] != steps[:-1], True)
        return Series(steps[last], values[last])

    def __getitem__(self, step: int) -> dict[str, float]:
        row = {}
        for name in self.names():
            steps, values = self.series(name)
            place = int(np.searchsorted(steps, step))
            if place < len(steps) and steps[place] == step:
                row[name] = float(values[place])
        if not row and step not in self._steps():
            raise KeyError(step)
        return row

    def __iter__(self) -> Iterator[int]:
        return iter(self._steps().tolist())

    def __len__(self) -> int:
        return len(self._steps())

    def _steps(self) -> np.ndarray:
        parts = [np.array(lines.steps) for lines in self._lines.values()]
        return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)


def line(step: int, metrics: Mapping[str, float]) -> str:
    """Format a line for `append`: a number that is not finite becomes null."""
    plain = {
        name: value if math.isfinite(value) else None for name, value in metrics.items()
    }
    return json.dumps({STEP: step, **plain}, allow_nan=False) + "\n"


def append(path: Path) -> TextIO:
    """Open the file for appending, on a new line after a torn one."""
    file = path.open("a", encoding="utf-8")
    if not _ends_in_newline(path):
        file.write("\n")
    return file


def _ends_in_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        return file.read() in (b"", b"\n")


def read(path: Path) -> History:
    """Read all lines of a file, which may be absent. Raises UsageError.

    A last line torn by a kill is skipped silently, other damaged lines with a warning,
    once a process.
    """
    history, damaged = History(), []
    for number, content in _lines(path):
        values = parse(content, f"{path}, line {number}")
        if values is not None:
            history.add(int(values.pop(STEP)), values)
        elif not _is_torn(content):
            damaged.append(number)
    if damaged:
        warn_once(f"{path}: {_name_lines(damaged)} passed over: no JSON")
    return history


def parse(content: bytes, name: str) -> dict[str, float] | None:
    """Parse the step and values of a line, None if it is no JSON.

    Raises UsageError for JSON of another kind.
    """
    try:
        row = _decoded(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not all(map(_is_value, row.values())):
        raise UsageError(f"{name} is not what it should be: an object of numbers")
    step = row.get(STEP)
    if not isinstance(step, int) or not 0 <= step < 2**53:
        raise UsageError(f"{name} is not what it should be: it has no step")
    try:
        return {k: math.nan if v is None else float(v) for k, v in row.items()}
    except OverflowError:
        raise UsageError(f"{name} holds a number that is too large") from None


def _decoded(content: bytes) -> object:
    try:
        return _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(content)  # also reads the NaN of older versions


def _is_value(value: object) -> bool:
    return value is None or type(value) in (int, float)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the numbered lines of a file, if it exists."""
    for number, (_, content) in enumerate(_lines_with_offsets(path), 1):
        yield number, content


def _lines_with_offsets(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield lines with their offsets; an overlong line as a damaged fragment."""
    if not path.exists():
        return
    place = 0
    with path.open("rb") as file:
        while content := file.readline(LONGEST):
            while not content.endswith(b"\n") and (more := file.readline(LONGEST)):
                content = b"\0" + more[-1:]
            yield place, content
            place = file.tell()


def tail(path: Path, size: int) -> Iterator[dict[str, float]]:
    """Yield the complete lines among the last `size` bytes, last first."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - size))
            lines = file.read().splitlines()
    except OSError:
        return
    for content in reversed(lines):
        try:
            values = parse(content, str(path))
        except UsageError:
            continue
        if values is not None:
            yield values


def repair(path: Path, say: Callable[[str], None]) -> None:
    """Move damaged lines to a file beside this one, and report them."""
    damaged = {n: content for n, content in _lines(path) if _is_damaged(content)}
    if not damaged:
        return
    with path.with_name(DAMAGED).open("ab") as file:
        file.writelines(damaged.values())
    files.write_parts(path, (c for n, c in _lines(path) if n not in damaged))
    corrupt = [number for number, content in damaged.items() if not _is_torn(content)]
    if corrupt:
        say(f"{path}: {_name_lines(corrupt)} damaged and moved to {DAMAGED}")


def rewind(path: Path, size: int, say: Callable[[str], None]) -> None:
    """Cut the file to its first `size` bytes, and report damaged lines after them."""
    if not path.exists() or path.stat().st_size <= size:
        return
    damaged = [
        number
        for number, (offset, content) in enumerate(_lines_with_offsets(path), 1)
        if offset >= size and not _is_torn(content) and _is_damaged(content)
    ]
    if damaged:
        say(f"{path}: {_name_lines(damaged)} damaged and removed: its step is repeated")
    os.truncate(path, size)


def _is_damaged(content: bytes) -> bool:
    try:
        return parse(content, "") is None
    except UsageError:
        return True


def _is_torn(content: bytes) -> bool:
    """Whether a kill may have cut the line; a crash of the machine leaves NULs."""
    return not content.endswith(b"\n") and b"\0" not in content


def _name_lines(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
    return f"line {shown} was" if len(numbers) == 1 else f"lines {shown} were"


@functools.cache
def warn_once(text: str) -> None:
    """Print a warning once a process, however many readers issue it."""
    print(text, file=sys.stderr, flush=True)
