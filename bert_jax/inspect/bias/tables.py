"""The sections of a bias inspection: tables, figures and notes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bert_jax.inspect.bias import figures
from bert_jax.inspect.bias.costs import SimilarityCost, TaskCost
from bert_jax.inspect.bias.measures import FEWEST, Measured, Relation, Remainder
from bert_jax.inspect.draw.finding import Part, Pictures
from bert_jax.inspect.vectors import senses
from bert_jax.render.document import Block, Grid, Items
from bert_jax.tasks import intervals
from bert_jax.tasks.metrics import wilson

FEW = 3  # tests up to which each has separate figures
NAMED = 12  # unknown words that a note names
LISTED = 20  # words of a table of RIPA, at either end
METHOD = (
    "s(w, A, B) is the mean cosine of a target w with the first attributes less that "
    "with the second (Caliskan et al. 2017); d and p are of s of the targets. Of drawn "
    "partitions p is (hits + 1) / (number + 1) (Phipson & Smyth 2010), its interval "
    "that of Clopper & Pearson 1934."
)
LAYERS = (
    "Holm's p is for the tests of this table. It is not for layers: the best of "
    "several layers has too small a p."
)
SENTENCES = (
    "Sentences that have a word or a template in common are not so many separate "
    "observations: p of a test of sentences is too small, the more so the more "
    "sentences are made of each word."
)


class Results(NamedTuple):
    """The results of an inspection. layer: the number in `layers` that the tables are
    of. words, ripa: (n,), (n, layers). relation and remainder: None without a
    direction."""

    space: str
    layers: list[str]
    layer: int
    facts: list[str]
    measured: list[Measured]
    relation: Relation | None
    words: list[str]
    ripa: np.ndarray
    remainder: Remainder | None
    costs: list[SimilarityCost]
    tasks: list[TaskCost]

    @property
    def where(self) -> str:
        if len(self.layers) == 1:
            return "the static vectors"
        return f"layer {self.layer}{'' if self.layer else ', the embeddings'}"


def parts(results: Results) -> list[Part]:
    """A section each for the tests, the direction and the costs of its removal."""
    return [*_tests(results), *_direction(results), *_costs(results)]


def _tests(results: Results) -> list[Part]:
    measured, layers, k = results.measured, results.layers, results.layer
    if not measured:
        return []
    holm = adjusted(measured, k)
    pictures, several = [], len(layers) > 1
    width = figures.WIDTH if several else figures.WIDE
    if len(measured) > FEW:
        pictures += [figures.heat(measured, layers)] if several else []
        pictures += [figures.dots(measured, k, holm, width)]
    else:
        for one in measured:
            pictures += [figures.course(one, layers, k)] if several else []
            pictures += [figures.targets(one, k, width)]
    blocks: list[Block | Pictures] = [Pictures(pictures), _grid(results, holm)]
    blocks += [Items(_notes(measured))]
    return [Part(f"Association tests in {results.where}", blocks)]


def _grid(results: Results, holm: Sequence[float]) -> Grid:
    k = results.layer
    drawn = any(not one.association.chance.exact for one in results.measured)
    header = ["test", "targets", "attributes", "d", "p", "p, Holm"]
    header += ["95 % interval of p"] * drawn + ["partitions", "words"]
    rows = []
    for one, p in zip(results.measured, holm, strict=True):
        sizes, chance = [len(texts) for texts in one.sets], one.association.chance
        row = [one.test.name, one.test.targets, one.test.attributes]
        row += [signed(one.association.d[k]), probability(chance.p[k]), probability(p)]
        if drawn:
            ends = probability(chance.low[k]), probability(chance.high[k])
            row += ["–" if chance.exact else f"{ends[0]} to {ends[1]}"]
        row += [f"{_large(chance.partitions)} {'all' if chance.exact else 'drawn'}"]
        row += [f"{sizes[0]}+{sizes[1]}, {sizes[2]}+{sizes[3]}"]
        rows.append(tuple(row))
    return Grid(tuple(header), "lll" + "r" * (len(header) - 3), rows, -1)


def _notes(measured: Sequence[Measured]) -> list[str]:
    notes = [METHOD, *([LAYERS] if len(measured[0].association.d) > 1 else [])]
    if any(len(text.split()) > 2 for one in measured for text in one.sets[0]):
        notes.append(SENTENCES)
    for one in measured:
        if one.unknown:
            total = sum(map(len, one.test.sets))
            notes.append(
                f"`{one.test.name}`: {len(one.unknown)} of {total} are unknown and "
                f"left out: {_named(one.unknown)}."
            )
        x, y = one.sets[:2]
        if both := [text for text in dict.fromkeys(x) if text in y]:
            notes.append(
                f"`{one.test.name}`: in both target sets, where it can only weaken the "
                f"test: {_named(both)}."
            )
        again = [
            text for texts in one.sets for text in set(texts) if texts.count(text) > 1
        ]
        if again:
            notes.append(
                f"`{one.test.name}`: in one set more than once, and counted as often: "
                f"{_named(sorted(again))}."
            )
    return notes


def _direction(results: Results) -> list[Part]:
    relation, k = results.relation, results.layer
    if relation is None:
        return []
    pairs = ", ".join(f"{x} − {y}" for x, y in relation.pairs[:NAMED])
    more = ", …" if len(relation.pairs) > NAMED else ""
    text = (
        f"b is the first principal component, not centred, of {pairs}{more} "
        f"(Ethayarajh et al. 2019), of length 1: {percent(relation.share[k], 1)} of "
        "the squares of the differences lie along it. RIPA is ⟨w, b⟩, positive on the "
        "side of the first words. Without the direction w is w − ⟨w, b⟩ b (Bolukbasi "
        "et al. 2016)."
    )
    values = results.ripa[:, k]
    wide, ends = figures.WIDE, figures.ENDS
    if results.measured:  # a figure of about the same height stands beside it
        wide, ends = figures.WIDTH, min(ends, max(6, len(results.measured) // 2))
    pictures = [figures.ripa(results.words, values, ends, wide)]
    pictures += [figures.change(results.measured, k)] if results.measured else []
    blocks: list[Block | Pictures] = [text, Pictures(pictures)]
    if results.measured:
        blocks.append(_removed(results))
    blocks += [_remainder_text(results.remainder), _ripa(results.words, values)]
    notes = []
    if relation.unknown:
        notes.append(f"Pairs left out for unknown words: {_named(relation.unknown)}.")
    if len(values) > 2 * LISTED:
        notes.append(
            f"The {LISTED} highest and the {LISTED} lowest of {len(values):,}; the "
            "others are in the .npz."
        )
    return [
        Part(
            "The direction, and without it", [*blocks, *([Items(notes)] * bool(notes))]
        )
    ]


def _removed(results: Results) -> Grid:
    k, rows = results.layer, []
    for one in results.measured:
        if one.removed:
            before, after = one.association, one.removed
            row = [one.test.name, one.test.targets, one.test.attributes]
            row += [signed(before.d[k]), signed(after.d[k])]
            row += [signed(after.d[k] - before.d[k], sign="+")]
            row += [probability(each.chance.p[k]) for each in (before, after)]
            rows.append(tuple(row))
    header = ("test", "targets", "attributes", "d", "d without", "change")
    return Grid((*header, "p", "p without"), "lllrrrrr", rows, -1)


def _remainder_text(remainder: Remainder | None) -> str:
    if remainder is None:
        return (
            f"What the removal leaves is not measured: that needs {FEWEST} single "
            "words, of the tests or of `--words`."
        )
    before, after = remainder.before, remainder.after
    gap = senses.difference(after, before)
    low, high = wilson(after.sum(), len(after))
    clusters = [percent(share, 1) for share in remainder.clusters]
    change = _span(100 * gap.low, 100 * gap.high, 1)
    return (
        f"**What is left.** Of the {remainder.count} words furthest to each side, a "
        "linear probe that learnt from the others tells the side of "
        f"{percent(before.mean(), 1)} with the direction, and of "
        f"{percent(after.mean(), 1)} without it (95 % interval {percent(low, 1)} to "
        f"{percent(high, 1)}; chance is 50 %; the difference is "
        f"{signed(100 * gap.value, 1, '+')} points, {change}). 2-means, which is told "
        f"nothing, puts {clusters[0]} with their own side, and then {clusters[1]}: "
        "50 % is the least it can. What can still be told is hidden from the "
        "direction, not gone (Gonen & Goldberg 2019)."
    )


def _ripa(words: Sequence[str], values: np.ndarray) -> Grid:
    """A table of RIPA: the highest at the left, the lowest at the right."""
    order = [int(i) for i in np.argsort(-values, kind="stable")]
    half = min(LISTED, -(-len(order) // 2))
    lowest = order[max(half, len(order) - LISTED) :][::-1]
    cells = [(words[i], signed(values[i], 4, "+")) for i in [*order[:half], *lowest]]
    cells += [("", "")] * (2 * half - len(cells))
    rows = [(*cells[i], *cells[half + i]) for i in range(half)]
    return Grid(("highest", "RIPA", "lowest", "RIPA"), "lrlr", rows, -1)


def _costs(results: Results) -> list[Part]:
    blocks: list[Block | Pictures] = []
    if results.costs:
        rows = [_cost(cost) for cost in results.costs]
        header = ("file", "pairs", "known", "ρ", "95 % interval", "ρ without")
        header += ("95 % interval", "change", "95 % interval")
        blocks.append(Grid(header, "lrrrrrrrr", rows, -1))
        blocks.append(
            "ρ is Spearman's correlation of people's judgements with the cosines, its "
            "interval that of Bonett & Wright 2000; that of the change draws the pairs "
            "again, the same for both (bootstrap, percentiles)."
        )
    if results.tasks:
        header = ("probe, split", "examples", "accuracy", "accuracy without")
        header += ("change, points", "95 % interval")
        rows = [_task(task) for task in results.tasks]
        blocks.append(Grid(header, "lrrrrr", rows, -1))
        blocks.append(
            "A linear probe of the layer learns the task from the training split, with "
            "the direction and without; it reads the mean over the tokens of a text, "
            "or the first token of a tagged word. The interval of the change is that "
            "of pairs (Agresti & Min 2005)."
        )
    return (
        [Part(f"What the removal costs in {results.where}", blocks)] if blocks else []
    )


def _task(task: TaskCost) -> tuple[str, ...]:
    gap = senses.difference(task.after, task.before)
    shares = [f"{percent(each.mean(), 2)}" for each in (task.before, task.after)]
    change = signed(100 * gap.value, 2, "+")
    span = _span(100 * gap.low, 100 * gap.high, 2)
    return (task.split, f"{len(task.after):,}", *shares, change, span)


def _cost(cost: SimilarityCost) -> tuple[str, ...]:
    before, after = cost.before, cost.after
    row = [before.name, f"{before.pairs:,}", f"{before.known:,}"]
    for one in (before, after):
        row += [signed(one.r[0], 3), _span(one.low[0], one.high[0], 3, "-")]
    change = after.r[0] - before.r[0]
    row += [signed(change, 4, "+"), _span(cost.low, cost.high, 4)]
    return tuple(row)


def adjusted(measured: Sequence[Measured], layer: int) -> list[float]:
    return intervals.holm([float(one.association.chance.p[layer]) for one in measured])


def _named(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return ", ".join(texts[:NAMED]) + more


def _span(low: float, high: float, digits: int, sign: str = "+") -> str:
    return f"{signed(low, digits, sign)} to {signed(high, digits, sign)}"


def _large(number: int) -> str:
    return f"{number:,}" if number < 10**9 else f"{number:.2g}"


def signed(number: float, digits: int = 2, sign: str = "-") -> str:
    """Format a number with a long minus, and 0 without a sign."""
    return f"{number:{sign}z.{digits}f}".replace("-", "−")


def percent(share: float, digits: int) -> str:
    return f"{100 * share:.{digits}f} %"


def probability(p: float) -> str:
    return f"{p:.2g}".replace("-", "−")
