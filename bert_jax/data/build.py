"""Store builder: documents to files, in two passes of bounded memory."""

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
from bert_jax.data.train_tokenizer import train
from bert_jax.run.config import UsageError

DROPPED, TRAIN, VALID = range(3)
NAMES = {TRAIN: "train", VALID: "valid"}
BATCH = 200_000  # characters tokenised at a time
PER_PROCESS = 4_000_000  # characters per tokenising process
# More characters do not improve a vocabulary, and its words are kept in memory.
VOCABULARY_TEXT = 300_000_000
# documents=auto makes more and smaller documents if the held-out share would exceed
# data.valid_share by this factor.
MAX_VALID_RATIO = 2.2
HASH_MIX = np.uint64(0x9E3779B97F4A7C15)
REPORT_EVERY = 5.0  # seconds

Say = Callable[[str], None]


class Survey(NamedTuple):
    """Hashes and sizes of all documents of a corpus."""

    hashes: np.ndarray  # (documents,) uint64, of their texts
    sizes: np.ndarray  # (documents,) uint64, in characters

    @property
    def characters(self) -> int:
        return int(self.sizes.sum())


def build(config, directory: Path, say: Say) -> dict:
    """Write a store's files; return the content of its manifest, which is not
    written."""
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
    stats = {
        "corpus": corpus.describe(data),
        "vocabulary": tokenizer.vocab_size,
        "duplicates": int((splits == DROPPED).sum()) - empty,
    } | audit(outputs[TRAIN], outputs[VALID], tokenizer, empty)
    check_known(stats)
    audit_text = json.dumps(stats, indent=1) + "\n"
    (directory / "audit.json").write_text(audit_text)
    files["audit.json"] = describe(audit_text.encode())
    for line in table(stats):
        say(line)
    return {"tokenizer": tokenizer.fingerprint, "audit": stats, "files": files}


def assign(hashes: np.ndarray, valid_share: float) -> np.ndarray:
    """The split of each document: TRAIN, VALID, or DROPPED for a duplicate.

    Held out are the distinct documents of smallest hash, at least two.
    """
    unique, first = np.unique(hashes, return_index=True)
    if len(unique) < 3:
        raise UsageError(
            f"the corpus has {len(unique)} different document(s), too few to hold two "
            "out: add text, or try --config.data.documents=auto (or blank_line)"
        )
    valid_count = min(max(2, round(valid_share * len(unique))), len(unique) - 1)
    splits = np.full(len(hashes), DROPPED, np.uint8)
    splits[first] = TRAIN
    splits[first[:valid_count]] = VALID
    return splits


class StageProgress:
    """Reports the progress of a stage every few seconds; a total of 0 is unknown."""

    def __init__(self, say: Say, stage: str, total: int):
        self.say, self.stage, self.total, self.done = say, stage, total, 0
        self.start = self.last = time.monotonic()

    def add(self, characters: int) -> None:
        self.done += characters
        now = time.monotonic()
        if now - self.last < REPORT_EVERY:
            return
        self.last = now
        if self.total:
            left = (now - self.start) * max(self.total / max(self.done, 1) - 1, 0)
            share = min(self.done / self.total, 1)
            self.say(f"{self.stage}: {share:.0%}, {left:.0f} s left")
        else:
            self.say(f"{self.stage}: {self.done / 1e6:.0f} million characters")


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _survey(data, say: Say) -> Survey:
    progress = StageProgress(say, "reading", 0)
    hashes, sizes = array("Q"), array("Q")
    for document in corpus.documents(data):
        hashes.append(_hash(document.text))
        sizes.append(len(document.text))
        progress.add(len(document.text))
    return Survey(np.array(hashes, np.uint64), np.array(sizes, np.uint64))


def _documents(data, say: Say) -> tuple[Any, Survey, np.ndarray]:
    """The corpus config with documents=auto resolved, its survey, and the splits."""
    survey = _survey(data, say)
    finer = corpus.finer(data)
    if finer is None:
        return data, survey, assign(survey.hashes, data.valid_share)
    share = _valid_fraction(survey, data.valid_share)
    if share > MAX_VALID_RATIO * data.valid_share:
        other = _survey(finer, say)
        if _valid_fraction(other, data.valid_share) < share:
            say(
                f"corpus: whole, {share:.0%} of the text would be held out, and "
                f"data.valid_share is {data.valid_share:.0%}: {corpus.describe(finer)}"
            )
            data, survey = finer, other
    return data, survey, assign(survey.hashes, data.valid_share)


def _valid_fraction(survey: Survey, valid_share: float) -> float:
    """The held-out share of the characters; 1 if no document can be held out."""
    try:
        splits = assign(survey.hashes, valid_share)
    except UsageError:
        return 1.0
    total = survey.sizes[splits != DROPPED].sum()
    return float(survey.sizes[splits == VALID].sum() / max(total, 1))


def _kept_documents(data, splits: np.ndarray) -> Iterator[tuple[int, str]]:
    """The documents with their splits, without dropped ones."""
    for document, split in zip(corpus.documents(data), splits):
        if split != DROPPED:
            yield int(split), document.text


class _TrainingTexts:
    """Texts to train the vocabulary on; each iteration rereads the corpus."""

    def __init__(self, data, survey: Survey, splits: np.ndarray, say: Say):
        share = min(1.0, VOCABULARY_TEXT / max(survey.characters, 1))
        # Mixed, because the hashes themselves determine the held-out documents.
        wanted = survey.hashes * HASH_MIX <= np.uint64(share * (2**64 - 2**11))
        self.data = data
        self.splits = np.where(wanted & (splits == TRAIN), TRAIN, DROPPED)
        total = int(2 * share * survey.characters)
        self.progress = StageProgress(say, "reading for the vocabulary", total)

    def __iter__(self) -> Iterator[str]:
        for _, text in _kept_documents(self.data, self.splits):
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
    return train(
        texts,
        settings.vocab_size,
        settings.lowercase,
        settings.strip_accents,
        settings.model,
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
    """Split a long document into parts, between paragraphs."""
    start = 0
    while len(text) - start > BATCH and (end := text.find("\n", start + BATCH)) > 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def _write(data, survey, splits, tokenizer, outputs: dict[int, Output], say: Say):
    progress = StageProgress(say, "tokenising", survey.characters)
    processes = min(_cores(), 1 + survey.characters // PER_PROCESS)
    in_flight: deque[_Batch] = deque()

    def documents() -> Iterator[tuple[int, str]]:
        for split, text in _kept_documents(data, splits):
            outputs[split].begin(_hash(text), text)
            yield split, text

    def texts() -> Iterator[workers.Batch]:
        for batch in _batches(documents()):
            in_flight.append(batch)
            yield batch.texts, batch.begins

    with workers.pool(tokenizer, processes) as tokenise:
        for tokens in tokenise(texts()):
            batch = in_flight.popleft()
            outputs[batch.split].add(tokens, batch.begins)
            progress.add(batch.size)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
