"""HTML rendering of a document, as one self-contained page."""

import html
import re

from bert_jax.render.document import (
    CONFIRMED,
    CONTRADICTED,
    VERDICTS,
    Block,
    Document,
    Figures,
    Grid,
    Items,
    Live,
    Section,
)

STYLE = """
:root { --ink: #22262b; --soft: #6a717b; --rule: #e3e5e8; --accent: #1f4e79;
  --serif: Charter, "Iowan Old Style", "Palatino Linotype", Palatino, Georgia,
    "DejaVu Serif", serif;
  --sans: -apple-system, "Segoe UI", Inter, Roboto, "Helvetica Neue", Arial,
    "DejaVu Sans", sans-serif; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; font: 16px/1.6 var(--serif);
  -webkit-text-size-adjust: 100%; }
main { max-width: 68rem; margin: 0 auto; padding: 4rem 2rem 5rem; }
header { max-width: 46rem; margin-bottom: 3.5rem; }
.name { font: 500 .8rem var(--sans); letter-spacing: .04em; color: var(--soft);
  margin: 0 0 .6rem; }
h1 { font-weight: 400; font-size: 2.2rem; line-height: 1.22; margin: 0 0 1.6rem;
  text-wrap: balance; }
.answer { font-size: 1.15rem; margin: 0 0 1.4rem; }
.answer b { font-weight: 600; color: var(--accent); }
blockquote { margin: 0 0 1.4rem; padding-left: 1.1rem; color: #444a52;
  border-left: 2px solid var(--accent); }
.facts { list-style: none; padding: 0; margin: 0; color: var(--soft);
  font: .82rem/1.75 var(--sans); }
section { margin: 0 0 3.5rem; }
h2 { font-weight: 400; font-size: 1.4rem; line-height: 1.3; margin: 0 0 1.2rem;
  padding-bottom: .45rem; border-bottom: 1px solid var(--rule); }
p, ul { max-width: 46rem; margin: .9rem 0; }
section > ul { padding-left: 1.1rem; font-size: .92rem; }
section > ul li { margin: .25rem 0; }
section > p { font-size: .92rem; }
section > p > strong:only-child { font: 600 .85rem var(--sans); }
code { font: .86em ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono",
  monospace; overflow-wrap: anywhere; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr));
  gap: 1.5rem 2.5rem; margin: 0 0 1.8rem; }
figure { margin: 0; display: flex; flex-direction: column; }
figure svg { width: 100%; height: auto; }
figure svg text { font-family: var(--sans) !important; }
figcaption { font: .78rem/1.5 var(--sans); color: var(--soft); margin-top: .5rem; }
.scroll { overflow-x: auto; margin: 0 0 1.2rem; }
table { border-collapse: separate; border-spacing: 0; font: .82rem/1.4 var(--sans); min-width: 100%;
  font-variant-numeric: tabular-nums; }
th, td { padding: .5rem .7rem; text-align: left; white-space: nowrap; }
th { font-weight: 500; color: var(--soft); border-bottom: 1px solid var(--ink);
  vertical-align: bottom; white-space: normal; min-width: 3.4rem; }
td { border-bottom: 1px solid var(--rule); }
th.r, td.r { text-align: right; }
th:first-child, td:first-child { padding-left: 0; position: sticky; left: 0;
  background: #fff; }
th:last-child, td:last-child { padding-right: 0; }
td.long { white-space: normal; overflow-wrap: anywhere; min-width: 14rem; }
tr.plain td { color: var(--soft); }
.confirmed, .better { color: var(--accent); font-weight: 600; }
.contradicted, .worse { font-weight: 600; }
.undecided { color: var(--soft); }
@media (max-width: 44rem) {
  main { padding: 2rem 1.1rem 3rem; }
  header, section { margin-bottom: 2.4rem; }
  h1 { font-size: 1.65rem; }
  .figures { grid-template-columns: 1fr; }
  figure.wide { overflow-x: auto; }
  figure.wide svg { width: 40rem; max-width: none; }
  figure.wide figcaption { position: sticky; left: 0; }
  th { white-space: nowrap; }
  td.long { min-width: 7rem; }
}
@media print {
  @page { margin: 15mm; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  table { font-size: 6.6pt; }
  th, td { padding: .2rem .22rem; }
  .scroll { overflow: visible; }
  .figures { grid-template-columns: 1fr 1fr; gap: 1rem; }
  h2, figure, tr, header { break-inside: avoid; }
  h2 { break-after: avoid; }
}
""".strip()
WIDE = 460  # points; wider figures are not shrunk to a narrow window
LONG = 26  # characters; longer cells may wrap
# CSS classes of cells with these words.
CLASSES = {word: "undecided" for word in VERDICTS} | {
    word: word for word in (CONFIRMED, CONTRADICTED, "better", "worse")
}


def render(document: Document) -> str:
    """Render a document with its figures inline."""
    sections = "\n".join(map(_section, document.sections))
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(document.question)}</title>
<style>
{STYLE}
</style>
</head>
<body>
<main>
{_header(document)}
{sections}
</main>
</body>
</html>
"""


def _header(document: Document) -> str:
    word = f"<b>{document.verdict.capitalize()}.</b> " if document.verdict else ""
    about = "".join(f"<p>{_inline(text)}</p>\n" for text in document.about)
    claim = f"<blockquote>{_inline(document.claim)}</blockquote>\n"
    facts = "".join(f"<li>{_inline(fact)}</li>\n" for fact in document.facts)
    return f"""\
<header>
<p class="name">{html.escape(document.name)}</p>
<h1>{_inline(document.question)}</h1>
<p class="answer">{word}{_inline(document.answer)}</p>
{about}{claim if document.claim else ""}<ul class="facts">
{facts}</ul>
</header>"""


def _section(section: Section) -> str:
    blocks = "\n".join(map(_block, section.blocks))
    return f"<section>\n<h2>{_inline(section.title)}</h2>\n{blocks}\n</section>"


def _block(block: Block) -> str:
    match block:
        case str():
            return f"<p>{_inline(block)}</p>"
        case Items(lines):
            items = "\n".join(f"<li>{_inline(line)}</li>" for line in lines)
            return f"<ul>\n{items}\n</ul>"
        case Figures(figures):
            inside = "\n".join(_figure(svg, caption) for svg, caption in figures)
            return f'<div class="figures">\n{inside}\n</div>'
        case Grid():
            return _grid(block)
        case Live(markup):
            return markup


def _figure(svg: str, caption: str) -> str:
    """Embed an SVG without its XML header and fixed size."""
    label = html.escape(caption.replace("`", ""))
    drawing = svg[svg.index("<svg") :]
    drawing = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", drawing)
    drawing = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", drawing)
    drawing = drawing.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    wide = ' class="wide"' if _width(drawing) > WIDE else ""
    return f"<figure{wide}>\n{drawing}<figcaption>{_inline(caption)}</figcaption>\n</figure>"


def _width(drawing: str) -> float:
    """The width of a drawing's view box; 0 without one."""
    box = re.search(r'viewBox="\S+ \S+ (\S+)', drawing)
    return float(box[1]) if box else 0


def _grid(grid: Grid) -> str:
    head = "".join(
        f'<th class="{side}">{_inline(name)}</th>'
        for side, name in zip(grid.sides, grid.header, strict=True)
    )
    rows = "\n".join(
        _row(grid.sides, cells, number == grid.plain)
        for number, cells in enumerate(grid.rows)
    )
    return (
        f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table></div>"
    )


def _row(sides: str, cells: tuple[str, ...], plain: bool) -> str:
    inside = "".join(map(_cell, sides, cells))
    return f'<tr class="plain">{inside}</tr>' if plain else f"<tr>{inside}</tr>"


def _cell(side: str, text: str) -> str:
    kind = CLASSES.get(text, "long" if len(text) > LONG else "")
    return f'<td class="{f"{side} {kind}".strip()}">{html.escape(text)}</td>'


def _inline(text: str) -> str:
    """Render `ticks` and **stars** of a text; escape the rest."""
    escaped = html.escape(text, quote=False)
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", escaped)
