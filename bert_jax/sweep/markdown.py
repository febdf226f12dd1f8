"""A report as Markdown, to be read on a code host."""

from bert_jax.report.document import Block, Document, Figures, Grid, Items, Live

MARK = "<!-- written by launch.py report: edit the experiment, not this file -->"
CAPTION = """\
Left: each seed's difference to the baseline (dots), their mean (diamond) and its 95 %
interval, blue where it excludes 0. Right: the mean over seeds by step with its 95 % band,
the baseline in grey, or the score of every seed (dots) and their mean (bar)."""


def render(document: Document) -> str:
    """All of it but the figures, which stand beside it in NAME.svg."""
    verdict = f"**{document.verdict.capitalize()}.** " if document.verdict else ""
    blocks = [
        MARK,
        f"# {document.question}",
        verdict + document.answer,
        *document.about,
        *([f"> {document.claim}"] if document.claim else []),
        _block(Items(document.facts)),
        f"![{_one_line(document.question)}]({document.name}.svg)",
        CAPTION,
    ]
    for section in document.sections:
        texts = [_block(block) for block in section.blocks]
        blocks += [f"## {section.title}", *filter(None, texts)]
    return "\n\n".join(blocks) + "\n"


def _block(block: Block) -> str:
    match block:
        case str():
            return block
        case Items(lines):
            return "\n".join(f"- {line}" for line in lines)
        case Figures() | Live():
            return ""
        case Grid():
            return _grid(block)


def _grid(grid: Grid) -> str:
    rules = ["---:" if side == "r" else "---" for side in grid.sides]
    rows = [grid.header, rules, *grid.rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _one_line(text: str) -> str:
    return text.replace("[", "(").replace("]", ")")
