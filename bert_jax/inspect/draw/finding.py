"""What a kind of inspection finds at one step, before it is files."""

from typing import NamedTuple

import numpy as np

from bert_jax.render.document import Block
from bert_jax.render.drawing import Draw


class Picture(NamedTuple):
    """A figure of its own file, `name` with .svg and .png, of inches."""

    name: str
    draw: Draw
    width: float
    height: float
    caption: str


class Pictures(NamedTuple):
    """Figures side by side, or below each other where there is no room."""

    pictures: list[Picture]


class Part(NamedTuple):
    """A section of the page."""

    title: str
    blocks: list[Block | Pictures]


class Finding(NamedTuple):
    """question: what was asked, the title of the page. answer: in a sentence or two.
    about: what such numbers do and do not show. facts: what was given, line by line.
    arrays: of the .npz. scores: what can be followed over training, by names like
    "accuracy/layer 3": those of one first part share a panel."""

    question: str
    answer: str
    about: list[str]
    facts: list[str]
    parts: list[Part]
    arrays: dict[str, np.ndarray]
    scores: dict[str, float]
