"""The arithmetic of the benchmarks, their markdown tables, and what they ran on."""

import datetime
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bert_jax.run import files, rundir


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """How many times as fast we are: the median over rounds of their seconds over ours.

    The two of a round were taken side by side, so that a slow moment of the machine is
    in both. Rounds that only one of them has are left out.
    """
    return statistics.median(
        their / our for their, our in zip(theirs, ours, strict=False)
    )


def spread(values: Sequence[float]) -> str:
    """The median, the least and the largest: "102 (98 to 110)", three digits each."""
    median = statistics.median(values)
    return f"{number(median)} ({number(min(values))} to {number(max(values))})"


def number(value: float) -> str:
    """Three digits, and thousands grouped: 0.632, 10.4, 7,210,000."""
    if not value:
        return "0"
    if abs(value) >= 100:
        digits = 3 - len(str(int(abs(value))))
        return f"{round(value, digits):,.0f}"
    return f"{value:.3g}"


def verdict(value: float, reach: float, stretch: float) -> str:
    """How a number that should be large stands to its two targets."""
    if value >= stretch:
        return f"stretch of {number(stretch)} reached"
    if value >= reach:
        return f"reach of {number(reach)} reached, stretch of {number(stretch)} not"
    return f"short of {number(reach)}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that can be pasted; the first column is left-aligned."""
    rule = ["---", *("---:" for _ in header[1:])]
    lines = [" | ".join(row) for row in [header, rule, *rows]]
    return "\n".join(f"| {line} |" for line in lines)


def conditions(hardware: Sequence[str], versions: Sequence[str]) -> str:
    """What a table has to say of its origin, in one line."""
    used = dict.fromkeys(", ".join(versions).split(", "))
    machine = dict.fromkeys(name for name in hardware if name != "cpu")
    commit, dash, dirty = rundir.commit().partition("-")
    date = datetime.date.today().isoformat()
    at = f"commit {commit[:12] or 'unknown'}{dash}{dirty}"
    return f"{', '.join(machine)}; {', '.join(used)}; {at}; {date}"


def write(path: Path | None, value: Any) -> None:
    """JSON, whole or not at all; nowhere if there is no path."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(path, value)


def read(path: Path | None) -> dict[str, Any]:
    """What was written before, nothing if nothing was."""
    return json.loads(path.read_text()) if path and path.exists() else {}
