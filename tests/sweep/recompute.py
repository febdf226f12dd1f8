"""Every number of a report, worked out again from the run directories alone.

Imports nothing of bert_jax and no statistics package.

    python -m tests.sweep.recompute experiments/X.py runs/X
"""

import csv
import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from tests.sweep.integrals import (
    bootstrap,
    deviation,
    far,
    flips,
    holm,
    interval,
)
from tests.sweep.reread import Sweep

# header -> text, or the numbers of the cell; a table is a list of such rows
Row = dict[str, str | list[float]]

ENDED = ("steps", "tokens", "flops", "seconds")


def unit(metric: str) -> tuple[float, str, str]:
    """What runs write times this, of what, and its differences."""
    return (1, "nats", "nats") if metric.endswith("loss") else (100, "%", "points")


def side(gaps: list[float], together: int = 1) -> int:
    """1 or -1 where the interval lies on that side of 0."""
    if len(gaps) < 2:
        return 0
    low, high = interval(gaps, together)
    return 1 if low > 0 else -1 if high < 0 else 0


def expected(sweep: Sweep) -> list[Row]:
    rows: list[Row] = []
    claims_seen: list[tuple[str, str]] = []
    for metric, directions in sweep.expect.items():
        for arm in directions:
            claim = metric, other(metric)
            if (metric, arm) not in claims_seen:
                word = verdict(sweep, [each for each in claim if each], arm)
                rows += [expectation(sweep, each, arm, word) for each in claim if each]
                claims_seen += [(each, arm) for each in claim]
    return rows


def other(metric: str) -> str:
    """The rows `pair` of `single` and the other way."""
    start, _, name = metric.rpartition("/")
    partner = {"valid/single": "valid/pair", "valid/pair": "valid/single"}.get(start)
    return f"{partner}/{name}" if partner else ""


def expectation(sweep: Sweep, metric: str, arm: str, word: str) -> Row:
    factor, _, _ = unit(metric)
    gaps = sweep.gaps(arm, metric) if sweep.rows(metric) != "differ" else []
    ends = interval(gaps, together(sweep)) if len(gaps) > 1 else []
    return {
        "metric": metric,
        "arm": arm,
        "expected": f"{sweep.expect[metric][arm]} than {sweep.baseline}",
        "difference": [factor * sum(gaps) / len(gaps)] if gaps else [],
        "95 % interval": scaled(factor, interval, gaps, 2),
        "simultaneous 95 %": [factor * end for end in ends],
        "verdict": word,
    }


def together(sweep: Sweep) -> int:
    return sum(len(directions) for directions in sweep.expect.values())


def verdict(sweep: Sweep, metrics: list[str], arm: str) -> str:
    rows = {sweep.rows(metric) for metric in metrics}
    if "differ" in rows or "unknown" in rows:
        return "not comparable" if "differ" in rows else "rows unknown"
    gaps = [sweep.gaps(arm, metric) for metric in metrics]
    if any(len(each) < 2 for each in gaps):
        return "undecided"
    if sweep.claimed and not learnt(sweep):
        return "too short to say"
    wanted = 1 if sweep.expect[metrics[0]][arm] == "higher" else -1
    found = {wanted * side(each, together(sweep)) for each in gaps}
    return {"{1}": "confirmed", "{-1}": "contradicted"}.get(str(found), "undecided")


def learnt(sweep: Sweep) -> bool:
    """Whether the baseline is 0.6 nats below the unigram loss and, where the pair loss
    is the question, surely tells more than 55 % of the pairs apart."""
    done = [
        run["result"]["metrics"]
        for run in sweep.done(sweep.baseline, "pretrain").values()
    ]
    rows = (
        "valid/single" if all("valid/single/mlm_loss" in m for m in done) else "valid"
    )
    below = [m[f"{rows}/unigram_loss"] - m[f"{rows}/mlm_loss"] for m in done]
    if sum(below) / len(below) < 0.6:
        return False
    if not any("objective.pair" in changes for changes in sweep.changes.values()):
        return True
    unshared = "valid/pair_accuracy"
    key = unshared if all(unshared in m for m in done) else "valid/nsp/pair_accuracy"
    return interval([m[key] for m in done])[0] > 0.55


def scaled(factor: float, of, gaps: list[float], least: int) -> list[float]:
    return [factor * end for end in of(gaps)] if len(gaps) >= least else []


def measured(sweep: Sweep, metric: str) -> list[Row]:
    factor, name, step = unit(metric)
    rows_unknown = sweep.rows(metric) == "unknown"
    baselines = {arm: unigrams(sweep, arm, metric) for arm in sweep.arms}
    all_gaps = {arm: sweep.gaps(arm, metric) for arm in sweep.arms}
    del all_gaps[sweep.baseline]
    adjusted = holm({arm: flips(g) for arm, g in all_gaps.items() if len(g) > 1})
    many = any(len(gaps) >= 10 for gaps in all_gaps.values())
    rows = []
    for arm in sweep.arms:
        scores = list(sweep.scores(arm, metric).values())
        row: Row = {"arm": arm, "seeds": [len(scores)]}
        row[f"mean, {name}"] = [factor * sum(scores) / len(scores)] if scores else []
        if any(baselines.values()):
            losses = baselines[arm]
            mean = [sum(losses) / len(losses)] if losses else []
            row[f"unigram, {name}"] = mean
        row["spread"] = [factor * deviation(scores)] if len(scores) > 1 else []
        gaps = all_gaps.get(arm, [])
        paired = len(gaps) > 1
        row[f"difference, {step}"] = [factor * sum(gaps) / len(gaps)] if gaps else []
        row["95 % interval"] = scaled(factor, interval, gaps, 2)
        if many:
            row["95 % bootstrap"] = scaled(factor, bootstrap, gaps, 10)
        row["p"] = [flips(gaps)] if paired else []
        row["p, Holm"] = [adjusted[arm]] if paired else []
        wide = far(len(gaps) - 1) * deviation(gaps) if paired else 0
        row["detectable"] = [factor * wide / math.sqrt(len(gaps))] if paired else []
        good = side(gaps) * (-1 if metric.endswith("loss") else 1)
        words = {1: "better", -1: "worse", 0: "undecided"}
        word = "rows unknown" if rows_unknown else words[good]
        row["reads"] = word if paired else "–"
        rows.append(row)
    return rows


def unigrams(sweep: Sweep, arm: str, metric: str) -> list[float]:
    """Of each run, if the metric is the loss of a language model."""
    stage, key = sweep.locate(metric)
    prefix, _, name = key.rpartition("/")
    if name not in ("mlm_loss", "lm_loss"):
        return []
    done = [run["result"]["metrics"] for run in sweep.done(arm, stage).values()]
    return [m[f"{prefix}/unigram_loss"] for m in done if key in m]


def phases(sweep: Sweep, stage: str) -> list[list[Row]]:
    """The table of where the seconds went, if a run tells it."""
    spent = {
        arm: [
            run["result"]["goodput"]
            for run in sweep.done(arm, stage).values()
            if run["result"].get("goodput")
        ]
        for arm in sweep.arms
    }
    names = dict.fromkeys(name for some in spent.values() for s in some for name in s)
    rows: list[Row] = []
    for arm, some in spent.items():
        row: Row = {"arm": arm, "runs": [len(some)]}
        total = sum(sum(seconds.values()) for seconds in some)
        for name in names:
            phase = sum(seconds.get(name, 0) for seconds in some)
            row[name] = [phase / len(some), 100 * phase / total] if some else []
        rows.append(row)
    return [rows] if names else []


def taken(sweep: Sweep, stage: str) -> list[Row]:
    metrics = [m for m in sweep.metrics if sweep.locate(m)[0] == stage]
    metrics = [m for m in metrics if sweep.rows(m) != "differ"][:1]
    rows = []
    for arm in sweep.arms:
        done = sweep.done(arm, stage).values()
        row: Row = {"arm": arm, "runs": [len(done)]}
        for header in ("tokens", "FLOPs", "seconds"):
            total = sum(run["result"][header.lower()] for run in done)
            row[header] = [total / len(done), total] if done else []
        hours = sum(r["result"]["seconds"] * len(r["devices"]) / 3600 for r in done)
        row["device hours"] = [hours / len(done), hours] if done else []
        for metric in metrics:
            row |= bought(sweep, arm, metric)
        rows.append(row)
    return rows


def bought(sweep: Sweep, arm: str, metric: str) -> Row:
    factor, _, step = unit(metric)
    gaps = [] if arm == sweep.baseline else sweep.gaps(arm, metric)
    cell = [factor * sum(gaps) / len(gaps)] if gaps else []
    if len(gaps) > 1:
        low, high = interval(gaps)
        cell.append(factor * (high - low) / 2)
    price = []
    known = sweep.rows(metric) == "same"
    better = known and side(gaps) == (-1 if metric.endswith("loss") else 1)
    more = flops(sweep, arm, metric) - flops(sweep, sweep.baseline, metric)
    if better and more > 0:
        price = [more * 0.01 / abs(sum(gaps) / len(gaps))]
    grain = "0.01 nats" if step == "nats" else "point"
    return {f"{metric}, {step}": cell, f"FLOPs per {grain}": price}


def flops(sweep: Sweep, arm: str, metric: str) -> float:
    total = 0.0
    for stage in {"pretrain", sweep.locate(metric)[0]}:
        done = sweep.done(arm, stage).values()
        total += np.mean([r["result"]["flops"] for r in done]) if done else math.nan
    return total


def traced(sweep: Sweep, stage: str) -> list[Row]:
    metrics = [metric for metric in sweep.metrics if sweep.locate(metric)[0] == stage]
    rows = []
    for (arm, seed, its), run in sweep.runs.items():
        if its != stage or not run:
            continue
        ended = run.get("result", {"metrics": {}})
        row: Row = {"arm": arm, "seed": [seed], "run id": run["fingerprint"]}
        row |= {
            "parent": run["parent"] or "–",
            "commit": run["versions"]["commit"][:12],
        }
        row |= {name: run[name] for name in ("data", "tokenizer")}
        row["steps"] = [ended["steps"]] if "steps" in ended else []
        for metric in metrics:
            key = sweep.locate(metric)[1]
            values = [ended["metrics"][key]] if key in ended["metrics"] else []
            row[key] = [unit(metric)[0] * value for value in values]
        rows.append(row)
    return rows


def tables(sweep: Sweep) -> list[list[Row]]:
    """Those of a report, in its order, but for the one of missing runs."""
    found = [expected(sweep)] if sweep.expect else []
    found += [measured(sweep, m) for m in sweep.metrics if sweep.rows(m) != "differ"]
    for stage in sweep.stages:
        found += [taken(sweep, stage), *phases(sweep, stage)]
    return found + [traced(sweep, stage) for stage in sweep.stages]


def lines(sweep: Sweep) -> list[dict[str, object]]:
    """Those of the CSV, but for the state of a run."""
    found = []
    for (arm, seed, stage), run in sweep.runs.items():
        ended = run.get("result", {"metrics": {}})
        line: dict[str, object] = {"arm": arm, "seed": seed, "stage": stage}
        line["run id"] = run.get("fingerprint", "")
        for name in ("parent", "data", "tokenizer"):
            line[name] = run.get(name, "")
        line["commit"] = run["versions"]["commit"] if run else ""
        line |= {name: ended.get(name, "") for name in ENDED}
        kinds = Counter(run.get("devices", ()))
        line["devices"] = " + ".join(f"{n} x {kind}" for kind, n in kinds.items())
        hours = (
            len(run["devices"]) * ended["seconds"] / 3600 if "steps" in ended else ""
        )
        line["device_hours"] = hours
        for metric in sweep.metrics:
            its, key = sweep.locate(metric)
            line[metric] = ended["metrics"].get(key, "") if its == stage else ""
        found.append(line)
    return found


def main(path: Path, folder: Path) -> None:
    sweep = Sweep(path, folder)
    for rows in tables(sweep):
        for row in rows:
            print(*row.values(), sep="\t")
        print()
    writer = csv.DictWriter(sys.stdout, lines(sweep)[0])
    writer.writerows(lines(sweep))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
