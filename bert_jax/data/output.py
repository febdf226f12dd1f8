"""Files of one split, written and hashed incrementally."""

import hashlib
import os
from array import array
from pathlib import Path

import numpy as np

from bert_jax.data.tokenizer import Tokenizer
from bert_jax.data.workers import Tokens
from bert_jax.run.config import UsageError

KINDS = ("tokens", "sentences", "documents", "counts")
# Characters that the audit reads, of each document and in total.
SAMPLE_EACH, SAMPLE = 2000, 200_000


class Output:
    """Writer of token ids, offsets of sentences and documents, and token counts."""

    def __init__(self, directory: Path, name: str, tokenizer: Tokenizer):
        self.files = {kind: _File(directory / f"{name}_{kind}.bin") for kind in KINDS}
        self.counts = np.zeros(tokenizer.vocab_size, np.int64)
        self.tokens = self.sentences = self.documents = self.empty = 0
        self.starts, self.hashes = array("q"), array("Q")  # of documents
        self.sample = ""

    def begin(self, hash_of_text: int, text: str) -> None:
        """Record a document whose tokens will be added."""
        self.hashes.append(hash_of_text)
        if len(self.sample) < SAMPLE:
            self.sample += text[:SAMPLE_EACH] + "\n"

    def add(self, tokens: Tokens, begins: list[bool]) -> None:
        """Write the tokens of texts; `begins` marks the texts that begin a document."""
        ends = self.tokens + np.cumsum(tokens.sentences)
        self.files["tokens"].write(tokens.ids)
        self.files["sentences"].write(ends - tokens.sentences)
        bounds = np.append(self.tokens, ends)
        before = np.cumsum(tokens.texts) - tokens.texts  # sentences before each text
        self.starts.extend(bounds[before][np.array(begins)].tolist())
        self.counts += np.bincount(tokens.ids, minlength=len(self.counts))
        self.tokens += len(tokens.ids)
        self.sentences += len(tokens.sentences)

    def finish(self) -> dict[str, dict]:
        """Finish the files; their sizes and sha256 by name. Documents without a token
        are dropped."""
        documents = np.unique(np.append(self.starts, self.tokens).astype(np.int64))
        self.documents = len(documents) - 1
        self.empty = len(self.starts) - self.documents
        if not self.documents:
            raise UsageError("the training or the held-out documents hold no token")
        self.files["sentences"].write(np.array([self.tokens], np.int64))
        self.files["documents"].write(documents)
        self.files["counts"].write(self.counts)
        return {file.name: file.finish() for file in self.files.values()}

    def close(self) -> None:
        for file in self.files.values():
            file.file.close()


def describe(content: bytes) -> dict:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


class _File:
    def __init__(self, path: Path):
        self.name, self.file = path.name, path.open("wb", buffering=0)
        self.size, self.sha256 = 0, hashlib.sha256()

    def write(self, values: np.ndarray) -> None:
        content = memoryview(values.tobytes())
        self.sha256.update(content)
        self.size += len(content)
        while content:  # a full disk writes a part, then raises
            content = content[self.file.write(content) :]

    def finish(self) -> dict:
        os.fsync(self.file.fileno())
        return {"bytes": self.size, "sha256": self.sha256.hexdigest()}
