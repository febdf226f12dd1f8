"""Processes that tokenise."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bert_jax.data import tokenizer as tokenizers
from bert_jax.data import workers


def test_a_large_vocabulary_takes_four_bytes():
    assert workers.dtype(2**16) is np.uint16
    assert workers.dtype(2**16 + 1) is np.uint32


def test_child_loads_no_jax_and_reports_death(folder):
    tokenizer = tokenizers.load(folder, True)
    loaded = (
        "import sys; from bert_jax.data import workers; print('jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, check=True
    )
    assert done.stdout == b"False\n"

    def batches():
        yield ["The cat."], [True]
        os.kill(child(), signal.SIGKILL)
        yield from [(["The dog."], [True])] * 10

    def child():
        return int(
            Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()[0]
        )

    with (
        pytest.raises(RuntimeError, match="a tokenising process ended early"),
        workers.pool(tokenizer, 2) as tokenise,
    ):
        list(tokenise(batches()))
