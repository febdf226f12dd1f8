"""A small world to be damaged: a corpus, its store, a run that is done, one that
stopped, and an import; and what the verbs say of it."""

import contextlib
import functools
import hashlib
import io
import os
import random
import shutil
import sys
import traceback
from pathlib import Path
from typing import NamedTuple

import jax

import launch
from bert_jax.run import history, record, rundir

EXEMPT = {rundir.LEASE, rundir.CURVE, rundir.TENSORBOARD}
SMALL = {
    "model.norm": "post",
    "model.num_layers": 1,
    "model.model_dim": 16,
    "model.num_heads": 2,
    "model.mlp_dim": 32,
    "model.max_length": 32,
    "model.vocab_size": 0,
    "tokenizer.vocab_size": 128,
    "data.corpus": "files",
    "data.documents": "file",
    "data.length": 32,
    "data.valid_share": 0.2,
    "optim.warmup_steps": 2,
    "train.steps": 6,
    "train.batch": 8,
    "train.log_every": 1,
    "train.save_every": 2,
    "train.keep_last": 3,
    "eval.every": 3,
    "eval.batch": 8,
    "eval.max_examples": 16,
    "parallel.mesh": "1x1x1",
}
WORDS = ("the", "king", "saw", "a", "red", "stone", "my", "aunt", "found", "bread")
TEXT = "the king [MASK] a stone"


class Said(NamedTuple):
    """What came of one verb: its exit code, what it printed, and what it left."""

    code: int | str
    out: str
    error: str

    @property
    def named(self) -> bool:
        """Exit 2, and a line that says why; a config may have several faults."""
        lines = self.error.strip().splitlines()
        return self.code == 2 and any(line.startswith("launch.py ") for line in lines)


def make(top: Path) -> Path:
    """Builds the world in a folder of `top`, which `run` plays in."""
    jax.config.update("jax_compilation_cache_dir", str(top / "programs"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    world, draw = top / "world", random.Random(0)
    (world / "corpus").mkdir(parents=True)
    for number in range(24):
        sentences = [" ".join(draw.choices(WORDS, k=9)) for _ in range(12)]
        text = "".join(f"{sentence.capitalize()}. " for sentence in sentences)
        (world / "corpus" / f"{number:02}.txt").write_text(text + "\n")
    small = SMALL | {"data.files": world / "corpus", "data.cache": world / "cache"}
    flags = [f"--config.{key}={value}" for key, value in small.items()]
    config = f"--config={launch.__file__.removesuffix('launch.py')}configs/demo.py"
    done = f"--workdir={world / 'done'}"
    for command in (
        ["train", config, done, *flags],
        ["export", done, f"--to={world / 'theirs'}"],
        ["import", f"--from={world / 'theirs'}", f"--workdir={world / 'imported'}"],
    ):
        said = run(command)
        assert said.code == 0, said.error
    shutil.copytree(world / "done", world / "part")
    (world / "part" / rundir.RESULT).unlink()
    shutil.rmtree(world / "part" / rundir.CHECKPOINTS / "6")
    shutil.copytree(world, top / "kept")
    return world


def restore(world: Path, *names: str) -> None:
    """The world as it was made; or these folders of it, and nothing in `out`."""
    kept = world.with_name("kept")
    for name in ("out", *(names or os.listdir(kept))):
        if (kept / name).is_file():
            shutil.copy2(kept / name, world / name)
        else:
            shutil.rmtree(world / name, ignore_errors=True)
        if (kept / name).is_dir():
            shutil.copytree(kept / name, world / name)


def files(folder: Path) -> list[Path]:
    """All that a person could find damaged, pictures and the like left out."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        path
        for path in found
        if not EXEMPT & set(path.parts)
        and path.suffix != ".lock"
        and not any(part.startswith("compiled-") for part in path.parts)
    ]


def run(command: list[str]) -> Said:
    """One verb in this process, as in one of its own."""
    for module in (history, record):  # what is told or checked once a process
        for value in vars(module).values():
            if isinstance(value, functools._lru_cache_wrapper):
                value.cache_clear()
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            code: int | str = launch.main(command)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:  # noqa: BLE001, a panic of Rust is none of Exception
            code = "traceback"
            error.write(traceback.format_exc())
    return Said(code, out.getvalue(), error.getvalue())


def digest(folder: Path) -> str:
    """Of an exported folder."""
    found = hashlib.sha256()
    for path in files(folder):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def verbs(world: Path, name: str) -> dict[str, list[str]]:
    """The commands that are tried on a run."""
    workdir = f"--workdir={world / name}"
    theirs = f"--from={world / 'theirs'}"
    every = {
        "train": ["train", workdir],
        "evaluate": ["evaluate", workdir],
        "predict": ["predict", "--json", workdir, TEXT],
        "export": ["export", workdir, f"--to={world / 'out'}"],
    }
    if name == "theirs":
        return {"import": ["import", theirs, f"--workdir={world / 'out'}"]}
    if name == "imported":
        return {verb: every[verb] for verb in ("predict", "export")}
    return every


def tried(world: Path, name: str, verb: str) -> Said:
    """What one verb says and leaves of a run."""
    return ended(world, name, verb, verbs(world, name)[verb])


def ended(world: Path, name: str, verb: str, command: list[str]) -> Said:
    """What a command of a verb says and leaves of a run."""
    said = run(command)
    return said._replace(out=said.out + _left(world, name, verb, said))


def outcome(world: Path, name: str) -> dict[str, Said]:
    """What each verb says and leaves, the first that names a fault being the last."""
    found: dict[str, Said] = {}
    for verb in verbs(world, name):
        found[verb] = said = tried(world, name, verb)
        if said.code != 0:
            break
    return found


def _left(world: Path, name: str, verb: str, said: Said) -> str:
    if said.code != 0:
        return ""
    if verb == "export":
        return digest(world / "out")
    if verb == "import":
        return record.read(world / "out").run["fingerprint"]
    if verb == "train":
        result = record.read(world / name).result
        metrics = result["metrics"] if result else {}
        plain = {k: v for k, v in metrics.items() if not k.startswith("time/")}
        return str(sorted(plain.items()))
    return ""


def verdict(before: dict[str, Said], after: dict[str, Said]) -> str:
    """ "" if each verb named the damage or did as before, else which did not."""
    for verb, said in after.items():
        if said.named:
            return ""
        if said.code == "traceback":
            return f"{verb}: {said.error.strip().splitlines()[-1]}"
        if (said.code, said.out) != (before[verb].code, before[verb].out):
            return f"{verb}: code {said.code}, another result, and not a word"
    return ""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
