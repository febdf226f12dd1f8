"""Single bits flipped in each file of a run, a store and an import; then files missing.

    python -m tests.attacks.flips [--flips=10] [--seed=0] [--only=NAME] [--within=PART]

Each flip is followed by train, evaluate, predict and export in this process. It must be
named, with exit code 2 and one line, or be without effect on any output. So must the
absence of the file.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.attacks import world as worlds

# The folder that is damaged -> the run that is then used.
TARGETS = {"done": "done", "part": "part", "imported": "imported", "cache": "part"}


def flip(path: Path, draw: random.Random) -> str:
    """Flips one bit of a file; which."""
    content = bytearray(path.read_bytes())
    if not content:
        return ""
    place, bit = draw.randrange(len(content)), draw.randrange(8)
    content[place] ^= 1 << bit
    path.write_bytes(content)
    return f"byte {place}, bit {bit}"


def attack(
    world: Path, target: str, flips: int, draw: random.Random, within: str
) -> Iterator[tuple[str, str, str]]:
    """Yields (file, what was done to it, what came: "named", "no effect", a fault)."""
    used = TARGETS[target]
    worlds.restore(world)
    before = worlds.outcome(world, used)
    kept = world.with_name("kept")
    names = [path.relative_to(kept) for path in worlds.files(kept / target)]
    names = [name for name in names if within in str(name)]
    begun = time.monotonic()
    for number, name in enumerate(names):
        for again in range(flips + 1):
            worlds.restore(world, target, used)
            if again < flips:
                did = flip(world / name, draw)
            else:
                (world / name).unlink()
                did = "missing"
            if did:
                after = worlds.outcome(world, used)
                fault = worlds.verdict(before, after)
                quiet = "named" if list(after.values())[-1].named else "no effect"
                yield str(name), did, fault or quiet
        left = (time.monotonic() - begun) / (number + 1) * (len(names) - number - 1)
        worlds.say(f"{target}: {number + 1} of {len(names)}, {left / 60:.0f} min left")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--flips", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=TARGETS, action="append")
    parser.add_argument("--within", default="", help="part of the names of files")
    args = parser.parse_args(arguments)
    faults = 0
    with tempfile.TemporaryDirectory() as top:
        world = worlds.make(Path(top))
        for target in args.only or TARGETS:
            draw = random.Random(f"{args.seed} {target}")
            counts = dict.fromkeys(("named", "no effect", "missing"), 0)
            for name, did, came in attack(world, target, args.flips, draw, args.within):
                if came not in counts:
                    faults += 1
                    print(f"{name}, {did}: {came}", flush=True)
                else:
                    counts["missing" if did == "missing" else came] += 1
            print(f"{target}: {counts}", flush=True)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
