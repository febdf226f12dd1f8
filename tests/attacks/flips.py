"""Single bits flipped in each file of a run, a store and an import.

    python -m tests.attacks.flips [--flips=10] [--seed=0] [--only=NAME]

Each flip is followed by train, evaluate, predict and export in this process. It must be
named, with exit code 2 and one line, or be without effect on any output.
"""

import argparse
import random
import sys
import tempfile
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


def attack(world: Path, target: str, flips: int, draw: random.Random):
    """Yields (file, which bit, what the flip did: "named", "no effect" or a fault)."""
    used = TARGETS[target]
    worlds.restore(world)
    before = worlds.outcome(world, used)
    kept = world.with_name("kept")
    for name in [path.relative_to(kept) for path in worlds.files(kept / target)]:
        for _ in range(flips):
            worlds.restore(world)
            which = flip(world / name, draw)
            if not which:
                break
            after = worlds.outcome(world, used)
            fault = worlds.verdict(before, after)
            quiet = "named" if list(after.values())[-1].named else "no effect"
            yield str(name), which, fault or quiet


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--flips", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=TARGETS, action="append")
    args = parser.parse_args(arguments)
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as top:
        world = worlds.make(Path(top))
        for target in args.only or TARGETS:
            draw = random.Random(f"{args.seed} {target}")
            for name, which, did in attack(world, target, args.flips, draw):
                kind = did if did in ("named", "no effect") else "FAULT"
                counts[kind] = counts.get(kind, 0) + 1
                if kind == "FAULT":
                    print(f"{name}, {which}: {did}", flush=True)
            print(f"{target}: {counts}", flush=True)
    return int("FAULT" in counts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
