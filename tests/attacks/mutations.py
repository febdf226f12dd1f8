"""JSON files that are read, each damaged in hundreds of ways.

    python -m tests.attacks.mutations [--count=300] [--seed=0] [--only=NAME]

Types are swapped, keys dropped, values nested, numbers made huge, and files emptied, cut
and filled with bytes. Each mutation is followed by the verb that reads the file. It must
end with exit code 2 and one line, or do as before; of a directory of theirs a value that
can be meant is taken as meant. A file with a check is also mutated
as one who knows the law would, with the check of what it now holds.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bert_jax.run.files import CHECK, checked
from tests.attacks import world as worlds

# A file -> the run that it belongs to and the verb that reads it.
TARGETS = {
    "done/config.json": ("done", "predict"),
    "done/run.json": ("done", "predict"),
    "done/result.json": ("done", "predict"),
    "done/metrics.jsonl": ("done", "predict"),
    "done/tokenizer.json": ("done", "predict"),
    "done/checkpoints/6/manifest.json": ("done", "predict"),
    "imported/config.json": ("imported", "export"),
    "imported/run.json": ("imported", "export"),
    "part/metrics.jsonl": ("part", "train"),
    "cache/manifest.json": ("done", "evaluate"),
    "theirs/config.json": ("theirs", "import"),
    "theirs/tokenizer.json": ("theirs", "import"),
    "theirs/tokenizer_config.json": ("theirs", "import"),
}
STRANGE: tuple[Any, ...] = (None, True, -1, 1.5, 10**30, "", "²", "\0\n", [], {}, [[]])
STRANGE += ({"a": {"b": []}}, "x" * 5000, 1e308, -(10**400), "NaN")
BYTES = (b"", b"\0" * 64, b"{", b"[" * 100_000, b"\xff\xfe\x00", b"null", b"NaN", b"3")
BYTES += (b'"text"', b"[1, 2]", b'{"a": 1e999}', b'{"a": NaN}', b"1" * 5000)


def mutate(content: bytes, draw: random.Random) -> bytes:
    """The content, damaged in one way."""
    if draw.random() < 0.2:
        cut = draw.randrange(len(content) + 1)
        return draw.choice(
            (*BYTES, content[:cut], content[:cut] + b"\0" + content[cut:])
        )
    lines = content.split(b"\n") if content.count(b"\n{") else [content]
    place = draw.randrange(len(lines))
    if not lines[place].strip():
        return content + draw.choice(BYTES)
    value = json.loads(lines[place])
    mutated = _swapped(value, draw)
    if isinstance(mutated, dict) and CHECK in mutated and draw.random() < 0.5:
        del mutated[CHECK]
        mutated = checked(mutated)
    lines[place] = json.dumps(mutated).encode()
    return b"\n".join(lines)


def _swapped(value: Any, draw: random.Random) -> Any:
    """The value with one of its parts dropped, or become something strange."""
    inner = value if isinstance(value, dict | list) and value else None
    if inner is None or draw.random() < 0.1:
        return draw.choice(STRANGE)
    keys = list(inner) if isinstance(inner, dict) else range(len(inner))
    key = draw.choice(keys)
    if isinstance(inner, dict) and draw.random() < 0.2:
        return {k: v for k, v in inner.items() if k != key}
    copy: Any = dict(inner) if isinstance(inner, dict) else list(inner)
    copy[key] = _swapped(inner[key], draw)
    return copy


def attack(
    world: Path, target: str, count: int, draw: random.Random
) -> Iterator[tuple[int, str]]:
    """Yields (number, what the mutation did: "named", "no effect" or a fault)."""
    run, verb = TARGETS[target]
    path = next(world.glob(target.replace("cache/", "cache/*/")))
    whole = path.read_bytes()
    before = worlds.tried(world, run, verb)
    for number in range(count):
        worlds.restore(world)
        path.write_bytes(mutate(whole, draw))
        after = worlds.tried(world, run, verb)
        quiet = "named" if after.named else "no effect"
        if run == "theirs" and after.code == 0:
            yield number, "honoured"  # nobody can know what a value of theirs was
        else:
            yield number, worlds.verdict({verb: before}, {verb: after}) or quiet
    worlds.restore(world)
    path.write_bytes(whole)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=TARGETS, action="append")
    args = parser.parse_args(arguments)
    faults = 0
    with tempfile.TemporaryDirectory() as top:
        world = worlds.make(Path(top))
        for target in args.only or TARGETS:
            counts = {"named": 0, "no effect": 0, "honoured": 0}
            draw = random.Random(f"{args.seed} {target}")
            for number, did in attack(world, target, args.count, draw):
                if did in counts:
                    counts[did] += 1
                else:
                    faults += 1
                    print(f"{target}, mutation {number}: {did}", flush=True)
            print(f"{target}: {counts}", flush=True)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
