"""Report section of one metric: figures, table of arms, notes."""

import math
from collections.abc import Iterator

from bert_jax.render.document import ROWS_UNKNOWN, Figures, Grid, Items, Section
from bert_jax.sweep.experiment import lower_is_better
from bert_jax.sweep.report import figures, formatting
from bert_jax.sweep.report.comparison import Arm, ComparisonTable
from bert_jax.sweep.report.results import RunResult
from bert_jax.tasks import intervals

LEVEL = 0.05
READS = {1: "better", -1: "worse", 0: "undecided"}


def section(table: ComparisonTable, runs: list[RunResult]) -> Section:
    if table.mismatch:
        return Section(table.metric, [f"**Not comparable**: {table.mismatch}."])
    captions = _forest_caption(table), _course_caption(table, runs)
    drawings = figures.pair(table, runs)
    pictures = Figures(list(zip(drawings, captions, strict=True)))
    return Section(table.metric, [pictures, _grid(table), Items(list(_notes(table)))])


def _forest_caption(table: ComparisonTable) -> str:
    return (
        f"Each seed's difference to `{table.baseline}` (dots), their mean (diamond) "
        "and its 95 % interval, blue where it excludes 0; thin: the simultaneous one, "
        "of an arm of which something is expected."
    )


def _course_caption(table: ComparisonTable, runs: list[RunResult]) -> str:
    if figures.has_curves(table, runs):
        return (
            "The mean over finished seeds by step and its 95 % band; grey is "
            f"`{table.baseline}`. The first half may run off the scale."
        )
    return "Every seed's score (dots) and the mean of an arm (bar)."


def _grid(table: ComparisonTable) -> Grid:
    """Table of the arms; all but the baseline have a difference to it."""
    kind = formatting.unit(table.metric)
    many = any(not math.isnan(arm.bootstrap[0]) for arm in table.arms)
    unigram = any(not math.isnan(arm.unigram) for arm in table.arms)
    header = ["arm", "seeds", f"mean, {kind.name}"]
    header += [f"unigram, {kind.name}"] * unigram
    header += ["spread"]
    header += [f"difference, {kind.step}", "95 % interval"]
    header += ["95 % bootstrap"] * many
    header += ["p", "p, Holm", "detectable", "reads"]
    rows = []
    for arm in table.arms:
        row = [arm.name, str(len(arm.scores)), kind.value(arm.mean)]
        row += [kind.value(arm.unigram)] * unigram
        row += [kind.value(arm.spread)]
        if arm.name == table.baseline:
            row += ["baseline"] + [formatting.NONE] * (len(header) - len(row) - 1)
        else:
            row += [kind.difference(arm.difference), kind.interval(*arm.interval)]
            row += [kind.interval(*arm.bootstrap)] * many
            row += [formatting.probability(arm.p), formatting.probability(arm.holm)]
            row += [kind.value(arm.detectable), _reads(table, arm)]
        rows.append(tuple(row))
    names = [arm.name for arm in table.arms]
    sides = "l" + "r" * (len(header) - 2) + "l"
    return Grid(tuple(header), sides, rows, names.index(table.baseline))


def _reads(table: ComparisonTable, arm: Arm) -> str:
    if math.isnan(arm.interval[0]):
        return formatting.NONE
    return ROWS_UNKNOWN if table.rows_unknown else READS[table.gain(arm)]


def _notes(table: ComparisonTable) -> Iterator[str]:
    better = "Lower" if lower_is_better(table.metric) else "Higher"
    yield (
        f"{better} is better. Differences are arm minus `{table.baseline}`, run by run "
        "of one seed; the spread is the standard deviation of a seed."
    )
    yield from _rows(table)
    yield from _missing(table)
    yield from _pairs(table)
    yield from _smallest_p(table)
    yield from _budget(table)


def _rows(table: ComparisonTable) -> Iterator[str]:
    if table.rows:
        yield f"All were measured on the same rows, `{table.rows}`."
    if table.rows_unknown:
        yield (
            "**Rows unknown**: some of these runs, of an older version, do not say what "
            "they were measured on, so no verdict rests on this table."
        )


def _missing(table: ComparisonTable) -> Iterator[str]:
    for arm in table.arms:
        if not arm.scores:
            which = "baseline" if arm.name == table.baseline else "arm"
            yield f"The {which} `{arm.name}` has no finished run with {table.metric}."


def _pairs(table: ComparisonTable) -> Iterator[str]:
    """Notes on the seeds of the pairs."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for arm in table.others:
        pair = tuple(sorted(arm.differences))
        groups.setdefault(pair, []).append(f"`{arm.name}`")
    yield "Seeds of the pairs: " + "; ".join(
        f"{formatting.seeds(pair) or 'none'} of {', '.join(names)}"
        for pair, names in groups.items()
    )
    lonely = [
        name for pair, names in groups.items() if len(pair) == 1 for name in names
    ]
    if lonely:
        yield (
            f"One difference has no spread, and so no interval and no p: "
            f"{', '.join(lonely)}."
        )


def _smallest_p(table: ComparisonTable) -> Iterator[str]:
    """Notes on the smallest possible p, if that is large."""
    tested = [len(arm.differences) for arm in table.others if not math.isnan(arm.p)]
    if not tested:
        return
    pairs, arms = max(tested), len(tested)
    least = intervals.least_p(pairs)
    if pairs > intervals.EXACT:
        yield (
            f"With more than {intervals.EXACT} pairs, p is that of "
            f"{intervals.FLIPS:,} flips drawn at random, not of all."
        )
    if arms * least >= LEVEL:
        holm = formatting.probability(min(1, arms * least))
        corrected = f", and Holm's correction for {arms} arms makes that {holm}"
        yield (
            f"**No p here can be below {LEVEL}**: {pairs} pairs give none below "
            f"2/2^{pairs} = {formatting.probability(least)}"
            f"{corrected * (arms > 1)}. Go by the intervals."
        )


def _budget(table: ComparisonTable) -> Iterator[str]:
    """Notes on the difference that this number of seeds can detect."""
    detectable = [
        arm.detectable for arm in table.others if not math.isnan(arm.detectable)
    ]
    if detectable:
        kind = formatting.unit(table.metric)
        ends = dict.fromkeys([kind.value(min(detectable)), kind.value(max(detectable))])
        yield (
            f"Such a budget could see differences of {' to '.join(ends)} {kind.step}: "
            "those that a t test at 5 % finds with 80 % power, given how much the "
            "pairs differ (column detectable)."
        )
