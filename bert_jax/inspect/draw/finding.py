"""The finding of an inspection at one step, before it is written to files."""

from typing import NamedTuple

import numpy as np

from bert_jax.render.document import Block
from bert_jax.render.drawing import Draw


class Picture(NamedTuple):
    """A figure in inches, written to files `name`.svg and `name`.png."""

    name: str
    draw: Draw
    width: float
    height: float
    caption: str


class Pictures(NamedTuple):
    """Figures side by side, or stacked where there is no room."""

    pictures: list[Picture]


class Part(NamedTuple):
    """A section of the page."""

    title: str
    blocks: list[Block | Pictures]


class Finding(NamedTuple):
    """The result of an inspection at one step. question: the title of the page. answer:
    a sentence or two. about: what such numbers do and do not show. facts: the inputs,
    line by line. arrays: of the .npz. scores: numbers to follow over training, with
    names like "accuracy/layer 3": a panel for each first part."""

    question: str
    answer: str
    about: list[str]
    facts: list[str]
    parts: list[Part]
    arrays: dict[str, np.ndarray]
    scores: dict[str, float]
