"""Documents to the files of a store, in two passes of bounded memory."""

import hashlib
import json
import os
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bert_jax.data import corpus, workers
from bert_jax.data import tokenizer as tokenizers
from bert_jax.data.audit import audit, check_known, table
from bert_jax.data.output import Output, describe
from bert_jax.run.config import UsageError

DROPPED, TRAIN, VALID = range(3)
NAMES = {TRAIN: "train", VALID: "valid"}
BATCH = 200_000  # characters tokenised at a time
PER_PROCESS = 4_000_000  # characters that are worth another process
# A vocabulary gains nothing from more characters, and its words are held in memory.
VOCABULARY_TEXT = 300_000_000
# documents=auto makes more and smaller documents where more than this many times
# data.valid_share would be held out.
MOST_HELD_OUT = 2.2
HASH_MIX = np.uint64(0x9E3779B97F4A7C15)
SPEAK_EVERY = 5.0  # seconds

Say = Callable[[str], None]


class Survey(NamedTuple):
    hashes: np.ndarray  # (documents,) uint64, of their texts
    sizes: np.ndarray  # (documents,) uint64, in characters

    @property
    def characters(self) -> int:
        return int(self.sizes.sum())


def build(config, directory: Path, say: Say) -> dict:
    """Writes a store but for its manifest, whose content it returns."""
    say(f"corpus: {corpus.describe(config.data)}")
    data, survey, splits = _documents(config.data, say)
    tokenizer = _tokenizer(config, data, survey, splits, say)
    with ExitStack() as stack:
        outputs = {s: Output(directory, name, tokenizer) for s, name in NAMES.items()}
        for output in outputs.values():
            stack.callback(output.close)
        _write(data, survey, splits, tokenizer, outputs, say)
        files = outputs[TRAIN].finish() | outputs[VALID].finish()
    tokenizer.save(directory / "tokenizer.json")
    files["tokenizer.json"] = describe((directory / "tokenizer.json").read_bytes())
    empty = int(((survey.sizes == 0) & (splits == DROPPED)).sum())
    found = {
        "corpus": corpus.describe(data),
        "vocabulary": tokenizer.vocab_size,
        "duplicates": int((splits == DROPPED).sum()) - empty,
    } | audit(outputs[TRAIN], outputs[VALID], tokenizer, empty)
    check_known(found)
    audit_text = json.dumps(found, indent=1) + "\n"
    (directory / "audit.json").write_text(audit_text)
    files["audit.json"] = describe(audit_text.encode())
    for line in table(found):
        say(line)
    return {"tokenizer": tokenizer.fingerprint, "audit": found, "files": files}


def assign(hashes: np.ndarray, valid_share: float) -> np.ndarray:
    """For each document: dropped as a copy, or else of the training or held out.

    Held out are the different documents of smallest hash, at least two.
    """
    unique, first = np.unique(hashes, return_index=True)
    if len(unique) < 3:
        raise UsageError(
            f"the corpus has {len(unique)} different document(s), too few to hold two "
            "out: add text, or try --config.data.documents=auto (or blank_line)"
        )
    held_out = min(max(2, round(valid_share * len(unique))), len(unique) - 1)
    splits = np.full(len(hashes), DROPPED, np.uint8)
    splits[first] = TRAIN
    splits[first[:held_out]] = VALID
    return splits


class Progress:
    """Says how far a stage is, every few seconds; a total of 0 is unknown."""

    def __init__(self, say: Say, what: str, total: int):
        self.say, self.what, self.total, self.done = say, what, total, 0
        self.start = self.last = time.monotonic()

    def add(self, characters: int) -> None:
        self.done += characters
        now = time.monotonic()
        if now - self.last < SPEAK_EVERY:
            return
        self.last = now
        if self.total:
            left = (now - self.start) * max(self.total / max(self.done, 1) - 1, 0)
            share = min(self.done / self.total, 1)
            self.say(f"{self.what}: {share:.0%}, {left:.0f} s left")
        else:
            self.say(f"{self.what}: {self.done / 1e6:.0f} million characters")


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _survey(data, say: Say) -> Survey:
    progress = Progress(say, "reading", 0)
    hashes, sizes = array("Q"), array("Q")
    for document in corpus.documents(data):
        hashes.append(_hash(document.text))
        sizes.append(len(document.text))
        progress.add(len(document.text))
    return Survey(np.array(hashes, np.uint64), np.array(sizes, np.uint64))


def _documents(data, say: Say) -> tuple[Any, Survey, np.ndarray]:
    """How the corpus is parted into documents, what they are, and the split of each."""
    survey = _survey(data, say)
    finer = corpus.finer(data)
    if finer is None:
        return data, survey, assign(survey.hashes, data.valid_share)
    share = _held_out(survey, data.valid_share)
    if share > MOST_HELD_OUT * data.valid_share:
        other = _survey(finer, say)
        if _held_out(other, data.valid_share) < share:
            say(
                f"corpus: whole, {share:.0%} of the text would be held out, and "
                f"data.valid_share is {data.valid_share:.0%}: {corpus.describe(finer)}"
            )
            data, survey = finer, other
    return data, survey, assign(survey.hashes, data.valid_share)


def _held_out(survey: Survey, valid_share: float) -> float:
    """The share of the characters; 1 where no document can be held out."""
    try:
        splits = assign(survey.hashes, valid_share)
    except UsageError:
        return 1.0
    whole = survey.sizes[splits != DROPPED].sum()
    return float(survey.sizes[splits == VALID].sum() / max(whole, 1))


def _chosen(data, splits: np.ndarray) -> Iterator[tuple[int, str]]:
    """The documents again, with their splits, without the dropped."""
    for document, split in zip(corpus.documents(data), splits):
        if split != DROPPED:
            yield int(split), document.text


class _TrainingTexts:
    """For the vocabulary; each iteration reads the corpus anew."""

    def __init__(self, data, survey: Survey, splits: np.ndarray, say: Say):
        share = min(1.0, VOCABULARY_TEXT / max(survey.characters, 1))
        # Mixed, because the hashes themselves decide what is held out.
        wanted = survey.hashes * HASH_MIX <= np.uint64(share * (2**64 - 2**11))
        self.data = data
        self.splits = np.where(wanted & (splits == TRAIN), TRAIN, DROPPED)
        total = int(2 * share * survey.characters)
        self.progress = Progress(say, "reading for the vocabulary", total)

    def __iter__(self) -> Iterator[str]:
        for _, text in _chosen(self.data, self.splits):
            yield text
            self.progress.add(len(text))


def _tokenizer(
    config, data, survey: Survey, splits: np.ndarray, say: Say
) -> tokenizers.Tokenizer:
    settings = config.tokenizer
    if settings.path:
        return tokenizers.load(
            settings.path, settings.lowercase, settings.strip_accents
        )
    say(f"training a vocabulary of at most {settings.vocab_size:,}")
    texts = _TrainingTexts(data, survey, splits, say)
    return tokenizers.train(
        texts, settings.vocab_size, settings.lowercase, settings.strip_accents
    )


class _Batch:
    """Texts of one split, each a document or a part of one."""

    def __init__(self, split: int):
        self.split, self.size = split, 0
        self.texts: list[str] = []
        self.begins: list[bool] = []  # whether the text begins a document

    def add(self, text: str, begins: bool) -> None:
        self.texts.append(text)
        self.begins.append(begins)
        self.size += len(text)


def _batches(documents: Iterable[tuple[int, str]]) -> Iterator[_Batch]:
    filling = {split: _Batch(split) for split in NAMES}
    for split, document in documents:
        for i, text in enumerate(_parts(document)):
            filling[split].add(text, begins=i == 0)
            if filling[split].size >= BATCH:
                yield filling[split]
                filling[split] = _Batch(split)
    yield from (batch for batch in filling.values() if batch.texts)


def _parts(text: str) -> Iterator[str]:
    """A long document in several parts, cut between paragraphs."""
    start = 0
    while len(text) - start > BATCH and (end := text.find("\n", start + BATCH)) > 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def _write(data, survey, splits, tokenizer, outputs: dict[int, Output], say: Say):
    progress = Progress(say, "tokenising", survey.characters)
    processes = min(_cores(), 1 + survey.characters // PER_PROCESS)
    under_way: deque[_Batch] = deque()

    def documents() -> Iterator[tuple[int, str]]:
        for split, text in _chosen(data, splits):
            outputs[split].begin(_hash(text), text)
            yield split, text

    def texts() -> Iterator[list[str]]:
        for batch in _batches(documents()):
            under_way.append(batch)
            yield batch.texts

    with workers.pool(tokenizer, processes) as tokenise:
        for tokens in tokenise(texts()):
            batch = under_way.popleft()
            outputs[batch.split].add(tokens, batch.begins)
            progress.add(batch.size)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
