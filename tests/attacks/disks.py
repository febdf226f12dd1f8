"""Full and read-only disks, and lost standard output, in every verb.

    sudo python -m tests.attacks.disks [--levels=20] [--verbs=train,export]

A small file system in memory is mounted for each attempt, and so it needs root on Linux.
A verb that meets a full disk must end with one line and code 2, or with 0 where it could
do without; then, with room, the same command must end with 0 and the same results as a
run that nothing disturbed. All verbs run in this process, lest each compiles anew.
"""

import argparse
import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import launch
from bert_jax.run import config as configs
from tests.attacks.remains import difference, left_by

ROOM = 256  # megabytes of a disk that is not full
STORY = "The king lost a stone. My aunt found it. A dog took the long road home. "
NOTHING = "nothing"  # matches no file: the times that are planned are of this moment
LOST = ("broken", "full", "closed")  # standard output


class Verb(NamedTuple):
    """arguments, given the folder of the disk; leaves: the pattern of what must come out
    the same, "" for what it prints. reads: whether it only prints. fails: with what it
    may end on a full disk besides 2: a sweep with 1, of whose runs some did not end."""

    arguments: Callable[[Path], list[str]]
    leaves: str
    reads: bool
    fails: tuple[int, ...] = ()


class Ended(NamedTuple):
    code: int | None  # None for a traceback
    printed: str
    said: str


def on(*words: str) -> Callable[[Path], list[str]]:
    """A command, in which {} is the folder of the disk."""
    return lambda disk: [word.replace("{}", str(disk)) for word in words]


VERBS = {
    "prepare": Verb(
        on("prepare", "--config={}/config.json", "--config.data.cache={}/cache"),
        "cache/*",
        False,
    ),
    "train": Verb(
        on("train", "--config={}/config.json", "--workdir={}/new"), "new", False
    ),
    "evaluate": Verb(on("evaluate", "--workdir={}/run"), "", True),
    "predict": Verb(on("predict", "--workdir={}/run", "the king [MASK] it"), "", True),
    "generate": Verb(
        on("generate", "--workdir={}/causal", "--max_tokens=3", "the king"), "", True
    ),
    "export": Verb(on("export", "--workdir={}/run", "--to={}/out"), "out", False),
    "import": Verb(
        on("import", "--from={}/exported", "--workdir={}/imported"), "imported", False
    ),
    "sweep": Verb(
        on("sweep", "{}/question.py", "--root={}/root", "--on=local"),
        "root",
        False,
        (1,),
    ),
    "report": Verb(on("report", "{}/done.py", "--root={}/done"), "done.*", False),
    "inspect": Verb(
        on("inspect", "score", "--workdir={}/run", "the king lost a stone"),
        "run/inspect/score/*.npz",
        True,
    ),
    "plan": Verb(
        on("plan", "--config={}/config.json", "--topology=cpu:1"), NOTHING, True
    ),
}


def results(verb: Verb, disk: Path, printed: str) -> dict[str, str]:
    """What the verb leaves or prints, without the name of the disk."""
    found = left_by(disk, verb.leaves) if verb.leaves else {"standard output": printed}
    return {name: repr(value).replace(str(disk), "") for name, value in found.items()}


def run(arguments: list[str], stdout: str = "") -> Ended:
    """A verb in this process, its standard output in a file, or lost."""
    before, said = os.dup(1), io.StringIO()
    with tempfile.TemporaryFile("w+") as kept:
        streams = sys.stdout, sys.stderr
        sys.stdout.flush()
        sys.stdout, sys.stderr = _stdout(stdout, kept.fileno()), said
        try:
            code = launch.main(arguments)
        except SystemExit as leave:
            code = int(leave.code or 0)
        except BaseException:  # noqa: BLE001 (this is what is looked for)
            traceback.print_exc(file=said)
            code = None
        finally:
            with contextlib.suppress(OSError):
                if sys.stdout is not None:
                    sys.stdout.flush()
            sys.stdout, sys.stderr = streams
            os.dup2(before, 1)
            os.close(before)
        kept.seek(0)
        return Ended(code, kept.read(), said.getvalue())


def _stdout(lost: str, kept: int) -> io.TextIOBase | None:
    if lost == "closed":
        os.close(1)
        return None
    if lost == "broken":
        reading, writing = os.pipe()
        os.close(reading)
        os.dup2(writing, 1)
        os.close(writing)
    else:
        full = os.open("/dev/full", os.O_WRONLY) if lost == "full" else os.dup(kept)
        os.dup2(full, 1)
        os.close(full)
    return open(1, "w", closefd=False)


@contextlib.contextmanager
def disk(source: Path) -> Iterator[Path]:
    """A file system of its own with a copy of what is in a folder."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}m", "tmpfs", folder]
        subprocess.run(mount, check=True)
        try:
            shutil.copytree(source, folder, dirs_exist_ok=True)
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path, room: int) -> Path:
    """Leaves so many bytes free."""
    filler, free = folder / ".filler", shutil.disk_usage(folder).free
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(free - room, 1))
    return filler


def used(folder: Path) -> int:
    return shutil.disk_usage(folder).used


def attack(name: str, source: Path, levels: int) -> list[str]:
    """What went wrong with a verb."""
    verb, wrong = VERBS[name], []
    with disk(source) as folder:
        before = used(folder)
        straight = run(verb.arguments(folder))
        need = used(folder) - before
        wanted = results(verb, folder, straight.printed)
    if straight.code != 0:
        return [
            f"{name}: ends with {straight.code} undisturbed: {straight.said[-800:]}"
        ]

    def check(how: str, ended: Ended, codes: tuple[int, ...]) -> None:
        last = ended.said.strip().splitlines()[-1:]
        if ended.code not in codes or "Traceback" in ended.said:
            wrong.append(f"{name}, {how}: {ended.code}: {ended.said[-600:]}")
        elif ended.code == 2 and not last[0].startswith(f"launch.py {name}: "):
            wrong.append(f"{name}, {how}: no line at the end: {ended.said[-300:]}")

    def again(how: str, folder: Path, ended: Ended, done: bool) -> None:
        if not done:  # what is done, export and import would refuse to do again
            ended = run(verb.arguments(folder))
        if ended.code != 0:
            wrong.append(f"{name}, after {how}: {ended.code}: {ended.said[-600:]}")
        elif other := difference(wanted, results(verb, folder, ended.printed)):
            wrong.append(f"{name}, after {how}: {other}")

    for level in range(levels if need > 0 else 1):
        with disk(source) as folder:
            how, room = f"full at {level} of {levels}", need * level // levels
            filler = fill(folder, room)
            ended = run(verb.arguments(folder))
            check(how, ended, (0, 2, *verb.fails))
            wrong += [f"{name}, {how}: {found}" for found in tracebacks(folder)]
            filler.unlink()
            again(how, folder, ended, ended.code == 0)
    with disk(source) as folder:
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        ended = run(verb.arguments(folder))
        check("read-only", ended, (0, 2))
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        again("read-only", folder, ended, ended.code == 0)
    for lost in LOST:
        with disk(source) as folder:
            codes = (0,) if lost == "broken" or not verb.reads else (2,)
            ended = run(verb.arguments(folder), lost)
            check(f"stdout {lost}", ended, codes)
            again(f"stdout {lost}", folder, ended, not verb.reads)
    return wrong


def tracebacks(folder: Path) -> list[str]:
    """What the logs of other processes hold of tracebacks."""
    logs = {path: path.read_text() for path in sorted(folder.rglob("*.log"))}
    return [f"{p.name}: {log[-600:]}" for p, log in logs.items() if "Traceback" in log]


QUESTION = '''"""Does the seed matter?"""

BASE = "{base}"
METRIC = "valid/mlm_loss"
BASELINE = "one"
SEEDS = 2


def arms():
    yield "one", {{}}
    yield "two", {{"optim.learning_rate": 0.002}}
'''


def sources(folder: Path) -> None:
    """What the verbs read: a corpus, its store, configs, runs, a directory, a sweep."""
    (folder / "story").mkdir(parents=True)
    for number in range(24):
        text = STORY * (number % 5 + 2) + f"Number {number} is the last. "
        (folder / "story" / f"{number:02d}.txt").write_text(text)
    given = {
        "data.corpus": "files",
        "data.files": str(folder / "story"),
        "data.documents": "file",
        "data.valid_share": "0.2",
        "model.norm": "post",
        "data.cache": str(folder.parent / "cache"),
        "parallel.mesh": "1x1x1",
    }
    small = configs.smoke(configs.load("configs/demo.py", given))
    path = folder / "config.json"
    path.write_text(configs.canonical(small))
    causal = {
        "objective.kind": "clm",
        "model.attention": "causal",
        "data.pairs": "full",
    }
    changed = [f"--config.{key}={value}" for key, value in causal.items()]
    for name in ("question", "done"):
        (folder / f"{name}.py").write_text(QUESTION.format(base=path))
    for arguments in (
        ["train", f"--config={path}", f"--workdir={folder}/run"],
        ["train", f"--config={path}", f"--workdir={folder}/causal", *changed],
        ["export", f"--workdir={folder}/run", f"--to={folder}/exported"],
        ["sweep", f"{folder}/done.py", f"--root={folder}/done"],
    ):
        ended = run(arguments)
        assert ended.code == 0, ended


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--levels", type=int, default=20)
    parser.add_argument("--verbs", default=",".join(VERBS))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        sources(source)
        wrong = []
        for name in args.verbs.split(","):
            since = time.perf_counter()
            found = attack(name, source, args.levels)
            wrong += found
            seconds = time.perf_counter() - since
            print(f"{name}: {len(found)} wrong, {seconds:.0f} s", flush=True)
            print("\n".join(found), flush=True)
    print(f"{len(wrong)} wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
