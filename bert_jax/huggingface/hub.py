"""Names on the Hugging Face Hub and folders of its cache, resolved without a network."""

import os
import re
from pathlib import Path

from bert_jax.huggingface.files import inside
from bert_jax.run import files
from bert_jax.run.config import UsageError

PART = r"[A-Za-z0-9]\w*(?:[.-]\w+)*"
NAME = re.compile(rf"{PART}(?:/{PART})?", re.ASCII)
LONGEST_NAME = 96  # characters, as the Hub has it
COMMIT = re.compile(r"[0-9a-f]{7,64}")


def resolve(source: str) -> Path:
    """The directory of a model by --from: a directory, a folder of a hub cache, or a
    name that is in the cache of this user.

    Raises UsageError for any other name, with the command that fetches it.
    """
    path = Path(source)
    if path.is_dir():
        return _snapshot(path) if _is_cached(path) else path
    if path.exists() or not NAME.fullmatch(source) or len(source) > LONGEST_NAME:
        return path  # whose reader says what is wrong with it
    cached = _cache() / f"models--{source.replace('/', '--')}"
    if _is_cached(cached):
        return _snapshot(cached)
    target = f"models/{source.rpartition('/')[2]}"
    raise UsageError(
        f"--from={source} is no directory; if it is a name on the Hugging Face Hub, fetch "
        f"it with: hf download {source} --local-dir {target} (then --from={target})"
    )


def _cache() -> Path:
    """The folder in which huggingface_hub keeps what it fetched."""
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    cache = os.environ.get("HF_HUB_CACHE") or f"{home}/hub"
    return Path(cache).expanduser()


def _is_cached(path: Path) -> bool:
    return path.name.startswith("models--") and (path / "snapshots").is_dir()


def _snapshot(model: Path) -> Path:
    """The snapshot of a cached model: that of its branch main, or else the only one."""
    snapshots = sorted(path.name for path in (model / "snapshots").iterdir())
    if (model / "refs" / "main").is_file():
        reference = inside(model, "refs/main")
        commit = files.read_text(reference, LONGEST_NAME).strip()
        if not COMMIT.fullmatch(commit):
            raise UsageError(f"{reference} is no commit: {commit[:40]!r}")
    elif len(snapshots) == 1:
        commit = snapshots[0]
    else:
        raise UsageError(
            f"{model} has {len(snapshots)} snapshots and no refs/main: name one of them, "
            f"as --from={model / 'snapshots' / 'COMMIT'}"
        )
    if commit not in snapshots:
        raise UsageError(
            f"{model} lacks the snapshot {commit} of its refs/main: fetch it again"
        )
    return inside(model, f"snapshots/{commit}")
