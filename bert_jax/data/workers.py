"""Worker processes for tokenising: order is kept, few batches are in flight."""

import os
import queue
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np

from bert_jax.data import tokenizer as tokenizers
from bert_jax.data.sentences import sentences

AT_ONCE = 512  # sentences: bounds the library's memory
AHEAD = 3  # batches in flight for each process


class Tokens(NamedTuple):
    """Token ids of texts, sizes of their sentences, number of sentences of each
    text."""

    ids: np.ndarray
    sentences: np.ndarray
    texts: np.ndarray


# Texts, and whether each begins a document.
Batch = tuple[Sequence[str], Sequence[bool]]
Batches = Iterable[Batch]


def tokenise(tokenizer: tokenizers.Tokenizer, batch: Batch) -> Tokens:
    """Tokenise texts, every sentence as what follows the one before it. Sentences
    without tokens, such as control characters, are dropped."""
    (texts, begins), space = batch, tokenizer.following("")
    split = [sentences(text) for text in texts]
    flat = [
        sentence if begin and number == 0 else space + sentence
        for parts, begin in zip(split, begins, strict=True)
        for number, sentence in enumerate(parts)
    ]
    owners = np.repeat(np.arange(len(texts)), [len(parts) for parts in split])
    ids = [np.zeros(0, dtype(tokenizer.vocab_size))]
    for i in range(0, len(flat), AT_ONCE):
        encoded = tokenizer.ids(flat[i : i + AT_ONCE])
        ids += [np.array(sentence, ids[0].dtype) for sentence in encoded]
    sizes = np.array([len(sentence) for sentence in ids[1:]], np.int64)
    counts = np.bincount(owners[sizes > 0], minlength=len(texts))
    return Tokens(np.concatenate(ids), sizes[sizes > 0], counts)


def dtype(vocab_size: int) -> type[np.unsignedinteger]:
    """The smallest unsigned dtype of token ids."""
    return np.uint16 if vocab_size <= 2**16 else np.uint32


@contextmanager
def pool(
    tokenizer: tokenizers.Tokenizer, processes: int
) -> Iterator[Callable[[Batches], Iterator[Tokens]]]:
    """Yield a function from batches of texts to their `Tokens`, in order.

    With one process, this process works. Otherwise workers are plain child processes on
    a pipe each: unlike those of multiprocessing they run no `__main__` (which may
    import jax), and they end with their pipe, so none outlives a killed parent.
    """
    if processes == 1:
        yield lambda batches: (tokenise(tokenizer, batch) for batch in batches)
        return
    children = [_child() for _ in range(processes)]
    idle: queue.SimpleQueue[Connection] = queue.SimpleQueue()
    try:
        for _, connection in children:
            connection.send(tokenizer.to_str())
            idle.put(connection)
        with ThreadPoolExecutor(processes) as threads:
            yield lambda batches: _ordered(batches, threads, idle, processes * AHEAD)
    finally:
        for child, connection in children:
            connection.close()
            child.wait()


def _child() -> tuple[subprocess.Popen, Connection]:
    parent_end, child_end = Pipe()
    end = child_end.fileno()
    child = subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import serve; serve({end})"],
        pass_fds=[end],
        process_group=0,  # the parent handles Ctrl-C
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(sys.path), "TOKENIZERS_PARALLELISM": "false"},
    )
    child_end.close()
    return child, parent_end


def _ordered(batches: Batches, threads, idle, ahead: int) -> Iterator[Tokens]:
    def ask(batch: Batch) -> Tokens:
        connection = idle.get()
        try:
            connection.send(batch)
            return connection.recv()
        except (EOFError, OSError) as error:
            reason = "a tokenising process ended early: killed, or out of memory"
            raise RuntimeError(reason) from error
        finally:
            idle.put(connection)

    pending = deque()
    for batch in batches:
        if len(pending) == ahead:
            yield pending.popleft().result()
        pending.append(threads.submit(ask, batch))
    while pending:
        yield pending.popleft().result()


def serve(end: int) -> None:
    """Run a child: read a tokenizer, then tokenise batches until the parent closes the
    pipe."""
    connection = Connection(end)
    try:
        tokenizer = tokenizers.parse(connection.recv(), "tokenizer.json")
        while True:
            connection.send(tokenise(tokenizer, connection.recv()))
    except (EOFError, ConnectionError):
        return
