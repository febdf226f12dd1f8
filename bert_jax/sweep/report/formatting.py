"""Formatting of a report's numbers: units, signs and prefixes."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from bert_jax.sweep.experiment import lower_is_better

NONE = "–"  # where there is no number
PREFIXES = ("", " k", " M", " G", " T", " P", " E", " Z", " Y")


class Unit(NamedTuple):
    """Unit of a metric, shown as `factor` times the stored value.

    step: unit of a difference. grain: a hundredth of the stored unit, in words.
    """

    name: str
    step: str
    grain: str
    factor: float
    decimals: int

    def value(self, number: float) -> str:
        return _signed(f"{self.factor * number:.{self.decimals}f}", number)

    def difference(self, number: float) -> str:
        return _signed(f"{self.factor * number:+.{self.decimals}f}", number)

    def interval(self, low: float, high: float) -> str:
        if math.isnan(low):
            return NONE
        return f"{self.difference(low)} to {self.difference(high)}"


NATS = Unit("nats", "nats", "0.01 nats", 1, 4)
PERCENT = Unit("%", "points", "point", 100, 2)


def unit(metric: str) -> Unit:
    return NATS if lower_is_better(metric) else PERCENT


def short(number: float) -> str:
    """Format with three digits and a prefix: 1.16 M."""
    prefix = 0
    while number >= 999.5 and prefix + 1 < len(PREFIXES):
        number, prefix = number / 1000, prefix + 1
    return _signed(f"{number:.3g}{PREFIXES[prefix]}", number)


def plain(number: float) -> str:
    """Format with three digits, or with all before the decimal point."""
    return _signed(f"{number:,.0f}" if number >= 99.95 else f"{number:.3g}", number)


def probability(p: float) -> str:
    return _signed(f"{p:.3g}", p)


def seeds(numbers: Iterable[int]) -> str:
    """Format seeds as ranges: 0, 1, 2, 5 -> 0–2, 5."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(
        f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run))
        for run in runs
    )


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _signed(text: str, number: float) -> str:
    """Replace - by the minus sign, inf by ∞ and nan by a dash."""
    if math.isnan(number):
        return NONE
    return text.replace("-", "−").replace("inf", "∞")
