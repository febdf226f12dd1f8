"""Every number of a report, worked out again from the run directories alone.

Imports nothing of bert_jax and no statistics package: quantiles and powers by numerical
integration, flips and resamples one by one.

    python tests/sweep/recompute.py experiments/X.py runs/X
"""

import csv
import functools
import itertools
import json
import math
import runpy
import sys
from collections import Counter
from pathlib import Path

import numpy as np

# header -> text, or the numbers of the cell; a table is a list of such rows
Row = dict[str, str | list[float]]

RESAMPLES, TAIL, EXACT = 9_999, 250, 20
ENDED = ("steps", "tokens", "flops", "seconds")


class Sweep:
    """An experiment file, and its runs as they lie in a folder."""

    def __init__(self, path: Path, folder: Path):
        given = runpy.run_path(str(path))
        self.arms = [name for name, _ in given["arms"]()]
        seeds = given["SEEDS"]
        self.seeds = list(range(seeds)) if isinstance(seeds, int) else seeds
        self.baseline, self.expect = given["BASELINE"], given.get("EXPECT", {})
        self.metrics = [given["METRIC"], *given.get("ALSO", [])]
        self.stages = ["pretrain", *given.get("THEN", {})]
        self.runs = {
            (arm, seed, stage): read(folder / arm / f"seed_{seed}" / stage)
            for arm in self.arms
            for seed in self.seeds
            for stage in self.stages
        }

    def locate(self, metric: str) -> tuple[str, str]:
        stage, _, key = metric.partition("/")
        return (stage, key) if stage in self.stages else ("pretrain", metric)

    def done(self, arm: str, stage: str) -> dict[int, dict]:
        """seed -> run.json, with result.json as `result`."""
        found = {seed: self.runs[arm, seed, stage] for seed in self.seeds}
        return {seed: run for seed, run in found.items() if "result" in run}

    def scores(self, arm: str, metric: str) -> dict[int, float]:
        stage, key = self.locate(metric)
        metrics = {s: r["result"]["metrics"] for s, r in self.done(arm, stage).items()}
        return {seed: m[key] for seed, m in metrics.items() if key in m}

    def gaps(self, arm: str, metric: str) -> list[float]:
        ours, theirs = self.scores(arm, metric), self.scores(self.baseline, metric)
        return [
            ours[seed] - theirs[seed]
            for seed in self.seeds
            if seed in ours.keys() & theirs
        ]


def read(workdir: Path) -> dict:
    if not (workdir / "run.json").is_file():
        return {}
    run = json.loads((workdir / "run.json").read_text())
    if (workdir / "result.json").is_file():
        result = json.loads((workdir / "result.json").read_text())
        if result["fingerprint"] != run["fingerprint"]:
            return {}
        run["result"] = result
    return run


# Statistics


@functools.cache
def quantile(freedom: int) -> float:
    """Of Student's t: the density summed by Simpson's rule, the limit by halving."""
    log = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    scale = math.exp(log) / math.sqrt(freedom * math.pi)
    weights = np.array([1, *[4, 2] * 1999, 4, 1])

    def beyond(limit: float) -> float:
        at = np.linspace(0, limit, 4001)
        density = scale * (1 + at**2 / freedom) ** (-(freedom + 1) / 2)
        return 0.5 - float(density @ weights) * limit / 4000 / 3

    return halve(lambda limit: 0.025 - beyond(limit), 0, 20)


def halve(rising, low: float, high: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return low


@functools.cache
def far(freedom: int) -> float:
    """The noncentrality that is found four times in five."""
    limit = quantile(freedom)
    at = np.linspace(1e-9, 8, 4001)
    log = math.log(2) + freedom / 2 * math.log(freedom / 2) - math.lgamma(freedom / 2)
    density = np.exp(log + (freedom - 1) * np.log(at) - freedom * at**2 / 2)
    density /= density.sum()

    def normal(values) -> np.ndarray:
        return np.array([(1 + math.erf(v / math.sqrt(2))) / 2 for v in values])

    def power(away: float) -> float:
        found = normal(away - limit * at) + normal(-away - limit * at)
        return float(density @ found)

    return halve(lambda away: power(away) - 0.8, 0, 50)


def deviation(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))


def interval(gaps: list[float]) -> list[float]:
    half = quantile(len(gaps) - 1) * deviation(gaps) / math.sqrt(len(gaps))
    mean = sum(gaps) / len(gaps)
    return [mean - half, mean + half]


def bootstrap(gaps: list[float]) -> list[float]:
    count, values = len(gaps), np.array(gaps)
    error = values.std()
    times = np.random.default_rng(0).multinomial(
        count, [1 / count] * count, size=RESAMPLES
    )
    ratios = []
    for row in times:
        drawn = np.repeat(values, row)
        away = drawn.mean() - values.mean()
        if np.ptp(drawn):
            ratios.append(away / drawn.std())
        else:
            ratios.append(math.copysign(math.inf, away) if away else 0)
    ratios.sort()
    mean = values.mean()
    return [mean - ratios[-TAIL] * error, mean - ratios[TAIL - 1] * error]


def flips(gaps: list[float]) -> float:
    assert len(gaps) <= EXACT
    signs = np.array(list(itertools.product([-1, 1], repeat=len(gaps))))
    sums = np.abs(signs @ np.array(gaps))
    return float(np.mean(sums > abs(sum(gaps)) - 1e-9))


def holm(ps: dict[str, float]) -> dict[str, float]:
    adjusted, before = {}, 0.0
    for number, name in enumerate(sorted(ps, key=lambda name: ps[name])):
        before = max(before, min(1, ps[name] * (len(ps) - number)))
        adjusted[name] = before
    return adjusted


# Tables


def unit(metric: str) -> tuple[float, str, str]:
    """What runs write times this, of what, and its differences."""
    return (1, "nats", "nats") if metric.endswith("loss") else (100, "%", "points")


def side(gaps: list[float]) -> int:
    """1 or -1 where the interval lies on that side of 0."""
    if len(gaps) < 2:
        return 0
    low, high = interval(gaps)
    return 1 if low > 0 else -1 if high < 0 else 0


def expected(sweep: Sweep) -> list[Row]:
    rows: list[Row] = []
    for metric, directions in sweep.expect.items():
        factor, _, _ = unit(metric)
        for arm, direction in directions.items():
            gaps = sweep.gaps(arm, metric)
            wanted = side(gaps) * (1 if direction == "higher" else -1)
            rows.append(
                {
                    "metric": metric,
                    "arm": arm,
                    "expected": f"{direction} than {sweep.baseline}",
                    "difference": [factor * sum(gaps) / len(gaps)] if gaps else [],
                    "95 % interval": scaled(factor, interval, gaps, 2),
                    "verdict": {1: "confirmed", -1: "contradicted", 0: "undecided"}[
                        wanted
                    ],
                }
            )
    return rows


def scaled(factor: float, of, gaps: list[float], least: int) -> list[float]:
    return [factor * end for end in of(gaps)] if len(gaps) >= least else []


def measured(sweep: Sweep, metric: str) -> list[Row]:
    factor, name, step = unit(metric)
    all_gaps = {arm: sweep.gaps(arm, metric) for arm in sweep.arms}
    del all_gaps[sweep.baseline]
    adjusted = holm({arm: flips(g) for arm, g in all_gaps.items() if len(g) > 1})
    many = any(len(gaps) >= 10 for gaps in all_gaps.values())
    rows = []
    for arm in sweep.arms:
        scores = list(sweep.scores(arm, metric).values())
        row: Row = {"arm": arm, "seeds": [len(scores)]}
        row[f"mean, {name}"] = [factor * sum(scores) / len(scores)] if scores else []
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
        row["reads"] = words[good] if paired else "–"
        rows.append(row)
    return rows


def taken(sweep: Sweep, stage: str) -> list[Row]:
    own = [metric for metric in sweep.metrics if sweep.locate(metric)[0] == stage][:1]
    rows = []
    for arm in sweep.arms:
        done = sweep.done(arm, stage).values()
        row: Row = {"arm": arm, "runs": [len(done)]}
        for header in ("tokens", "FLOPs", "seconds"):
            total = sum(run["result"][header.lower()] for run in done)
            row[header] = [total / len(done), total] if done else []
        hours = sum(r["result"]["seconds"] * len(r["devices"]) / 3600 for r in done)
        row["device hours"] = [hours / len(done), hours] if done else []
        for metric in own:
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
    better = side(gaps) == (-1 if metric.endswith("loss") else 1)
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
    own = [metric for metric in sweep.metrics if sweep.locate(metric)[0] == stage]
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
        for metric in own:
            key = sweep.locate(metric)[1]
            values = [ended["metrics"][key]] if key in ended["metrics"] else []
            row[key] = [unit(metric)[0] * value for value in values]
        rows.append(row)
    return rows


def tables(sweep: Sweep) -> list[list[Row]]:
    """Those of a report, in its order, but for the one of missing runs."""
    found = [expected(sweep)] if sweep.expect else []
    found += [measured(sweep, metric) for metric in sweep.metrics]
    found += [taken(sweep, stage) for stage in sweep.stages]
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
