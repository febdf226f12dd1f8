"""A word of two senses in the folder of CoarseWSD-20's form."""

import json
from collections.abc import Sequence
from pathlib import Path

MAP = {"0": "stone_stone_(rock)", "1": "stone_food"}
TRAIN = [
    ("4\tthe king saw a stone", "0"),
    ("3\ta farmer took stone", "0"),
    ("4\tmy aunt wanted some stone", "1"),
    ("2\tthe old stone lost a road", "0"),
]
TEST = [("3\tmy aunt took stone", "1"), ("4\tthe king saw a stone", "0")]


def write(
    folder: Path,
    train: Sequence[tuple[str, str]] = TRAIN,
    test: Sequence[tuple[str, str]] = TEST,
) -> Path:
    """Write the folder `stone` with the given lines of data and gold."""
    stone = folder / "stone"
    stone.mkdir(parents=True)
    (stone / "classes_map.txt").write_text(json.dumps(MAP))
    for name, rows in {"train": train, "test": test}.items():
        for what, column in {"data": 0, "gold": 1}.items():
            text = "".join(f"{row[column]}\n" for row in rows)
            (stone / f"{name}.{what}.txt").write_text(text)
    return stone


def glove(folder: Path, words: str, name: str = "glove.txt") -> Path:
    """Write static vectors of the given words: the n-th has its number and 1."""
    path = folder / name
    rows = [f"{word} {number} 1" for number, word in enumerate(words.split())]
    path.write_text("\n".join(rows) + "\n")
    return path
