"""What heads do on average, for people: a part of the page, and what training follows."""

from collections.abc import Callable

import numpy as np

from bert_jax.inspect.attention import maps
from bert_jax.inspect.attention.heads import MEASURES, Statistics
from bert_jax.inspect.draw.finding import Part, Pictures
from bert_jax.render.document import Grid, Items

UNITS = {"entropy": "entropy, nats", "distance": "distance, tokens"}
FOLLOWED = {
    "entropy": "entropy",
    "distance": "distance",
    "on [SEP]": "share on [SEP]",
    "on itself": "share on the diagonal",
}
QUERIES = """
Means over all {queries:,} tokens as queries, [CLS] and [SEP] included, padding not; in
the table then over the heads of a layer. Its last line is a head that gives every token
that can be seen the same weight.
"""
ALONE = "One text says little of a head: `--corpus=FILE` reads many."
# What one head of the run has most, or least, of.
EXTREMES: dict[str, tuple[str, Callable[[np.ndarray], np.integer]]] = {
    "entropy": ("reads the narrowest, with an entropy of", np.argmin),
    "distance": ("reads the farthest, by a mean distance of", np.argmax),
    "on [SEP]": ("puts most on [SEP]:", np.argmax),
    "on [CLS]": ("puts most on [CLS]:", np.argmax),
    "on itself": ("puts most on the token itself:", np.argmax),
    "on previous": ("puts most on the previous token:", np.argmax),
    "on next": ("puts most on the next token:", np.argmax),
}


def part(counted: Statistics) -> Part:
    """A table by layer, the heads that stand out, and every head in figures."""
    over = f"{counted.texts:,} lines" if counted.texts > 1 else "one text"
    said = [QUERIES.format(queries=counted.queries), ALONE * (counted.texts == 1)]
    pictures = [
        maps.heads(
            f"heads_{file(name)}",
            values,
            _darkest(counted, name),
            f"{UNITS.get(name, name)}: {MEASURES[name]}.",
        )
        for name, values in counted.measures.items()
    ]
    return Part(
        f"What heads do over {over}",
        [
            " ".join(" ".join(said).split()),
            table(counted),
            Items(extremes(counted)),
            Pictures(pictures),
        ],
    )


def says(counted: Statistics) -> str:
    """The end of a sentence, of all heads."""
    entropy, same = counted.measures["entropy"].mean(), counted.uniform["entropy"]
    separator = counted.measures["on [SEP]"].mean()
    return (
        f"the heads have an entropy of {entropy:.2f} nats on average (equal weights "
        f"would have {same:.2f}) and put {separator:.2f} of their weight on [SEP]."
    )


def table(counted: Statistics) -> Grid:
    """The mean of each measure over the heads of a layer, and that of equal weights."""
    layers = np.stack([values.mean(1) for values in counted.measures.values()], 1)
    lines = [[str(n), *_two(line)] for n, line in enumerate(layers, 1)]
    lines.append(["equal weights", *_two(np.array(list(counted.uniform.values())))])
    header = ("layer", *(UNITS.get(name, name) for name in counted.measures))
    sides = "l" + "r" * len(counted.measures)
    return Grid(header, sides, [tuple(line) for line in lines], len(layers))


def extremes(counted: Statistics) -> list[str]:
    """For each measure, the head that has most of it, or the least entropy."""
    lines = []
    for name, (says, best) in EXTREMES.items():
        values = counted.measures[name]
        layer, head = np.unravel_index(int(best(values)), values.shape)
        lines.append(
            f"Head {head + 1} of layer {layer + 1} {says} {values[layer, head]:.2f}"
        )
    return lines


def scores(counted: Statistics) -> dict[str, float]:
    """By the names of Finding.scores: means over the heads of each layer."""
    return {
        f"{name}/layer {layer}": float(value)
        for measure, name in FOLLOWED.items()
        for layer, value in enumerate(counted.measures[measure].mean(1), 1)
    }


def file(name: str) -> str:
    """A measure's name in files: on_sep."""
    return "".join(c for c in name.lower().replace(" ", "_") if c.isalpha() or c == "_")


def _two(values: np.ndarray) -> list[str]:
    return [f"{value:.2f}" for value in values]


def _darkest(counted: Statistics, name: str) -> float:
    if name in UNITS:
        return max(float(counted.measures[name].max()), counted.uniform[name])
    return 1.0
