"""The topics told by pretrained runs beside those from scratch, listed and drawn.

RUNS holds a folder a number of labelled articles, and in it `pretrained` and `scratch`,
as `launch.py train --seeds` wrote them.

  python -m experiments.records.topics_scores RUNS --figure=topics.png
"""

import argparse
import json
from pathlib import Path

from bert_jax.train import seeds
from experiments.records.finetune_scores import Scores, draw, table


def read(runs: Path, start: str) -> Scores:
    scores: Scores = {}
    for folder in sorted(runs.iterdir(), key=lambda path: int(path.name)):
        summary = json.loads((folder / start / seeds.SUMMARY).read_text("utf-8"))
        values = {int(seed): 100 * x for seed, x in summary["scores"].items()}
        scores[f"{folder.name} articles", "accuracy"] = values
    return scores


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    sides = {start: read(given.runs, start) for start in ("pretrained", "scratch")}
    print(table(sides))
    if given.figure:
        draw(sides, given.figure)


if __name__ == "__main__":
    main()
