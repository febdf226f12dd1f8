"""JSON files that are read, each damaged in hundreds of ways.

    python -m tests.attacks.mutations [--count=300] [--seed=0] [--only=NAME]

Types are swapped, keys dropped, values nested, numbers made huge, and files emptied, cut
and filled with bytes. Each mutation is followed by the verb that reads the file. It must
end with exit code 2 and one line, or do as before; in what a person wrote a value that
can be meant is taken as meant. A file with a check is also mutated
as one who knows the law would, with the check of what it now holds.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from bert_jax.run.files import CHECK, checked
from tests.attacks import world as worlds

ROOT = Path(__file__).parents[2]
SHARD = "model-00001-of-00001.safetensors"
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
    "shards/special_tokens_map.json": ("shards", "import"),
    "shards/model.safetensors.index.json": ("shards", "import"),
    "written/corpus.jsonl": ("written", "prepare"),
    "written/labels.jsonl": ("written", "label"),
    "seeds/seeds.json": ("seeds", "seeds"),
    "sweeps/lone/plan.json": ("sweeps", "status"),
}
# What a person wrote, of which nobody can know what was meant.
MEANT = ("theirs", "shards", "written")
SPECIAL = ("[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]")
EXPERIMENT = '''"""Is one run like itself?"""

BASE = "{config}"
METRIC = "valid/mlm_loss"
BASELINE = "only"
SEEDS = 1


def arms():
    yield "only", {{}}
'''
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


def extend(world: Path) -> None:
    """More that holds JSON: shards of theirs, texts and labels, seeds and a sweep."""
    kept = world.with_name("kept")
    shards = shutil.copytree(kept / "theirs", kept / "shards")
    (shards / "model.safetensors").rename(shards / SHARD)
    names = load_file(shards / SHARD)
    weights = {"weight_map": dict.fromkeys(names, SHARD)}
    (shards / "model.safetensors.index.json").write_text(json.dumps(weights))
    special = {f"{token[1:-1].lower()}_token": token for token in SPECIAL}
    (shards / "special_tokens_map.json").write_text(json.dumps(special))
    (kept / "written").mkdir()
    texts = [path.read_text() for path in sorted((kept / "corpus").glob("*.txt"))]
    lines = [json.dumps({"text": text}) for text in texts]
    (kept / "written" / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    lines = [
        json.dumps({"text": text[:99], "label": text[:4].split()[0]}) for text in texts
    ]
    (kept / "written" / "labels.jsonl").write_text("\n".join(lines) + "\n")
    (kept / "lone.py").write_text(EXPERIMENT.format(config=kept / "done/config.json"))
    worlds.restore(world)
    for command in (
        ["sweep", str(world / "lone.py"), f"--root={kept / 'sweeps'}"],
        [*_tuned(world), f"--workdir={kept / 'seeds'}", "--seeds=2"],
    ):
        said = worlds.run(command)
        assert said.code == 0, said.error
    worlds.restore(world)


def _tuned(world: Path) -> list[str]:
    labels = world / "written" / "labels.jsonl"
    changes = {
        "init_from": world / "done",
        "task.format": "jsonl",
        "task.train": labels,
        "task.valid": labels,
        "data.length": 32,
        "train.epochs": 0,
        "train.steps": 2,
        "optim.warmup_steps": 1,
        "parallel.mesh": "1x1x1",
    }
    config = f"--config={ROOT / 'configs' / 'finetune' / 'own.py'}"
    return ["train", config, *(f"--config.{k}={v}" for k, v in changes.items())]


def command(world: Path, run: str, verb: str) -> list[str]:
    """The command by which a verb reads what belongs to a run."""
    corpus, seeds = world / "written" / "corpus.jsonl", world / "seeds"
    config = [f"--config={world / 'done' / 'config.json'}"]
    match verb:
        case "import":
            return ["import", f"--from={world / run}", f"--workdir={world / 'out'}"]
        case "prepare":
            cache = f"--config.data.cache={world / 'out'}"
            return ["prepare", *config, f"--config.data.files={corpus}", cache]
        case "label":
            return ["prepare", *_tuned(world)[1:]]
        case "seeds":
            more = [f"--workdir={seeds}", "--seeds=2", f"--against={seeds}"]
            return [*_tuned(world), *more]
        case "status":
            root = f"--root={world / 'sweeps'}"
            return ["sweep", str(world / "lone.py"), root, "--status"]
    return worlds.verbs(world, run)[verb]


def attack(
    world: Path, target: str, count: int, draw: random.Random
) -> Iterator[tuple[int, str]]:
    """Yields (number, what the mutation did: "named", "no effect" or a fault)."""
    run, verb = TARGETS[target]
    path = next(world.glob(target.replace("cache/", "cache/*/")))
    whole, spoken = path.read_bytes(), command(world, run, verb)
    worlds.restore(world)
    before = worlds.ended(world, run, verb, spoken)
    assert before.code == 0, before.error
    for number in range(count):
        worlds.restore(world, target.split("/")[0], run)
        path.write_bytes(mutate(whole, draw))
        after = worlds.ended(world, run, verb, spoken)
        quiet = "named" if after.named else "no effect"
        if run in MEANT and after.code == 0:
            yield number, "meant"
        else:
            yield number, worlds.verdict({verb: before}, {verb: after}) or quiet
    worlds.restore(world)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=TARGETS, action="append")
    args = parser.parse_args(arguments)
    faults = 0
    with tempfile.TemporaryDirectory() as top:
        world = worlds.make(Path(top))
        extend(world)
        for target in args.only or TARGETS:
            counts = {"named": 0, "no effect": 0, "meant": 0}
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
