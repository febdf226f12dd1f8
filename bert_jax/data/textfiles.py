"""Text files: finding them, and reading lines of clean text from them."""

import codecs
import glob
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from bert_jax.config import UsageError

SUFFIXES = (".txt", ".txt.gz", ".jsonl")
LONGEST_LINE = 10_000_000  # characters; a longer one is no text, or has lost its ends
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def find(spec: str) -> list[Path]:
    """The files of comma-separated paths, folders and globs, each once, in order."""
    parts = [part.strip() for part in spec.split(",") if part.strip()]
    if not parts:
        raise UsageError("no files: say --config.data.files=PATH (or a folder or glob)")
    found = {path.resolve(): path for part in parts for path in _matches(part)}
    return list(found.values())


def _matches(part: str) -> list[Path]:
    path = Path(part).expanduser()
    if path.is_dir():
        return _texts(path.rglob("*"), part)
    if path.exists():
        if not path.name.endswith(SUFFIXES):
            raise UsageError(f"{part}: only {', '.join(SUFFIXES)} files are read")
        return [path]
    if glob.has_magic(part):
        return _texts(map(Path, glob.iglob(str(path), recursive=True)), part)
    raise UsageError(f"there is no file or folder {part}")


def _texts(paths: Iterable[Path], part: str) -> list[Path]:
    texts = sorted(p for p in paths if p.name.endswith(SUFFIXES) and p.is_file())
    if not texts:
        raise UsageError(f"{part} matches no {', '.join(SUFFIXES)} file")
    return texts


def lines(path: Path, encoding: str) -> Iterator[str]:
    """The lines of a file, without their ends; what is no clean text is refused."""
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
    return gzip.open(path) if path.name.endswith(".gz") else path.open("rb")


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
    """The number of the first line that does not decode, where lines can be told."""
    with _binary(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeError:
                return number
    return read + 1
