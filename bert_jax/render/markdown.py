"""Markdown rendering of a document, for a code host."""

import html
import re

from bert_jax.render.document import Block, Document, Figures, Grid, Items, Live

MARK = "<!-- written by launch.py report: edit the experiment, not this file -->"
CAPTION = """\
Left: each seed's difference to the baseline (dots), their mean (diamond) and its 95 %
interval, blue where it excludes 0; thin: the simultaneous one. Right: the mean over seeds by step with its 95 % band,
the baseline in grey, or the score of every seed (dots) and their mean (bar)."""


# Code, which a code host shows verbatim: between two single ticks.
CODE = re.compile(r"((?<![`\\])`[^`]+`(?!`))")


def render(document: Document) -> str:
    """Render a document without its figures, which are in NAME.svg."""
    verdict = f"**{document.verdict.capitalize()}.** " if document.verdict else ""
    texts = [_text(text) for text in document.about]
    picture = f"![{_label(document.question)}]({document.name}.svg)"
    blocks = [
        MARK,
        f"# {_text(document.question)}",
        verdict + _text(document.answer),
        *texts,
        *([f"> {_text(document.claim)}"] if document.claim else []),
        block(Items(document.facts)),
        *([picture, CAPTION] if document.picture else []),
    ]
    for section in document.sections:
        texts = [block(content) for content in section.blocks]
        blocks += [f"## {_text(section.title)}", *filter(None, texts)]
    return "\n\n".join(blocks) + "\n"


def _text(text: str) -> str:
    """Escape HTML in a text, except between ticks."""
    parts = CODE.split(text)  # odd parts are code
    return "".join(
        part if number % 2 else html.escape(part, quote=False)
        for number, part in enumerate(parts)
    )


def block(content: Block) -> str:
    """Render one block, as `render` does those of a document."""
    match content:
        case str():
            return _text(content)
        case Items(lines):
            return "\n".join(f"- {_text(line)}" for line in lines)
        case Figures() | Live():
            return ""
        case Grid():
            return _grid(content)


def _grid(grid: Grid) -> str:
    rules = ["---:" if side == "r" else "---" for side in grid.sides]
    rows = [grid.header, rules, *grid.rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|")


def _label(text: str) -> str:
    return _text(text).replace("[", "(").replace("]", ")")
