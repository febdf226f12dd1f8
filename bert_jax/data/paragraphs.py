"""Paragraphs of documents, from lines; hard-wrapped lines are joined."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice, pairwise
from typing import NamedTuple

# Lines that are checked for hard wrapping, and their maximal total of characters.
SAMPLE, SAMPLE_SIZE = 2000, 32_000_000
WIDEST = 120  # characters of a line in a hard-wrapped text
_SENTENCE_END = re.compile(r"""[.!?:…。！？]["'”’»)\]_*」』]*\Z""")


class CorpusDocument(NamedTuple):
    """A document of a corpus, with a name for messages."""

    name: str
    text: str  # paragraphs, joined by line ends


def clean(text: str) -> str:
    """Join the hard-wrapped lines of a text; return one paragraph a line."""
    lines = text.replace("\r\n", "\n").replace("\f", " ").split("\n")
    return "\n".join(paragraph for block in paragraphs(lines) for paragraph in block)


def blocks(text_lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield runs of stripped lines between blank ones."""
    block = []
    for line in text_lines:
        if stripped := line.strip():
            block.append(stripped)
        elif block:
            yield block
            block = []
    if block:
        yield block


def paragraphs(text_lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield blocks with hard-wrapped lines joined: a list of paragraphs each."""
    text_lines = iter(text_lines)
    sample, size = [], 0
    for line in islice(text_lines, SAMPLE):
        sample.append(line)
        if (size := size + len(line)) > SAMPLE_SIZE:
            break
    width = wrap_width(sample)
    for block in blocks(chain(sample, text_lines)):
        yield unwrap(block, width) if width else block


def wrap_width(sample: Iterable[str]) -> int:
    """The width that a text is hard-wrapped to; 0 if each line is a paragraph.

    Wrapped lines are of bounded length, and most of them end inside a sentence.
    """
    texts = [line.strip() for line in sample if line.strip()]
    if len(texts) < 2:
        return 0
    width = sorted(map(len, texts))[int(0.95 * (len(texts) - 1))]
    ends = sum(bool(_SENTENCE_END.search(line)) for line in texts)
    return width if width <= WIDEST and ends < 0.5 * len(texts) else 0


def unwrap(block: list[str], width: int) -> list[str]:
    """Join each line to the one before it unless the break looks deliberate."""
    joined, part = [], [block[0]]
    for before, line in pairwise(block):
        if _broken(before, line, width):
            joined.append(_join(part))
            part = []
        part.append(line)
    return [*joined, _join(part)]


def _broken(before: str, line: str, width: int) -> bool:
    """Whether a line break is deliberate: the next word would have fitted, and the line
    looks like the end of a paragraph or a heading."""
    word = line.split(None, 1)[0]
    if len(before) + 1 + len(word) > width:
        return False
    heading = len(before) < 0.6 * width and not word.lstrip("\"'“‘_*([")[:1].islower()
    return heading or bool(_SENTENCE_END.search(before))


def _join(part: list[str]) -> str:
    text = part[0]
    for line in part[1:]:
        hyphen = text.endswith("-") and not text.endswith("--") and line[0].islower()
        text += line if hyphen else " " + line
    return text
