"""The scores of fine-tuned seeds beside those of Hugging Face PyTorch, listed and drawn.

RUNS holds what `launch.py train --seeds` wrote, a folder a task; TORCH is the file of
`benchmarks.finetune_torch`. No seed is left out, on either side.

  python -m experiments.records.finetune_scores RUNS TORCH --figure=scores.png
"""

import argparse
import json
from pathlib import Path
from statistics import mean, stdev

from matplotlib.figure import Figure

from bert_jax.render import curve
from bert_jax.run import rundir

METRICS = {
    "sst2": ("accuracy",),
    "wnut17": ("f1",),
    "conll2000": ("f1",),
    "xquad": ("exact", "f1"),
}
Scores = dict[tuple[str, str], dict[int, float]]  # of (task, metric): by seed, in %


def ours(runs: Path) -> Scores:
    scores: Scores = {}
    for task, names in METRICS.items():
        for run in sorted((runs / task).glob("seed_*/result.json")):
            metrics = rundir.read(run.parent, rundir.RESULT)["metrics"]
            seed = rundir.read(run.parent, rundir.RUN)["seed"]
            for name in names:
                values = scores.setdefault((task, name), {})
                values[seed] = 100 * metrics[f"test/{name}"]
    return scores


def theirs(path: Path) -> Scores:
    scores: Scores = {}
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        for name in METRICS[row["task"]]:
            values = scores.setdefault((row["task"], name), {})
            values[row["seed"]] = 100 * row[f"test_{name}"]
    return scores


def told(values: list[float]) -> str:
    spread = f" ({stdev(values):.2f})" if len(values) > 1 else ""
    return f"{mean(values):.2f}{spread}"


def table(sides: dict[str, Scores]) -> str:
    """Markdown: each seed, and the mean with the deviation of one seed."""
    lines = ["| task | side | seeds | mean (deviation) |", "|---|---|---|---|"]
    for task, name in next(iter(sides.values())):
        for side, scores in sides.items():
            values = scores.get((task, name), {})
            if values:
                each = ", ".join(f"{values[seed]:.2f}" for seed in sorted(values))
                every = told(list(values.values()))
                lines.append(f"| {task} {name} | {side} | {each} | {every} |")
    return "\n".join(lines)


def draw(sides: dict[str, Scores], path: Path) -> None:
    """A panel a task, its own axis: every seed a point, the mean a line."""
    names = list(next(iter(sides.values())))
    figure = Figure(figsize=(2 * len(names), 2.6), layout="constrained", dpi=150)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    colours = dict(zip(sides, (curve.INK, curve.BASELINE), strict=True))
    for panel, key in zip(panels, names, strict=True):
        for place, (side, scores) in enumerate(sides.items()):
            values = list(scores.get(key, {}).values())
            panel.plot(
                [place] * len(values), values, "o", color=colours[side], alpha=0.6
            )
            if values:
                panel.hlines(mean(values), place - 0.3, place + 0.3, colours[side])
        panel.set_xticks(range(len(sides)), list(sides))
        panel.set_xlim(-0.6, len(sides) - 0.4)
        panel.margins(y=0.4)
        panel.set_title(" ".join(key), fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("test score, %")
    figure.savefig(path)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("runs", type=Path)
    parser.add_argument("torch", type=Path)
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    sides = {"bert_jax": ours(given.runs), "torch": theirs(given.torch)}
    print(table(sides))
    if given.figure:
        draw(sides, given.figure)


if __name__ == "__main__":
    main()
