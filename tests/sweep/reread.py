"""An experiment file and its runs, read again by code that shares nothing with bert_jax."""

import json
import runpy
from pathlib import Path


class Sweep:
    """An experiment file, and its runs as they lie in a folder."""

    def __init__(self, path: Path, folder: Path):
        given = runpy.run_path(str(path))
        self.arms = [name for name, _ in given["arms"]()]
        seeds = given["SEEDS"]
        self.seeds = list(range(seeds)) if isinstance(seeds, int) else seeds
        self.changes = dict(given["arms"]())
        self.baseline, self.expect = given["BASELINE"], given.get("EXPECT", {})
        self.claimed = bool(given.get("CLAIM"))
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

    def rows(self, metric: str) -> str:
        """Whether the metric of all runs is of the same rows: same | differ | unknown."""
        stage, key = self.locate(metric)
        marks = {
            run["result"].get("measured", {}).get(key.rpartition("/")[0], "")
            for arm in self.arms
            for run in self.done(arm, stage).values()
            if key in run["result"]["metrics"]
        }
        if len(marks - {""}) > 1 or (
            stage != "pretrain" and self.trained_unlike(stage)
        ):
            return "differ"
        return "unknown" if "" in marks else "same"

    def trained_unlike(self, stage: str) -> bool:
        """Whether runs of one seed and task had other data or steps."""
        return any(
            len({(run["data"], run["result"]["steps"]) for run in of_seed}) > 1
            for seed in self.seeds
            if (
                of_seed := [
                    d[seed] for a in self.arms if seed in (d := self.done(a, stage))
                ]
            )
        )

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
    if workdir.parent.name != f"seed_{run['seed']}":
        return {}
    if (workdir / "result.json").is_file():
        run["result"] = json.loads((workdir / "result.json").read_text())
    return run
