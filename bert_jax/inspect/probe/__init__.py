"""A linear probe of every layer (Alain & Bengio 2017), for a task of texts or tags."""

from bert_jax.inspect.probe.main import (
    MOST,
    ProbeRequest,
    control,
    find,
    prepare,
    read,
    request,
    tell,
)

__all__ = [
    "MOST",
    "ProbeRequest",
    "control",
    "find",
    "prepare",
    "read",
    "request",
    "tell",
]
