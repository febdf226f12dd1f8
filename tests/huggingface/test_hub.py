"""Names on the Hub and folders of its cache."""

import re
from pathlib import Path

import pytest

from bert_jax.huggingface import files, hub
from bert_jax.run.config import UsageError

COMMIT = "86b5e0934494bd15c9632b12f734a8a67f723594"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of this user."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


def cached(folder: Path, *commits: str, main: str = "") -> Path:
    """A model as huggingface_hub lays it: links into blobs/."""
    model = folder / "models--google-bert--bert-base-uncased"
    (model / "blobs").mkdir(parents=True)
    (model / "blobs" / "123").write_text('{"model_type": "bert"}')
    for commit in commits:
        (model / "snapshots" / commit).mkdir(parents=True)
        (model / "snapshots" / commit / "config.json").symlink_to("../../blobs/123")
    if main:
        (model / "refs").mkdir()
        (model / "refs" / "main").write_text(main)
    return model


def refuses(source, reason: str):
    with pytest.raises(UsageError, match=re.escape(reason)) as refused:
        hub.resolve(str(source))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name, folder",
    [
        ("google-bert/bert-base-uncased", "bert-base-uncased"),
        ("bert-base-uncased", "bert-base-uncased"),
        ("answerdotai/ModernBERT-base", "ModernBERT-base"),
        ("facebook/data2vec-text-base_v1.0", "data2vec-text-base_v1.0"),
    ],
)
def test_a_name_is_answered_with_its_command(name, folder):
    refuses(name, f"hf download {name} --local-dir models/{folder} (then")


@pytest.mark.parametrize(
    "source",
    ["a/b/c", "../bert", "/bert", "-x/y", "a/b;ls", "a b", "a/..", "é/b", "a" * 97, ""],
)
def test_what_can_be_no_name_stays_a_path(source):
    assert hub.resolve(source) == Path(source)


def test_a_directory_goes_before_a_name(tmp_path):
    (tmp_path / "org" / "model").mkdir(parents=True)
    assert hub.resolve("org/model") == Path("org/model")
    (tmp_path / "org" / "file").touch()
    assert hub.resolve("org/file") == Path("org/file")


@pytest.mark.parametrize("source", ["google-bert/bert-base-uncased", ""])
def test_a_cached_model_is_that_of_its_main_branch(cache, source):
    model = cached(cache, COMMIT, "0" * 40, main=f"{COMMIT}\n")
    found = hub.resolve(source or str(model))
    assert found == model / "snapshots" / COMMIT
    assert files.read_json(found, "config.json") == {"model_type": "bert"}


def test_the_only_snapshot_needs_no_branch(tmp_path):
    model = cached(tmp_path, COMMIT)
    assert hub.resolve(str(model)) == model / "snapshots" / COMMIT
    snapshot = model / "snapshots" / COMMIT
    assert hub.resolve(str(snapshot)) == snapshot


def test_caches_that_name_no_snapshot_are_refused(tmp_path):
    refuses(
        cached(tmp_path / "a", COMMIT, "1" * 40), "has 2 snapshots and no refs/main"
    )
    refuses(cached(tmp_path / "b", COMMIT, main="2" * 40), "lacks the snapshot 2222222")
    refuses(cached(tmp_path / "c", COMMIT, main="../../x"), "is no commit: '../../x'")
    model = cached(tmp_path / "d", COMMIT, main=COMMIT)
    (model / "refs" / "main").unlink()
    (tmp_path / "outside").write_text(COMMIT)
    (model / "refs" / "main").symlink_to(tmp_path / "outside")
    refuses(model, "leads out of")
    (model / "refs" / "main").unlink()
    (model / "snapshots" / COMMIT / "config.json").unlink()
    (model / "snapshots" / COMMIT).rmdir()
    (model / "snapshots" / COMMIT).symlink_to(tmp_path)
    refuses(model, "leads out of")
