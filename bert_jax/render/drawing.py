"""Deterministic figures: SVG with real text, or PNG."""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure, FigureBase
from matplotlib.layout_engine import ConstrainedLayoutEngine

INK, FAINT, BASELINE = "#1f4e79", "#9db8d2", "#b04a3a"
TEXT, GREY, RULE = "#3c4148", "#868c96", "#d5d8dc"
# Categorical colours, distinguishable with colour blindness (Okabe & Ito 2008).
COLOURS = (INK, "#e69f00", "#009e73", "#cc79a7", "#56b4e9", BASELINE, "#7a5230", GREY)
DPI = 200  # of a PNG
SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "bert_jax",
    "font.size": 9,
    "axes.edgecolor": GREY,
    "axes.labelcolor": TEXT,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "text.color": TEXT,
    "xtick.color": GREY,
    "xtick.labelcolor": TEXT,
    "xtick.major.width": 0.6,
    "ytick.color": GREY,
    "ytick.labelcolor": TEXT,
    "ytick.major.width": 0.6,
}

Draw = Callable[[FigureBase], None]


def svg(draws: Sequence[Draw], heights: Sequence[float], width: float) -> str:
    """Draw a grid of panels as SVG, filled row by row; each is `width` inches wide.

    heights: of the rows, in inches.
    """
    file = io.StringIO()
    _save(
        draws,
        heights,
        width,
        file,
        format="svg",
        metadata={"Date": None, "Creator": None},
    )
    return re.sub(
        r'<g id="[^"]*">', "<g>", file.getvalue()
    )  # ids would clash on a page


def png(draws: Sequence[Draw], heights: Sequence[float], width: float) -> bytes:
    """Draw the panels of `svg` as PNG."""
    file = io.BytesIO()
    _save(
        draws, heights, width, file, format="png", dpi=DPI, metadata={"Software": None}
    )
    return file.getvalue()


def _save(
    draws: Sequence[Draw],
    heights: Sequence[float],
    width: float,
    file: Any,
    **options: Any,
) -> None:
    rows, columns = len(heights), len(draws) // len(heights)
    # Dollar signs in user texts are not mathematics.
    with matplotlib.rc_context({**SETTINGS, "text.parse_math": False}):
        layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
        figure = Figure(figsize=(width * columns, sum(heights)), layout=layout)
        canvases = figure.subfigures(
            rows, columns, squeeze=False, height_ratios=heights
        )
        for draw, canvas in zip(draws, canvases.flat, strict=True):
            draw(canvas)
        with warnings.catch_warnings():
            # PNGs lack glyphs that the font does not have; SVGs keep the text.
            warnings.filterwarnings("ignore", "Glyph .* missing")
            figure.savefig(file, **options)
