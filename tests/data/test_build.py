"""Documents become arrays, whatever they are read in."""

import json

import numpy as np
import pytest

from bert_jax.data import build, corpus, store
from bert_jax.run.config import UsageError
from configs import base
from tests.storing import VOCABULARY, config_of, generated, silent

TRAINED = {"tokenizer.path": "", "tokenizer.vocab_size": 200}
THE, CAT, DOG, SAT, RAN, STOP, BANG, MAT, S = range(5, 14)


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


def test_tokens_have_sentence_and_document_offsets(folder):
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


def test_audit_counts_are_reported_and_saved(folder):
    messages = []
    prepared = store.prepare(config_of(folder), messages.append)
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
    text = "\n".join(messages)
    assert "corpus: corpus.jsonl, an object a document" in text
    assert "exact duplicates, dropped            1\n" in text


def test_held_out_documents_have_smallest_hash():
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


def test_parts_of_long_document_are_one_document(folder, monkeypatch):
    undivided = store.prepare(config_of(folder), silent)
    monkeypatch.setattr(build, "BATCH", 10)
    parts = store.prepare(config_of(folder, **{"data.cache": f"{folder}/o"}), silent)
    assert parts.fingerprint == undivided.fingerprint


def test_progress_says_the_share_and_the_time_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(build.time, "monotonic", lambda: now[0])
    messages = []
    progress = build.StageProgress(messages.append, "tokenising", 1000)
    for _ in range(3):
        now[0] += 4
        progress.add(200)
    unknown = build.StageProgress(messages.append, "reading", 0)
    now[0] += 10
    unknown.add(3_000_000)
    assert messages == ["tokenising: 40%, 12 s left", "reading: 3 million characters"]


# How much is held out.


def files_of(folder, sizes):
    """A corpus of text files of so many sentences of 40 characters."""
    for number, size in enumerate(sizes):
        lines = [
            f"Sentence {i:03} of the file number {number:07}.\n" for i in range(size)
        ]
        (folder / f"{number}.txt").write_text("".join(lines))
    data = base.get_config().data
    data.update(corpus="files", files=str(folder), documents="auto")
    return data


@pytest.mark.parametrize(
    "sizes",
    [
        *([100] * count for count in range(2, 31)),
        [5000, *[30] * 9],
        [40] * 5,
        [1000, 10, 10, 10, 10],
        [*range(1, 60, 4), 3000, 4000],
    ],
    ids=lambda sizes: f"{len(sizes)} files of up to {max(sizes)}",
)
def test_auto_holds_out_about_the_share(tmp_path, sizes):
    """FAULTS 56: of exactly five files 42 % of the tokens were held out."""
    _, survey, splits = build._documents(files_of(tmp_path, sizes), silent)
    valid = survey.sizes[splits == build.VALID].sum()
    assert valid <= 0.11 * survey.characters
    assert (splits == build.VALID).sum() >= 2


def test_finer_documents_are_reported_if_needed(tmp_path):
    """FAULTS 56: fifty even files stay what they were, and five are said to be parted."""
    messages = []
    data = files_of(tmp_path, [20] * 50)
    assert build._documents(data, messages.append)[0] is data
    assert not messages
    for path in sorted(tmp_path.glob("*.txt"))[5:]:
        path.unlink()
    parted = build._documents(data, messages.append)[0]
    assert "whole, 4" in messages[0] and "few or uneven: consecutive" in messages[0]
    assert corpus.describe(parted) in messages[0]


def test_empty_records_are_counted(folder):
    """FAULTS 11: they are neither a fault nor copies of each other."""
    empty = '{"text": ""}\n{"text": null}\n{"text": "\\n"}'
    before = store.prepare(config_of(folder), silent).manifest["audit"]
    with (folder / "corpus.jsonl").open("a") as file:
        file.write("\n" + empty)
    after = store.prepare(config_of(folder), silent).manifest["audit"]
    assert after["empty"] == before["empty"] + 3
    assert after["duplicates"] == before["duplicates"]


# What the vocabulary cannot write, and what it drops.

THAI = "\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48\u0e21\u0e35\u0e1a\u0e49\u0e32\u0e19"


def letters(rng, count):
    return "".join(rng.choice(list("acgt"), count))


def written(folder, texts, **keys):
    lines = [json.dumps({"text": text}) for text in texts]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    return config_of(folder, **keys)


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        (lambda rng: letters(rng, 400), "'[acgt]{30}...'.* of 400 .*; .* put spaces"),
        (lambda rng: THAI * 20 + str(rng.random()), "put spaces between the words"),
        (lambda rng: "the " + " ".join(letters(rng, 101) for _ in "12"), "of 101 char"),
    ],
    ids=["DNA", "Thai", "among words"],
)
def test_a_corpus_of_unknown_words_is_refused(folder, text, mend):
    """FAULTS 2: words of over 100 characters gave a loss of 0 for all steps."""
    rng = np.random.default_rng(0)
    config = written(folder, [text(rng) for _ in range(40)], **TRAINED)
    with pytest.raises(
        UsageError, match=rf"% of the training tokens are \[UNK\].*{mend}"
    ):
        store.prepare(config, silent)
    assert not list((folder / "cache").glob("*/manifest.json"))


def test_a_vocabulary_of_another_script_is_refused(folder):
    """FAULTS 2: also where the words are short and their characters are missing."""
    config = written(folder, [f"\u0434\u043e\u043c {i}" for i in range(40)])
    with pytest.raises(
        UsageError, match="vocabulary lacks their characters: train one"
    ):
        store.prepare(config, silent)


def test_few_unknown_words_are_reported(folder):
    """FAULTS 2: below the share that is refused."""
    messages = []
    rng = np.random.default_rng(0)
    texts = [f"the cat sat {i} {letters(rng, 120) if i < 2 else ''}" for i in range(99)]
    store.prepare(written(folder, texts, **TRAINED), messages.append)
    assert any("words that are [UNK] are" in line for line in messages)


@pytest.mark.parametrize(
    ("keys", "reported"),
    [({}, True), ({"tokenizer.strip_accents": "never"}, False)],
)
def test_dropped_characters_are_reported(folder, keys, reported):
    """FAULTS 10: of Thai 42 of 55 characters were left, unsaid."""
    messages = []
    texts = [f"{THAI} {i}" for i in range(40)]
    prepared = store.prepare(written(folder, texts, **TRAINED, **keys), messages.append)
    assert (
        any("strip_accents=never keeps them" in line for line in messages) == reported
    )
    marks = [w for w in prepared.tokenizer.vocabulary if w.endswith("\u0e35")]
    assert bool(marks) != reported


def test_plain_text_drops_nothing(folder):
    messages = []
    store.prepare(
        written(folder, [f"Un caf\u00e9 {i}" for i in range(40)], **TRAINED),
        messages.append,
    )
    assert not any("strip_accents" in line for line in messages)
