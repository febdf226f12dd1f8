"""A prepared corpus is found again, opened, and never half there."""

import json
import os
import resource
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from bert_jax.data import build, output, store
from bert_jax.run import files
from bert_jax.run.config import UsageError
from tests.running import ROOT
from tests.storing import config_of, generated, left_in, silent

# Found again.


def test_store_does_not_depend_on_pairs_or_length(folder):
    first = store.prepare(config_of(folder), silent)
    messages = []
    other = config_of(folder, **{"data.pairs": "single", "data.length": 64})
    again = store.prepare(other, messages.append)
    assert again.directory == first.directory
    assert again.fingerprint == first.fingerprint
    assert messages == [f"store: {first.directory}, prepared before"]


@pytest.mark.parametrize(
    "keys",
    [
        {"data.valid_share": 0.5},
        {"tokenizer.path": "", "tokenizer.vocab_size": 50},
        {"tokenizer.lowercase": False},
        {"data.documents": "blank_line"},
    ],
)
def test_what_changes_the_content_changes_the_key(folder, keys):
    assert store.key(config_of(folder, **keys)) != store.key(config_of(folder))


def test_another_text_or_vocabulary_is_another_store(folder):
    config = config_of(folder)
    before = store.key(config)
    with (folder / "vocab.txt").open("a") as file:
        file.write("\nnew")
    after = store.key(config)
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('\n{"text": "More."}')
    assert len({before, after, store.key(config)}) == 3


def test_two_prepares_of_one_text_are_equal(folder):
    first = store.prepare(generated(folder), silent)
    config = config_of(folder, **{"tokenizer.path": "", "tokenizer.vocab_size": 200})
    config.data.cache = f"{folder}/other"
    assert store.prepare(config, silent).manifest == first.manifest


def test_manifest_sha256_match_files(folder):
    prepared = store.prepare(config_of(folder), silent)
    for name, file in prepared.manifest["files"].items():
        assert output.describe((prepared.directory / name).read_bytes()) == file


# Nothing half-made.


def script(folder, body):
    """Prepares `generated` in a process of its own, after `body`."""
    code = f"""
        import sys, time
        sys.path.insert(0, {str(ROOT)!r})
        from bert_jax.data import build, store, workers
        from tests import storing
    """
    code = textwrap.dedent(code) + textwrap.dedent(body)
    code += f"""
config = storing.config_of({str(folder)!r})
config.tokenizer.path, config.tokenizer.vocab_size = "", 200
print(store.prepare(config, lambda line: None).fingerprint, flush=True)
"""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def is_alive(pid):
    try:
        return (
            "Z"
            not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        )
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_killed_prepare_leaves_nothing(folder):
    config = generated(folder)
    killed = script(
        folder,
        """
        build.PER_PROCESS, build.BATCH, build._cores = 1, 1000, lambda: 2
        add, child, pids = build.Output.add, workers._child, []

        def hung(output, *arguments):
            add(output, *arguments)
            print(*pids, flush=True)
            time.sleep(60)

        def known():
            found = child()
            pids.append(found[0].pid)
            return found

        build.Output.add, workers._child = hung, known
        """,
    )
    pids = killed.stdout.readline().split()
    assert len(pids) == 2
    killed.kill()
    killed.communicate()
    assert left_in(config.data.cache) == {".tmp", ".lock"}
    deadline = time.monotonic() + 20
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, pids))
    prepared = store.prepare(config, silent)
    assert left_in(config.data.cache) == {"", ".lock"}
    assert len(prepared.train.documents) + len(prepared.valid.documents) == 302


def test_only_leftovers_of_dead_prepares_are_removed(folder):
    cache = folder / "cache"
    for name in (".dead.tmp", "old.building", ".alive.tmp"):
        (cache / name).mkdir(parents=True)
        (cache / name / "train_tokens.bin").write_bytes(b"1234")
    with files.lock(cache / "alive.lock"):
        store.prepare(config_of(folder), silent)
    assert not (cache / ".dead.tmp").exists()
    assert not (cache / "old.building").exists()
    assert (cache / ".alive.tmp" / "train_tokens.bin").exists()


def test_two_prepares_at_once_make_one_store(folder):
    config = generated(folder)
    both = [script(folder, "") for _ in range(2)]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert {out for out, _ in outputs} == {
        store.prepare(config, silent).fingerprint + "\n"
    }
    assert left_in(config.data.cache) == {"", ".lock"}


@pytest.mark.parametrize("limit", [1, 5_000])
def test_full_disk_is_one_line_without_leftovers(folder, limit):
    config = generated(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(UsageError, match="cannot prepare .*File too large"):
            store.prepare(config, silent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left_in(config.data.cache) == {".lock"}
    assert store.prepare(config, silent).train.tokens.size


def test_bad_input_leaves_nothing(folder):
    (folder / "worse.jsonl").write_text("no json")
    with pytest.raises(UsageError, match="worse.jsonl, line 1: no JSON"):
        store.prepare(config_of(folder), silent)
    assert left_in(folder / "cache") == {".lock"}


def test_text_that_changes_meanwhile_makes_no_store(folder, monkeypatch):
    def change_and_audit(*arguments):
        (folder / "corpus.jsonl").write_text('{"text": "Other."}')
        return original(*arguments)

    original = build.audit
    monkeypatch.setattr(build, "audit", change_and_audit)
    with pytest.raises(UsageError, match="the corpus changed while it was being"):
        store.prepare(config_of(folder), silent)
    assert left_in(folder / "cache") == {".lock"}


def test_documents_without_any_token_are_refused(folder):
    (folder / "corpus.jsonl").write_text(
        "\n".join(json.dumps({"text": "\u200b" * n}) for n in (1, 2, 3))
    )
    with pytest.raises(UsageError, match="hold no token"):
        store.prepare(config_of(folder), silent)


# Opening.


def test_an_opened_store_is_the_prepared_one(folder):
    prepared = store.prepare(config_of(folder), silent)
    opened = store.open(str(prepared.directory))
    assert opened.fingerprint == prepared.fingerprint
    assert opened.tokenizer.fingerprint == prepared.tokenizer.fingerprint
    np.testing.assert_array_equal(opened.train.tokens, prepared.train.tokens)


def rewritten(change):
    """Spoils the manifest, `check` left out as it was before there was one."""

    def spoil(directory):
        manifest = json.loads((directory / "manifest.json").read_text())
        del manifest["check"]
        change(manifest)
        (directory / "manifest.json").write_text(json.dumps(manifest))

    return spoil


def longer(directory):
    with (directory / "train_tokens.bin").open("ab") as file:
        file.write(b"12")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (longer, "train_tokens.bin has .* bytes, not .*: remove .* and run"),
        (
            lambda d: (d / "valid_sentences.bin").unlink(),
            "sentences.bin is missing: rem",
        ),
        (
            lambda d: (d / "manifest.json").write_text("{"),
            "holds no prepared corpus.*rem",
        ),
        (rewritten(lambda m: m.update(format=0)), "store format 0, not 1: remove"),
        (rewritten(lambda m: m.update(files={})), "not list train_tokens.bin: remove"),
        (rewritten(lambda m: m.update(files=[])), "files.*: remove"),
        (
            rewritten(lambda m: m.update(tokenizer="0")),
            "not the one that the tokens wer",
        ),
    ],
)
def test_a_damaged_store_names_the_file(folder, spoil, message):
    config = config_of(folder)
    spoil(store.prepare(config, silent).directory)
    with pytest.raises(UsageError, match=message):
        store.prepare(config, silent)


def test_any_flipped_bit_is_named(folder):
    """FAULTS 38: the sha256 in the manifest were never read."""
    directory = store.prepare(config_of(folder), silent).directory
    rng = np.random.default_rng(0)
    for path in sorted(directory.iterdir()):
        content = path.read_bytes()
        for at in rng.integers(0, len(content), 3):
            flipped = bytearray(content)
            flipped[at] ^= 1 << rng.integers(8)
            path.write_bytes(flipped)
            with pytest.raises(UsageError, match=rf"{path.name}.*: remove"):
                store.open(directory)
        path.write_bytes(content)
    assert store.open(directory).train.tokens.size


def test_a_store_is_verified_once_a_process(folder, monkeypatch):
    """FAULTS 38: what is read once and has not changed since is not hashed again."""
    directory = store.prepare(config_of(folder), silent).directory
    monkeypatch.setattr(files, "SETTLED", 0)
    store.open(directory)
    monkeypatch.setattr(files, "file_digest", lambda path: "0" * 64)
    store.open(directory)
    os.utime(directory / "train_tokens.bin", (1, 1))
    with pytest.raises(UsageError, match="train_tokens.bin is damaged"):
        store.open(directory)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train_sentences", lambda a: a[::-1], "sentences do not span"),
        ("train_sentences", lambda a: np.r_[a[0], a[2], a[1], a[3:]], "not in order"),
        (
            "train_documents",
            lambda a: np.r_[a[:-1], a[-1] + 1],
            "documents do not span",
        ),
        ("valid_documents", lambda a: np.r_[0, 1, a[-1]], "starts inside a sentence"),
        ("train_counts", lambda a: a + 1, "do not add up"),
        ("train_counts", lambda a: a[1:], "are not those of 14 tokens"),
        ("train_counts", lambda a: a[:0], "no whole numbers"),
    ],
)
def test_a_store_that_contradicts_itself_is_refused(folder, name, change, message):
    """FAULTS 38: also where the manifest fits, as no honest writer leaves it."""
    directory = store.prepare(config_of(folder), silent).directory
    path = directory / f"{name}.bin"
    path.write_bytes(change(np.fromfile(path, np.int64)).astype(np.int64).tobytes())
    listed = output.describe(path.read_bytes())
    rewritten(lambda m: m["files"].update({path.name: listed}))(directory)
    with pytest.raises(UsageError, match=f"{message}.*: remove"):
        store.open(directory)


def test_a_manifest_of_before_is_read(folder):
    """Without `check` and without audit.json in its list, as 9e18c17 wrote it."""
    prepared = store.prepare(config_of(folder), silent)
    rewritten(lambda m: m["files"].pop("audit.json"))(prepared.directory)
    assert store.open(prepared.directory).fingerprint == prepared.fingerprint


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no prepared corpus"):
        store.open(tmp_path)
