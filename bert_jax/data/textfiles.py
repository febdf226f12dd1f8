"""Text files: search, and reading of checked lines."""

import codecs
import glob
import gzip
import io
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, zip_longest
from pathlib import Path
from typing import NamedTuple

from bert_jax.run.config import UsageError

SUFFIXES = (".txt", ".txt.gz", ".jsonl")  # case-insensitive
LONGEST_LINE = 10_000_000  # characters; a longer one is no text, or lacks line ends
LONGEST_PATH = 4096  # characters, as Linux has it
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class TextFiles(NamedTuple):
    """Result of a search for text files."""

    paths: list[Path]  # unique, in order
    left_out: Counter[str]  # other files, by kind

    def remark(self) -> str:
        """Describe the files that are not read, "" if none."""
        kinds = sorted(self.left_out.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{count:,} {kind} left out" for kind, count in kinds)


def find(spec: str) -> TextFiles:
    """Find the files of comma-separated paths, folders and globs.

    An existing path is taken literally, even with commas or brackets in it.
    """
    read: dict[Path, Path] = {}
    left_out: dict[Path, str] = {}
    for part in _parts(spec.split(",")):
        kinds = {path: _kind(path, base) for base, path in _matches(part)}
        texts = [path for path, kind in kinds.items() if not kind]
        others = {path: kind for path, kind in kinds.items() if kind}
        if not texts:
            others_found = TextFiles([], Counter(others.values())).remark()
            hint = f": {others_found}" if others_found else ""
            raise UsageError(f"{part} matches no {', '.join(SUFFIXES)} file{hint}")
        read |= {path.resolve(): path for path in texts}
        left_out |= others
    if not read:
        raise UsageError("no files: say --config.data.files=PATH (or a folder or glob)")
    return TextFiles(list(read.values()), Counter(left_out.values()))


def has_suffix(path: Path, *suffixes: str) -> bool:
    return path.name.lower().endswith(suffixes)


def _parts(parts: Sequence[str]) -> Iterator[str]:
    """Split a list into paths, each of which may contain commas."""
    while parts:
        sizes = accumulate(len(part) + 1 for part in parts)
        most = max(sum(size <= LONGEST_PATH for size in sizes), 1)
        runs = [",".join(parts[:count]) for count in range(most, 0, -1)]
        match = next(filter(_exists, runs), "") or next(filter(_is_glob, runs), "")
        match = match or parts[0]
        if match.strip():
            yield match if os.path.exists(match) else match.strip()
        parts = parts[match.count(",") + 1 :]


def _exists(text: str) -> bool:
    return any(
        t.strip() and os.path.exists(os.path.expanduser(t))
        for t in (text, text.strip())
    )


def _is_glob(text: str) -> bool:
    """Whether a text is a glob that matches files."""
    text = os.path.expanduser(text.strip())
    return glob.has_magic(text) and any(_expand("", Path(text).parts))


def _matches(part: str) -> list[tuple[Path, Path]]:
    """The files of a path, folder or glob, sorted, each with the folder searched."""
    text = os.path.expanduser(part)
    path = Path(text)
    if os.path.isdir(text):
        return [(path, below) for below in sorted(_below(path))]
    if os.path.exists(text):
        if not has_suffix(path, *SUFFIXES):
            raise UsageError(f"{part}: only {', '.join(SUFFIXES)} files are read")
        return [(path.parent, path)]
    if not glob.has_magic(text):
        raise UsageError(f"there is no file or folder {part}")
    paths = sorted(map(Path, _expand("", path.parts)))
    # A folder whose content matches too is not counted as left out.
    return [
        (path.parent, path)
        for path, following in zip_longest(paths, paths[1:])
        if following is None or path not in following.parents
    ]


def _below(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}")

    for place, folders, names in os.walk(folder, onerror=refuse):
        yield from (Path(place, name) for name in names)
        linked = (Path(place, name) for name in folders)
        yield from (path for path in linked if path.is_symlink())


def _expand(start: str, parts: Sequence[str]) -> Iterator[str]:
    """Yield the matching paths below `start`; a part that exists is no pattern."""
    if not parts:
        yield start
        return
    if os.path.lexists(os.path.join(start, parts[0])):
        names = [parts[0]]
    elif glob.has_magic(parts[0]):
        names = glob.iglob(parts[0], root_dir=start or None, recursive=True)
    else:
        return
    for name in names:
        path = os.path.join(start, name)
        if len(parts) == 1 or os.path.isdir(path):
            yield from _expand(path, parts[1:])


def _kind(path: Path, base: Path) -> str:
    """The kind of a file that is not read; "" for a text file."""
    if path.is_dir():
        return "linked folder" if path.is_symlink() else "folder"
    if not path.is_file():
        return "broken link" if path.is_symlink() else "special file"
    if has_suffix(path, *SUFFIXES):
        return ""
    if any(part.startswith(".") for part in path.relative_to(base).parts):
        return "hidden"
    ends = path.suffixes[-2:] if has_suffix(path, ".gz") else path.suffixes[-1:]
    return "".join(ends).lower() or "without a suffix"


def lines(path: Path, encoding: str) -> Iterator[str]:
    """Yield the lines of a file without line ends. Raises UsageError for anything but
    clean text."""
    number = 0
    try:
        with _binary(path) as binary, _text(path, binary, encoding) as file:
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    raise UsageError(
                        f"{path}, line {number}: longer than {LONGEST_LINE:,} "
                        "characters; break it into lines"
                    )
                if "\0" in line:
                    raise UsageError(f"{path}, line {number}: {_not_text(encoding)}")
                # A form feed alone is a page's end, in mid-paragraph as often as not.
                if "\f" not in line or not line.isspace():
                    yield line.rstrip("\n").replace("\f", " ")
    except UnicodeError as error:
        number = _undecodable(path, encoding, number)
        reason = f"no {encoding} ({error}); {_not_text(encoding)}"
        raise UsageError(f"{path}, line {number}: {reason}") from error
    except LookupError as error:
        raise UsageError(f"data.encoding: {error}") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}, after line {number}: {reason}") from error
    if not number:
        raise UsageError(f"{path} is empty")


def _binary(path: Path) -> io.BufferedReader | gzip.GzipFile:
    return gzip.open(path) if has_suffix(path, ".gz") else path.open("rb")


def _text(
    path: Path, binary: io.BufferedReader | gzip.GzipFile, encoding: str
) -> io.TextIOWrapper:
    name = codecs.lookup(encoding).name
    if binary.read(2) in _UTF16 and not name.startswith(("utf-16", "utf-32")):
        raise UsageError(f"{path} is UTF-16: say --config.data.encoding=utf-16")
    binary.seek(0)
    return io.TextIOWrapper(binary, "utf-8-sig" if name == "utf-8" else name)


def _not_text(encoding: str) -> str:
    other = "utf-8" if "16" in encoding else "utf-16, cp1252"
    return f"binary, or --config.data.encoding is another one ({other}, ...)"


def _undecodable(path: Path, encoding: str, read: int) -> int:
    """The number of the first line that does not decode, if lines can be separated."""
    with _binary(path) as file:
        lines_of_bytes = iter(lambda: file.readline(4 * LONGEST_LINE), b"")
        for number, line in enumerate(lines_of_bytes, 1):
            try:
                line.decode(encoding)
            except UnicodeError:
                return number
    return read + 1
