"""The page of a bias inspection: its answer, and notes on its meaning."""

import numpy as np

from bert_jax.inspect.bias import tables
from bert_jax.inspect.bias.figures import LEVEL
from bert_jax.inspect.bias.measures import Measured
from bert_jax.inspect.bias.tables import Results, adjusted, percent, probability, signed
from bert_jax.inspect.draw.finding import Finding

TESTS = (
    "d is the gap between the two target sets in what they are nearer to, over the "
    "standard deviation of all targets (that of n − 1). Of sets of one size it stays "
    "below 2, and it can be large where cosines hardly differ: it does not measure "
    "harm. p is one-sided: the share of all ways to part the same targets into two "
    "such sets that do at least as well; near 1 the association runs the other way. It "
    "says nothing of other words, and a p that is not small is no evidence of absence "
    "(May et al. 2019)."
)
SPACES = (
    "These are tests of a space of vectors: not of a person, and not of what a system "
    "built on it decides, with which such numbers need not agree (Goldfarb-Tarrant et "
    "al. 2021). They turn on the choice of words: other attributes for the same idea "
    "can change the size and the sign of d (Ethayarajh et al. 2019), and so can how "
    "frequent words are and into how many tokens they are split."
)
REMOVAL = (
    "RIPA is a product with the direction and not a cosine: long vectors have more of "
    "it. To remove a direction takes one line of many from vectors that have been "
    "computed, and leaves the model as it is. A test that is quiet after that shows "
    "that the line is gone, not the bias: what lay on one side of it tends to stay "
    "together (Gonen & Goldberg 2019)."
)


def finding(results: Results) -> Finding:
    about = [
        *([TESTS] if results.measured else []),
        SPACES,
        *([REMOVAL] if results.relation else []),
    ]
    parts = tables.parts(results)
    k = results.layer
    scores = {
        f"d/{one.test.name}": float(one.association.d[k]) for one in results.measured
    }
    if results.relation:
        scores |= {
            f"d without the direction/{one.test.name}": float(one.removed.d[k])
            for one in results.measured
            if one.removed
        }
    return Finding(
        f"What do the vectors of {results.space} associate?",
        _answer(results),
        about,
        results.facts,
        parts,
        _arrays(results),
        scores,
    )


def _answer(results: Results) -> str:
    k, measured = results.layer, results.measured
    parts = []
    if len(measured) == 1:
        parts.append(_test_answer(measured[0], k, results.where))
    elif measured:
        d = [one.association.d[k] for one in measured]
        significant = sum(p < LEVEL for p in adjusted(measured, k))
        parts.append(
            f"In {results.where}, {significant} of {len(measured)} tests have a p "
            f"below {LEVEL} after Holm's correction; d runs from "
            f"{signed(min(d))} to {signed(max(d))}."
        )
    if results.relation:
        parts.append(_direction_answer(results))
    for cost in results.costs[:1]:
        before, after = cost.before.r[0], cost.after.r[0]
        parts.append(
            f"The removal takes Spearman's correlation on {cost.before.name} from "
            f"{signed(before, 3)} to {signed(after, 3)}."
        )
    for task in results.tasks[:1]:
        before, after = task.before.mean(), task.after.mean()
        parts.append(
            f"With the direction a linear probe of the task tells {percent(before, 1)} "
            f"of its {task.split} split, without it {percent(after, 1)}."
        )
    return " ".join(parts)


def _test_answer(measured: Measured, k: int, where: str) -> str:
    x, y, a, b = measured.test.categories
    d, p = measured.association.d[k], measured.association.chance.p[k]
    first, second = (x, y) if d >= 0 else (y, x)
    return (
        f"In {where}, {first} lean more to {a} over {b} than {second} do: "
        f"d = {signed(d)}, one-sided p = {probability(p)}."
    )


def _direction_answer(results: Results) -> str:
    relation, k = results.relation, results.layer
    assert relation is not None
    pairs = len(relation.pairs)
    text = (
        f"One direction holds {percent(relation.share[k], 0)} of what "
        f"{'the two words' if pairs == 1 else f'{pairs} pairs of words'} differ in"
    )
    d = [
        (abs(one.association.d[k]), abs(one.removed.d[k]))
        for one in results.measured
        if one.removed
    ]
    if d:
        before, after = np.mean(d, axis=0)
        size = "|d|" if len(d) == 1 else "the mean |d|"
        text += f"; without it {size} goes from {before:.2f} to {after:.2f}"
    return f"{text}."


def _arrays(results: Results) -> dict[str, np.ndarray]:
    """d and p (tests, layers) with the names of tests and layers, and the other
    measures."""
    arrays = {"layers": np.array(results.layers)}
    measured, relation = results.measured, results.relation
    if measured:
        arrays["tests"] = np.array([one.test.name for one in measured])
        arrays["d"] = np.array([one.association.d for one in measured])
        for name in ("p", "low", "high"):
            values = [getattr(one.association.chance, name) for one in measured]
            arrays[name if name == "p" else f"p_{name}"] = np.array(values)
        for one in measured:
            arrays[f"targets/{one.test.name}"] = np.array(one.sets[0] + one.sets[1])
            arrays[f"scores/{one.test.name}"] = one.association.scores
    if relation:
        arrays |= {"direction": relation.b, "share": relation.share}
        arrays |= {"words": np.array(results.words), "ripa": results.ripa}
        removed = [one.removed for one in measured if one.removed]
        if removed:
            arrays["d_without"] = np.array([one.d for one in removed])
            arrays["p_without"] = np.array([one.chance.p for one in removed])
    return arrays
