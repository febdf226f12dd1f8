"""Statistics of heads, as a part of the page, and their scores over training."""

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
# The head that a sentence names for each measure.
EXTREMES: dict[str, tuple[str, Callable[[np.ndarray], np.integer]]] = {
    "entropy": ("reads the narrowest, with an entropy of", np.argmin),
    "distance": ("reads the farthest, by a mean distance of", np.argmax),
    "on [SEP]": ("puts most on [SEP]:", np.argmax),
    "on [CLS]": ("puts most on [CLS]:", np.argmax),
    "on itself": ("puts most on the token itself:", np.argmax),
    "on previous": ("puts most on the previous token:", np.argmax),
    "on next": ("puts most on the next token:", np.argmax),
}


def part(statistics: Statistics) -> Part:
    """A table by layer, the extreme heads, and figures of every head."""
    over = f"{statistics.texts:,} lines" if statistics.texts > 1 else "one text"
    sentences = [
        QUERIES.format(queries=statistics.queries),
        ALONE * (statistics.texts == 1),
    ]
    pictures = [
        maps.head_grid(
            f"heads_{file(name)}",
            values,
            _darkest(statistics, name),
            f"{UNITS.get(name, name)}: {MEASURES[name]}.",
        )
        for name, values in statistics.measures.items()
    ]
    return Part(
        f"What heads do over {over}",
        [
            " ".join(" ".join(sentences).split()),
            table(statistics),
            Items(extremes(statistics)),
            Pictures(pictures),
        ],
    )


def sentence(statistics: Statistics) -> str:
    """The end of a sentence on the averages over all heads."""
    entropy, uniform_entropy = (
        statistics.measures["entropy"].mean(),
        statistics.uniform["entropy"],
    )
    separator = statistics.measures["on [SEP]"].mean()
    return (
        f"the heads have an entropy of {entropy:.2f} nats on average (equal weights "
        f"would have {uniform_entropy:.2f}) and put {separator:.2f} of their weight on "
        "[SEP]."
    )


def table(statistics: Statistics) -> Grid:
    """The mean of each measure over the heads of a layer, and that of equal weights."""
    layers = np.stack([values.mean(1) for values in statistics.measures.values()], 1)
    lines = [[str(n), *_formatted(line)] for n, line in enumerate(layers, 1)]
    lines.append(
        ["equal weights", *_formatted(np.array(list(statistics.uniform.values())))]
    )
    header = ("layer", *(UNITS.get(name, name) for name in statistics.measures))
    sides = "l" + "r" * len(statistics.measures)
    return Grid(header, sides, [tuple(line) for line in lines], len(layers))


def extremes(statistics: Statistics) -> list[str]:
    """A line for each measure on the head with most of it, or least entropy."""
    lines = []
    for name, (phrase, best) in EXTREMES.items():
        values = statistics.measures[name]
        layer, head = np.unravel_index(int(best(values)), values.shape)
        lines.append(
            f"Head {head + 1} of layer {layer + 1} {phrase} {values[layer, head]:.2f}"
        )
    return lines


def scores(statistics: Statistics) -> dict[str, float]:
    """Means over the heads of each layer, by the names of Finding.scores."""
    return {
        f"{name}/layer {layer}": float(value)
        for measure, name in FOLLOWED.items()
        for layer, value in enumerate(statistics.measures[measure].mean(1), 1)
    }


def file(name: str) -> str:
    """The name of a measure in file names: on_sep."""
    return "".join(c for c in name.lower().replace(" ", "_") if c.isalpha() or c == "_")


def _formatted(values: np.ndarray) -> list[str]:
    return [f"{value:.2f}" for value in values]


def _darkest(statistics: Statistics, name: str) -> float:
    if name in UNITS:
        return max(float(statistics.measures[name].max()), statistics.uniform[name])
    return 1.0
