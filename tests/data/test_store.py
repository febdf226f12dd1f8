import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from bert_jax import tokenizer as tokenizers
from bert_jax.config import UsageError
from bert_jax.data import build, output, store, workers
from configs import base

WORDS = ["the", "cat", "dog", "sat", "ran", ".", "!", "mat"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##s"]
THE, CAT, DOG, SAT, RAN, STOP, BANG, MAT, S = range(5, 14)


@pytest.fixture
def folder(tmp_path):
    """Six documents, of which one is a copy and one has no token."""
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY))
    texts = [
        "The cat sat. The dog ran!",
        "Cats sat.",
        "The dog sat\non the mat.",
        "Cats sat.",
        "\u200b\u200c",
        "The mat.",
    ]
    lines = [json.dumps({"text": text}) for text in texts]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    return tmp_path


def config_of(folder, **keys):
    config = base.get_config()
    config.data.corpus = "files"
    config.data.files = f"{folder}/*.jsonl"
    config.data.cache = f"{folder}/cache"
    config.tokenizer.path = f"{folder}/vocab.txt"
    config.update_from_flattened_dict(keys)
    return config


def generated(folder, documents=300, name="corpus.jsonl"):
    """A corpus of random words in which no document is like another."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), 4)) for _ in range(300)]
    lines = []
    for _ in range(documents):
        sizes = rng.integers(1, 9, 12)
        sentences = [" ".join(rng.choice(words, n)).capitalize() + "." for n in sizes]
        lines.append(json.dumps({"text": " ".join(sentences)}))
    (folder / name).write_text("\n".join(lines))
    return config_of(folder, **{"tokenizer.path": "", "tokenizer.vocab_size": 200})


def silent(line):
    pass


def documents_of(split):
    """Documents as lists of sentences as lists of ids."""
    sentences = {
        start: split.tokens[start:end].tolist()
        for start, end in zip(split.sentences, split.sentences[1:])
    }
    return [
        [ids for start, ids in sentences.items() if first <= start < last]
        for first, last in zip(split.documents, split.documents[1:])
    ]


def left_in(cache):
    return {path.suffix for path in Path(cache).iterdir()}


# The arrays.


def test_tokens_come_with_the_offsets_of_sentences_and_documents(folder):
    prepared = store.prepare(config_of(folder), silent)
    expected = [
        [[THE, CAT, SAT, STOP], [THE, DOG, RAN, BANG]],
        [[CAT, S, SAT, STOP]],
        [[THE, DOG, SAT], [1, THE, MAT, STOP]],
        [[THE, MAT, STOP]],
    ]
    found = documents_of(prepared.train) + documents_of(prepared.valid)
    assert sorted(found) == sorted(expected)
    for split in (prepared.train, prepared.valid):
        assert split.tokens.dtype == np.uint16
        assert split.sentences[0] == split.documents[0] == 0
        assert split.sentences[-1] == split.documents[-1] == len(split.tokens)
        assert set(split.documents) <= set(split.sentences)
        np.testing.assert_array_equal(
            split.counts, np.bincount(split.tokens, minlength=len(VOCABULARY))
        )


def test_the_audit_counts_what_was_read_said_and_saved(folder):
    said = []
    prepared = store.prepare(config_of(folder), said.append)
    audit = json.loads((prepared.directory / "audit.json").read_text())
    assert audit == prepared.manifest["audit"]
    assert audit["duplicates"] == audit["empty"] == 1
    assert audit["overlap"] == 0
    assert audit["vocabulary"] == len(VOCABULARY)
    total = {
        name: audit["train"][name] + audit["valid"][name]
        for name in ("documents", "sentences", "tokens")
    }
    assert total == {"documents": 4, "sentences": 6, "tokens": 22}
    unknown = [
        audit[name]["unknown"] * audit[name]["tokens"] for name in build.NAMES.values()
    ]
    assert sum(unknown) == pytest.approx(1)
    text = "\n".join(said)
    assert "corpus: corpus.jsonl, an object a document" in text
    assert "exact duplicates, dropped            1\n" in text


def test_held_out_are_the_different_documents_of_smallest_hash():
    hashes = np.array([50, 10, 30, 10, 20, 40], np.uint64)
    d, t, v = build.DROPPED, build.TRAIN, build.VALID
    assert build.assign(hashes, 0.05).tolist() == [t, v, t, d, v, t]
    assert build.assign(hashes, 0.6).tolist() == [t, v, v, d, v, t]
    assert build.assign(hashes, 0.999).tolist() == [t, v, v, d, v, v]


@pytest.mark.parametrize("hashes", [[], [1], [1, 2], [1, 2, 2, 1]])
def test_too_few_documents_are_refused_with_the_mend(hashes):
    with pytest.raises(UsageError, match="too few to hold two out.*documents=auto"):
        build.assign(np.array(hashes, np.uint64), 0.05)


def test_the_vocabulary_is_of_the_training_documents_alone(folder):
    documents = ["a", "b", "c", "d", "e", "f"]
    (folder / "corpus.jsonl").write_text(
        "\n".join(json.dumps({"text": 4 * letter}) for letter in documents)
    )
    config = config_of(folder, **{"tokenizer.path": "", "tokenizer.vocab_size": 60})
    prepared = store.prepare(config, silent)
    assert prepared.manifest["audit"]["train"]["unknown"] == 0
    assert prepared.manifest["audit"]["valid"]["unknown"] == 1


def test_a_large_vocabulary_takes_four_bytes():
    assert workers.dtype(2**16) is np.uint16
    assert workers.dtype(2**16 + 1) is np.uint32


# Processes.


def test_processes_give_what_one_gives(folder, monkeypatch):
    monkeypatch.setattr(build, "BATCH", 1000)
    alone = store.prepare(generated(folder), silent)
    config = config_of(
        folder,
        **{
            "tokenizer.path": "",
            "tokenizer.vocab_size": 200,
            "data.cache": f"{folder}/other",
        },
    )
    monkeypatch.setattr(build, "PER_PROCESS", 1)
    monkeypatch.setattr(build, "_cores", lambda: 2)
    together = store.prepare(config, silent)
    assert together.fingerprint == alone.fingerprint
    assert together.manifest == alone.manifest


def test_a_long_document_in_several_parts_is_one_document(folder, monkeypatch):
    whole = store.prepare(config_of(folder), silent)
    monkeypatch.setattr(build, "BATCH", 10)
    parts = store.prepare(config_of(folder, **{"data.cache": f"{folder}/o"}), silent)
    assert parts.fingerprint == whole.fingerprint


def test_a_child_loads_no_jax_and_its_death_is_reported(folder):
    tokenizer = tokenizers.load(folder, True)
    loaded = (
        "import sys; from bert_jax.data import workers; print('jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, check=True
    )
    assert done.stdout == b"False\n"

    def batches():
        yield ["The cat."]
        os.kill(child(), signal.SIGKILL)
        yield from [["The dog."]] * 10

    def child():
        return int(
            Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()[0]
        )

    with (
        pytest.raises(RuntimeError, match="a tokenising process ended early"),
        workers.pool(tokenizer, 2) as tokenise,
    ):
        list(tokenise(batches()))


# Found again.


def test_a_store_is_found_again_whatever_the_pairs_and_the_length(folder):
    first = store.prepare(config_of(folder), silent)
    said = []
    other = config_of(folder, **{"data.pairs": "single", "data.length": 64})
    again = store.prepare(other, said.append)
    assert again.directory == first.directory
    assert again.fingerprint == first.fingerprint
    assert said == [f"store: {first.directory}, prepared before"]


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
    os.utime(folder / "corpus.jsonl", (1, 1))
    assert len({before, after, store.key(config)}) == 3


def test_two_prepares_of_one_text_are_equal(folder):
    first = store.prepare(generated(folder), silent)
    config = config_of(folder, **{"tokenizer.path": "", "tokenizer.vocab_size": 200})
    config.data.cache = f"{folder}/other"
    assert store.prepare(config, silent).manifest == first.manifest


# Nothing half-made.


def script(folder, body):
    """Prepares `generated` in a process of its own, after `body`."""
    code = f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from bert_jax.data import build, store, workers
        import test_store
    """
    code = textwrap.dedent(code) + textwrap.dedent(body)
    code += f"""
config = test_store.config_of({str(folder)!r})
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
def test_a_killed_prepare_leaves_no_store_and_no_process(folder):
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
    assert left_in(config.data.cache) == {".building", ".lock"}
    deadline = time.monotonic() + 20
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, pids))
    prepared = store.prepare(config, silent)
    assert left_in(config.data.cache) == {"", ".lock"}
    assert len(prepared.train.documents) + len(prepared.valid.documents) == 302


def test_leftovers_of_other_stores_are_removed_but_not_those_of_the_living(folder):
    cache = folder / "cache"
    for name in ("dead.building", "alive.building"):
        (cache / name).mkdir(parents=True)
        (cache / name / "train_tokens.bin").write_bytes(b"1234")
    with store._locked(cache / "alive.lock", silent):
        store.prepare(config_of(folder), silent)
    assert not (cache / "dead.building").exists()
    assert (cache / "alive.building" / "train_tokens.bin").exists()


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
def test_a_full_disk_is_one_clear_line_and_leaves_nothing(folder, limit):
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
        os.utime(folder / "corpus.jsonl", (1, 1))
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


def spoil_tokens(directory):
    with (directory / "train_tokens.bin").open("ab") as file:
        file.write(b"12")


def spoil_tokenizer(directory):
    path = directory / "tokenizer.json"
    path.write_text(path.read_text().replace('"cat"', '"cow"'))


def spoil_format(directory):
    path = directory / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 0'))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_tokens, "train_tokens.bin has .* bytes, not .*: remove .* and run"),
        (
            lambda d: (d / "valid_sentences.bin").unlink(),
            "sentences.bin is missing: rem",
        ),
        (spoil_tokenizer, "tokenizer.json is not the one that the tokens were made"),
        (spoil_format, "store format 0, not 1: remove"),
        (lambda d: (d / "manifest.json").write_text("{"), "holds no prepared corpus"),
    ],
)
def test_a_damaged_store_names_the_file(folder, spoil, message):
    config = config_of(folder)
    spoil(store.prepare(config, silent).directory)
    with pytest.raises(UsageError, match=message):
        store.prepare(config, silent)


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no prepared corpus"):
        store.open(tmp_path)


# Progress.


def test_progress_says_the_share_and_the_time_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(build.time, "monotonic", lambda: now[0])
    said = []
    progress = build.Progress(said.append, "tokenising", 1000)
    for _ in range(3):
        now[0] += 4
        progress.add(200)
    unknown = build.Progress(said.append, "reading", 0)
    now[0] += 10
    unknown.add(3_000_000)
    assert said == ["tokenising: 40%, 12 s left", "reading: 3 million characters"]


def test_the_sha256_of_the_manifest_are_those_of_the_files(folder):
    prepared = store.prepare(config_of(folder), silent)
    for name, file in prepared.manifest["files"].items():
        assert output.describe((prepared.directory / name).read_bytes()) == file
