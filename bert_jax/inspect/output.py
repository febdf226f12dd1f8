"""Findings as files: arrays, figures and one page.

All is made before anything is written, and every file comes by rename.
"""

import io
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import FigureBase
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bert_jax import rundir
from bert_jax.config import UsageError
from bert_jax.inspect.finding import Finding, Part, Picture, Pictures
from bert_jax.report import page
from bert_jax.report.document import Block, Document, Figures, Section
from bert_jax.report.drawing import COLOURS, INK, png, svg


def write(folder: Path, kind: str, facts: list[str], findings: dict[int, Finding]):
    """Files of the findings by step: KIND.npz, the figures and KIND.html of the last;
    of several also the arrays of each, and the curves of what can be followed.

    Returns the path of the page. UsageError where it cannot write.
    """
    last = max(findings)
    files = {f"{kind}.npz": arrays(findings[last].arrays)}
    parts = list(findings[last].parts)
    if len(findings) > 1:
        files |= {
            f"{kind}_{step}.npz": arrays(finding.arrays)
            for step, finding in findings.items()
        }
        curves = over_training(findings)
        files["over_training.npz"] = arrays(series(findings))
        parts.insert(0, Part("Over training", [Pictures(curves)]))
    pictures = {
        picture.name: drawn(picture)
        for part in parts
        for block in part.blocks
        if isinstance(block, Pictures)
        for picture in block.pictures
    }
    for name, (vector, pixels) in pictures.items():
        files[f"{name}.svg"], files[f"{name}.png"] = vector.encode(), pixels
    document = compose(kind, facts, findings[last], parts, pictures)
    files[f"{kind}.html"] = page.render(document).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            rundir.write_bytes(folder / name, content)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from error
    return folder / f"{kind}.html"


def arrays(found: dict[str, np.ndarray]) -> bytes:
    """A .npz, the same from the same numbers."""
    file = io.BytesIO()
    np.savez_compressed(file, **found)  # pyright: ignore[reportArgumentType]
    return file.getvalue()


def drawn(picture: Picture) -> tuple[str, bytes]:
    """A figure as SVG and as PNG."""
    how: Any = [picture.draw], [picture.height], picture.width
    return svg(*how), png(*how)


def compose(
    kind: str,
    facts: list[str],
    finding: Finding,
    parts: list[Part],
    pictures: dict[str, tuple[str, bytes]],
) -> Document:
    """The page of a finding, its figures drawn."""

    def block(one: Block | Pictures) -> Block:
        if not isinstance(one, Pictures):
            return one
        return Figures(
            [(pictures[each.name][0], each.caption) for each in one.pictures]
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
            Section(part.title, [block(one) for one in part.blocks]) for part in parts
        ],
    )


def series(findings: dict[int, Finding]) -> dict[str, np.ndarray]:
    """`step`, and each score by step; nan where a step has none."""
    steps = sorted(findings)
    names = dict.fromkeys(name for step in steps for name in findings[step].scores)
    values = {
        name: np.array([findings[step].scores.get(name, np.nan) for step in steps])
        for name in names
    }
    return {"step": np.array(steps), **values}


def over_training(findings: dict[int, Finding]) -> list[Picture]:
    """A panel for each first part of a score's name, a curve for each second."""
    found = series(findings)
    groups: dict[str, list[str]] = defaultdict(list)
    for name in found:
        if name != "step":
            groups[name.split("/")[0]].append(name)

    def draw(names: list[str], label: str):
        def curves(canvas: FigureBase) -> None:
            panel = canvas.subplots()
            steps = found["step"]
            for name, colour in zip(names, _colours(len(names)), strict=True):
                own = name.partition("/")[2]
                panel.plot(
                    steps, found[name], "o-", ms=2.5, lw=1.1, color=colour, label=own
                )
            if _is_wide(steps):
                panel.set_xscale("symlog", linthresh=_first(steps))
                panel.set_xlim(left=0)
            else:
                panel.xaxis.set_major_locator(MaxNLocator(4))
            panel.xaxis.set_major_formatter(FuncFormatter(_thousands))
            panel.set_xlabel("step")
            panel.set_ylabel(label)
            panel.yaxis.set_major_locator(MaxNLocator(5))
            if len(names) > 1:
                columns = 1 if len(names) <= 8 else 2
                canvas.legend(
                    loc="outside right upper", frameon=False, fontsize=7, ncols=columns
                )

        return curves

    return [
        Picture(
            f"over_training_{_file(label)}",
            draw(names, label),
            4.8,
            3.0,
            f"{label}, by training step"
            + (
                ", logarithmic from the first after 0"
                if _is_wide(found["step"])
                else ""
            ),
        )
        for label, names in groups.items()
    ]


def _colours(count: int) -> list[Any]:
    """Of few curves those of things without order; of more, as of layers, a ramp."""
    if count == 1:
        return [INK]
    if count <= 3:
        return list(COLOURS[:count])
    return [_ramp(i / (count - 1)) for i in range(count)]


def _ramp(share: float) -> tuple[float, float, float]:
    """From light to dark blue: the deeper the darker."""
    light, dark = np.array([0.70, 0.80, 0.90]), np.array([0.07, 0.19, 0.35])
    red, green, blue = light + share * (dark - light)
    return float(red), float(green), float(blue)


def _is_wide(steps: np.ndarray) -> bool:
    return 10 * _first(steps) <= max(steps)


def _thousands(step: float, _: int) -> str:
    return f"{step:,.0f}"


def _first(steps: np.ndarray) -> int:
    """The first step after 0."""
    return int(min((step for step in steps if step > 0), default=1))


def _file(label: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in label.lower())
