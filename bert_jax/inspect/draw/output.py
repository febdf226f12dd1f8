"""Files of findings: arrays, figures and one page.

Everything is computed before anything is written, and each file is written by rename.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np

from bert_jax.inspect.draw import curves
from bert_jax.inspect.draw.finding import Finding, Part, Picture, Pictures
from bert_jax.render import webpage
from bert_jax.render.document import Block, Document, Figures, Section
from bert_jax.render.drawing import png, svg
from bert_jax.run import files
from bert_jax.run.config import UsageError


def write(
    folder: Path, kind: str, facts: list[str], findings: dict[int, Finding]
) -> Path:
    """Write the findings by step: KIND.npz, figures and KIND.html of the last step; for
    several steps also the arrays of each, and curves of the scores.

    Returns the path of the page. UsageError where the folder cannot be written.
    """
    last = max(findings)
    contents = {f"{kind}.npz": arrays(findings[last].arrays)}
    parts = list(findings[last].parts)
    if len(findings) > 1:
        contents |= {
            f"{kind}_{step}.npz": arrays(finding.arrays)
            for step, finding in findings.items()
        }
        series = curves.series(findings)
        contents["over_training.npz"] = arrays(series)
        parts.insert(0, Part("Over training", [Pictures(curves.pictures(series))]))
    pictures = {
        picture.name: drawn(picture)
        for part in parts
        for block in part.blocks
        if isinstance(block, Pictures)
        for picture in block.pictures
    }
    for name, (vector, pixels) in pictures.items():
        contents[f"{name}.svg"], contents[f"{name}.png"] = vector.encode(), pixels
    document = compose(kind, facts, findings[last], parts, pictures)
    contents[f"{kind}.html"] = webpage.render(document).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            files.write_bytes(folder / name, content)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from error
    return folder / f"{kind}.html"


def arrays(values: dict[str, np.ndarray]) -> bytes:
    """The bytes of a .npz; equal arrays give equal bytes."""
    file = io.BytesIO()
    np.savez_compressed(file, **values)  # pyright: ignore[reportArgumentType]
    return file.getvalue()


def drawn(picture: Picture) -> tuple[str, bytes]:
    """A figure as SVG and as PNG."""
    panels: Any = [picture.draw], [picture.height], picture.width
    return svg(*panels), png(*panels)


def compose(
    kind: str,
    facts: list[str],
    finding: Finding,
    parts: list[Part],
    pictures: dict[str, tuple[str, bytes]],
) -> Document:
    """Compose the page of a finding, with its figures drawn."""

    def convert(block: Block | Pictures) -> Block:
        if not isinstance(block, Pictures):
            return block
        return Figures(
            [(pictures[each.name][0], each.caption) for each in block.pictures]
        )

    return Document(
        name=f"inspect {kind}",
        question=finding.question,
        verdict="",
        answer=finding.answer,
        about=finding.about,
        claim="",
        facts=[*finding.facts, *facts],
        picture="",
        sections=[
            Section(part.title, [convert(block) for block in part.blocks])
            for part in parts
        ],
    )
